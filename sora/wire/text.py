"""The older diary review: the raw text of each delta, one data line per line of text (WIRE.md A, `/test/api/request/review`)."""

from __future__ import annotations

from sora.events import Delta, Event
from sora.wire.review import Review
from sora.wire.sse import lines


class Text(Review):
    def encode(self, event: Event, id: bytes | None) -> bytes:
        if type(event) is not Delta:
            return super().encode(event, id)
        data = b"".join(b"data:%b\n" % line.encode() for line in lines(event.text))
        return data + (b"id: %b\n\n" % id if id is not None else b"\n")
