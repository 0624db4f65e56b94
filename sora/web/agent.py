"""The agent of the Flask guide (WIRE.md E): as a stream, at once, and by a ticket for an EventSource."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from sora.errors import message
from sora.events import Result
from sora.web import streams
from sora.web.errors import run_error
from sora.web.fields import body
from sora.web.orders import of_agent
from sora.web.service import principal, service
from sora.web.tickets import follow, new_ticket

views = Blueprint("agent", __name__)

_STATUS = {
    "upstream_timeout": 504,
    "upstream_rate_limited": 429,
    "content_filter": 422,
    "cancelled": 409,
    "internal": 500,
}


@views.post("/api/chat/stream")
@views.post("/chat/stream")
def stream() -> Response:
    who = principal()
    how = streams.options(format="agent")
    run, _ = service().engine.begin(of_agent(who, body()))
    return streams.answer(run, how, principal=who)


@views.post("/api/chat")
def at_once() -> tuple[Response, int]:
    """The agent's answer in one piece (WIRE.md E). Blocks until it has ended, cooperatively; a client that leaves counts as one
    of a stream."""
    who = principal()
    engine = service().engine
    run, _ = engine.begin(of_agent(who, body()))
    reader = engine.read(run, format="agent", socket=request.environ.get("gunicorn.socket"))
    try:
        for _piece in reader:
            pass
    finally:
        reader.close()
    run = engine.get(run.id, owner=who.id)
    for extra in engine.extras(run) if run.status == "completed" else ():
        if isinstance(extra, Result):
            return jsonify(success=True, data=extra.data), 200
    code = "cancelled" if run.status == "cancelled" else run.error_code or "internal"
    problem = run_error(code, locale=run.locale)
    told = message(code, run.locale)
    return jsonify(success=False, error=told, code=code, retryable=problem["retryable"]), _STATUS.get(
        code, 502
    )


@views.post("/api/chat/stream/init")
@views.post("/chat/stream/init")
def init() -> Response:
    who = principal()
    ticket = new_ticket(who)
    service().engine.begin(of_agent(who, body(), ticket=ticket))
    return jsonify(id=ticket)


@views.get("/api/chat/stream/<ticket>")
@views.get("/chat/stream/<ticket>")
def ticket_stream(ticket: str) -> Response:
    return follow(ticket, format="agent")
