"""The native format: every event under its own name, its fields as JSON (WIRE.md F)."""

from __future__ import annotations

import msgspec

from sora.events import Delta, Event, Metadata, Result, type_of
from sora.wire.encoder import Encoder
from sora.wire.sse import frame

_encode = msgspec.json.Encoder().encode
_names = {cls: name.encode() for cls, name in type_of.items()}


class Native(Encoder):
    resets = True

    def encode(self, event: Event, id: bytes | None) -> bytes:
        if type(event) is Delta:
            data = b'{"index":%d,"text":%b}' % (event.index, _encode(event.text))
        elif type(event) is Metadata or type(event) is Result:
            data = _encode(event.data)
        else:
            data = _encode(msgspec.structs.asdict(event))
        return frame(data, event=_names[type(event)], id=id)
