"""Tickets: a URL of one's own for one run, for an EventSource that can send neither header nor cookie (WIRE.md F)."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, jsonify, url_for

from sora.errors import NotFound
from sora.store.runs import new_id
from sora.web import streams
from sora.web.auth import Principal
from sora.web.fields import body, idempotency_key
from sora.web.orders import of_kind
from sora.web.service import principal, service

views = Blueprint("tickets", __name__)


@views.post("/api/tickets")
def make_ticket() -> tuple[Response, int]:
    who = principal()
    ticket = new_ticket(who)
    service().engine.begin(of_kind(who, body(), ticket=ticket))
    url = url_for("sora.tickets.ticket_events", ticket=ticket)
    return jsonify(ticket=ticket, url=url, expires_in=service().config.ticket_ttl), 201


@views.get("/api/tickets/<ticket>/events")
def ticket_events(ticket: str) -> Response:
    return follow(ticket, format="native")


def follow(ticket: str, *, format: str) -> Response:
    """The stream of a ticket's run. Raises NotFound for a ticket made up, or expired before its first use."""
    how, at = streams.options(format=format, ids=True), streams.position()
    if streams.only_looking():
        return streams.nothing()  # looking must not use up the ticket
    try:
        run = service().engine.by_ticket(ticket)
    except NotFound:
        if at is None:
            raise
        return streams.nothing()
    if at is not None and at.run_id != run.id:
        return streams.nothing()
    return streams.attach(run, how, at, principal=None)


def new_ticket(who: Principal) -> str:
    """A new ticket; for an Idempotency-Key always the same one, because only its digest is kept to be asked for."""
    key = idempotency_key()
    if key is None:
        return new_id()
    return service().engine.keyring.mac(msgspec.json.encode(("ticket", who.id, key)))[-32:].hex()
