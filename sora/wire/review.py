"""The diary review of the Spring original: `data: {"seq":0,"value":"오늘"}` (WIRE.md A)."""

from __future__ import annotations

import msgspec

from sora.errors import Interrupted, message
from sora.events import Cancelled, Delta, Error, Event, Reset
from sora.wire.sse import frame

_encode = msgspec.json.Encoder().encode


class Review:
    resets = False

    def __init__(self, locale: str = "ko") -> None:
        self._locale = locale

    def encode(self, event: Event, id: bytes | None) -> bytes:
        if type(event) is Delta:
            return frame(b'{"seq":%d,"value":%b}' % (event.index, _encode(event.text)), id=id)
        problem = problem_of(event, self._locale)
        return frame(_encode(problem), event=b"error", id=id) if problem else b""


def problem_of(event: Event, locale: str) -> dict[str, object] | None:
    """What a format without events of its own says of a terminal event that is not success, or of a reset."""
    match event:
        case Error(code, words, retryable):
            return {"code": code, "message": words, "retryable": retryable}
        case Cancelled():
            return {"code": "cancelled", "message": message("cancelled", locale), "retryable": False}
        case Reset():
            return {"code": Interrupted.code, "message": message(Interrupted.code, locale), "retryable": True}
    return None
