"""The diary review of the Spring original: `data: {"seq":0,"value":"오늘"}` (WIRE.md A)."""

from __future__ import annotations

import msgspec

from sora.events import Delta, Event
from sora.wire.encoder import Encoder
from sora.wire.problem import error_frame
from sora.wire.sse import frame

_encode = msgspec.json.Encoder().encode


class Review(Encoder):
    def encode(self, event: Event, id: bytes | None) -> bytes:
        if type(event) is Delta:
            return frame(b'{"seq":%d,"value":%b}' % (event.index, _encode(event.text)), id=id)
        return error_frame(event, self._locale, id)
