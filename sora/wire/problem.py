"""How the formats of the original clients, which know neither `cancelled` nor `reset`, say that it did not end well."""

from __future__ import annotations

import msgspec

from sora.errors import Interrupted, message
from sora.events import Cancelled, Error, Event, Reset
from sora.wire.sse import frame

_encode = msgspec.json.Encoder().encode


def problem_of(event: Event, locale: str) -> dict[str, object] | None:
    """`{code, message, retryable}` of a terminal event that is not success, or of a reset; None for every other event."""
    match event:
        case Error(code, words, retryable):
            return {"code": code, "message": words, "retryable": retryable}
        case Cancelled():
            return {"code": "cancelled", "message": message("cancelled", locale), "retryable": False}
        case Reset():
            return {"code": Interrupted.code, "message": message(Interrupted.code, locale), "retryable": True}
    return None


def error_frame(event: Event, locale: str, id: bytes | None) -> bytes:
    """`event: error` with the event's problem; empty for an event that is none. An EventSource's onerror hears it too."""
    problem = problem_of(event, locale)
    return frame(_encode(problem), event=b"error", id=id) if problem else b""
