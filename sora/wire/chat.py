"""The chat of the Kotlin original: each delta a JSON string, `data: "안녕"` (WIRE.md B)."""

from __future__ import annotations

import msgspec

from sora.events import Delta, Done, Event
from sora.wire.encoder import Encoder
from sora.wire.problem import error_frame
from sora.wire.sse import frame, lone_id

_encode = msgspec.json.Encoder().encode


class Chat(Encoder):
    def encode(self, event: Event, id: bytes | None) -> bytes:
        if type(event) is Delta:
            return frame(_encode(event.text), id=id)
        if type(event) is Done:
            # The original knew no end: with the terminal id an EventSource that comes again gets 204, and closes.
            return lone_id(id) if id is not None else b""
        return error_frame(event, self._locale, id)


class ChatRaw(Chat):
    """`?quote=raw`: the original's own bytes. The text stands between quotes as it is, a data line for each of its lines, so that
    a client that takes the outer quotes off has the text. A carriage return would not survive the browser, which reads every
    line end as a line feed: a text that holds one is escaped as in the default form."""

    def encode(self, event: Event, id: bytes | None) -> bytes:
        if type(event) is not Delta or "\r" in event.text:
            return super().encode(event, id)
        return frame(f'"{event.text}"'.replace("\n", "\ndata: ").encode(), id=id)
