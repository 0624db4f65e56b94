"""The answer to a question of the Flask original: `data: {"type":"text","content":"…"}` and its kin (WIRE.md D)."""

from __future__ import annotations

import msgspec

from sora.events import Delta, Done, Event, Metadata, Source
from sora.wire.encoder import Encoder
from sora.wire.problem import problem_of
from sora.wire.sse import frame

_encode = msgspec.json.Encoder().encode

#: Of the metadata what stands beside the content too: the original's client reads it there, its server nested it.
_BESIDE = ("sessionId", "runId", "usage", "model", "imageResults", "youtubeResults", "topicDrifted")


class Ask(Encoder):
    cuts = True  # its client knows no error case: only a body that breaks off is a failure to it

    def encode(self, event: Event, id: bytes | None) -> bytes:
        if type(event) is Delta:
            return frame(b'{"type":"text","content":%b}' % _encode(event.text), id=id)
        data = self._data(event)
        return frame(_encode(data), id=id) if data else b""

    def _data(self, event: Event) -> dict[str, object] | None:
        match event:
            case Source(url, title):
                source: dict[str, object] = {"url": url, "title": title}
                return {"type": "reference", "content": source, **source}
            case Metadata(data):
                beside: dict[str, object] = {name: data[name] for name in _BESIDE if name in data}
                return {"type": "metadata", "content": data, **beside}
            case Done():
                return {"type": "done", "content": {}}
        problem = problem_of(event, self._locale)
        return {"type": "error", "content": problem} if problem else None
