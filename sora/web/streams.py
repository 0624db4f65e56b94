"""The one place that answers with an event stream (WIRE.md: headers, event ids, never twice)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

import msgspec
from flask import Response, request

from sora.engine.engine import Order
from sora.errors import InvalidRequest, NotFound, message
from sora.events import ORIGIN, Cursor
from sora.store.runs import IMPLICIT, Run
from sora.web import worker
from sora.web.auth import Principal, bearer, require_own_origin
from sora.web.event_stream import EventStream
from sora.web.fields import query
from sora.web.query import pairs, values
from sora.web.service import locale, service
from sora.wire import FORMATS, sse

_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
_ID = re.compile(r"([0-9A-Za-z]{1,64}):(?:(end)|([1-9][0-9]{0,8})-([0-9]{1,9}))")


class Position(NamedTuple):
    """What a Last-Event-ID says: a run, and how far into it; no cursor: to its very end."""

    text: str
    run_id: str
    cursor: Cursor | None


class Options(NamedTuple):
    """How a stream is wanted."""

    format: str
    ids: bool
    ping: bool


def options(*, format: str, ids: bool = False) -> Options:
    """`?format=`, `?quote=`, `?gzip=`, `?ids=` and `?heartbeat=` of the request; `ids`: frames always carry theirs.

    Read before anything is started. Raises InvalidRequest.
    """
    fields = query()
    chosen = fields.choice("format", {name: name for name in FORMATS}, default=format)
    quote = fields.choice("quote", {"json": "json", "raw": "raw"}, default="json")
    if (chosen, quote) == ("chat", "raw"):
        chosen = "chat-raw"
    if fields.choice("gzip", {"0": "0", "1": "1"}, default="0") == "1" and chosen == "agent":
        chosen = "agent-gzip"
    asked = fields.choice("ids", {"0": "0", "1": "1"}, default="0") == "1"
    heartbeat = fields.choice("heartbeat", {"comment": "comment", "event": "event"}, default="comment")
    fields.check()
    return Options(chosen, ids or asked or chosen == "native", heartbeat == "event")


def position() -> Position | None:
    """Where the client wants to go on: Last-Event-ID, else `?last_event_id=`. Raises InvalidRequest for no event id."""
    # The header goes first: an EventSource that reconnects keeps the query it was made with.
    text = request.headers.get("Last-Event-ID") or values().get("last_event_id")
    if not text:
        return None
    match = _ID.fullmatch(text)
    if match is None:
        raise wrong_position()
    run_id, end, epoch, seq = match.groups()
    return Position(text, run_id, None if end else Cursor(int(epoch), int(seq)))


def wrong_position() -> InvalidRequest:
    """What refuses a Last-Event-ID that is none of ours."""
    return InvalidRequest(details=[{"field": "Last-Event-ID", "message": message("field_cursor", locale())}])


def answer(run: Run, how: Options, *, principal: Principal | None) -> Response:
    """The run from its first event, as the answer to the request that started it."""
    return _stream(run, how, principal, cursor=None, opening_id=None)


def generate(how: Options, order: Callable[[], Order], *, principal: Principal) -> Response:
    """The answer to a GET that generates. One that comes back or only looks starts nothing; the same one again, without a
    position, gets its run from the start until the end of that was read (see Order). Raises Forbidden for the page of an
    origin that is not allowed, and what `order` and `Engine.begin` raise."""
    if (answered := come_back(how, principal)) is not None:
        return answered
    if bearer(request) is None:
        require_own_origin(request, service().config, starts=True)
    wanted = order()
    if wanted.idempotency_key is None:
        wanted = replace(wanted, idempotency_key=_implicit_key())
    run, _ = service().engine.begin(wanted)
    return attach(run, how, None, principal=principal)


def come_back(how: Options, principal: Principal) -> Response | None:
    """The answer to a GET that must start nothing: one with a position attaches to one's run there or gets 204, and so does who
    only looks. None for every other."""
    at = position()
    if at is None:
        return nothing() if only_looking() else None
    try:
        return attach(service().engine.get(at.run_id, owner=principal.id), how, at, principal=principal)
    except NotFound:
        return nothing()


def attach(run: Run, how: Options, at: Position | None, *, principal: Principal | None) -> Response:
    """A GET stream of a run: from the start, or after the position; 204 when there is nothing left to say."""
    if at is not None and at.run_id != run.id:
        raise wrong_position()
    if at is not None and (
        at.cursor is None or service().engine.exhausted(run, format=how.format, cursor=at.cursor)
    ):
        return nothing()
    if only_looking():
        return _response(iter(()), run.id)
    opening = at.text if at is not None else f"{run.id}:{ORIGIN.epoch}-{ORIGIN.seq}"
    return _stream(run, how, principal, cursor=at.cursor if at is not None else None, opening_id=opening)


def nothing() -> Response:
    """204: an EventSource does not come again."""
    return Response(status=204)


def only_looking() -> bool:
    """Whether the request is a HEAD or a prefetch, which start nothing, attach to nothing and use nothing up."""
    purposes = request.headers.get("Sec-Purpose", ""), request.headers.get("Purpose", "")
    return request.method == "HEAD" or any("prefetch" in purpose.lower() for purpose in purposes)


def by_event_source() -> bool:
    """Whether an EventSource asks: any status but 200 would close it for good."""
    return request.method == "GET" and request.accept_mimetypes.best == "text/event-stream"


def busy(code: str, *, wait: float) -> Response:
    """A 429 or 503 for an EventSource: a stream that says so, and when to come again."""
    problem = {"code": code, "message": message(code, locale()), "retryable": True}
    return _response(iter((sse.retry(wait), sse.frame(msgspec.json.encode(problem), event=b"error"))), None)


def _implicit_key() -> str:
    """The same for the same path and query, however that is spelled."""
    asked = [pair for pair in pairs() if pair[0] != "last_event_id"]
    said = msgspec.json.encode((request.path, sorted(asked, key=itemgetter(0))))
    return IMPLICIT + service().engine.keyring.mac(said)[-32:].hex()


def _stream(
    run: Run, how: Options, principal: Principal | None, *, cursor: Cursor | None, opening_id: str | None
) -> Response:
    worker.look(request.environ)
    expires_at = principal.expires_at if principal is not None else None
    reader = service().engine.read(
        run, format=how.format, cursor=cursor, resumed=cursor is not None, ids=how.ids, opening_id=opening_id, ping=how.ping,
        until=None if expires_at is None else time.monotonic() + expires_at - time.time(),
        socket=request.environ.get("gunicorn.socket"),
    )  # fmt: skip
    response = EventStream(reader, headers=_HEADERS)
    response.headers["X-Sora-Run-Id"] = run.id
    return response


def _response(blocks: Iterator[bytes], run_id: str | None) -> Response:
    response = Response(blocks, mimetype="text/event-stream", headers=_HEADERS)
    if run_id is not None:
        response.headers["X-Sora-Run-Id"] = run_id
    return response
