"""The chat chunks of the FastAPI original: `data: {"chunk": "안녕"}`, at the end `data: {"done": true}` (WIRE.md C)."""

from __future__ import annotations

import msgspec

from sora.events import Delta, Done, Event
from sora.wire.encoder import Encoder
from sora.wire.problem import error_frame
from sora.wire.sse import frame

_encode = msgspec.json.Encoder().encode


class Chunks(Encoder):
    def encode(self, event: Event, id: bytes | None) -> bytes:
        if type(event) is Delta:
            return frame(b'{"chunk": %b}' % _encode(event.text), id=id)
        if type(event) is Done:
            return frame(b'{"done": true}', id=id)
        return error_frame(event, self._locale, id)
