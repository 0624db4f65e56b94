"""The agent of the Flask guide: `data: {"type":"progress","data":{…}}`, at the end `final` or `error` (WIRE.md E)."""

from __future__ import annotations

import gzip

import msgspec

from sora.events import Done, Event, Progress, Result
from sora.wire.encoder import Encoder
from sora.wire.problem import problem_of
from sora.wire.sse import frame, lone_id

_encode = msgspec.json.Encoder().encode
_LARGE = 1024  # bytes of JSON that the guide's form leaves as they are

#: The guide's names for our codes; whatever else goes wrong is an InternalError.
NAMES = {
    "upstream_timeout": "Timeout",
    "upstream_error": "ConnectionError",
    "interrupted": "ConnectionError",
    "upstream_rate_limited": "RateLimited",
    "cancelled": "Cancelled",
    "content_filter": "ContentFilter",
}


class Agent(Encoder):
    def encode(self, event: Event, id: bytes | None) -> bytes:
        if type(event) is Done:
            return (
                lone_id(id) if id is not None else b""
            )  # an EventSource that comes again after `final` gets 204
        said = self._said(event)
        return frame(self._data(_encode(said)), id=id) if said else b""

    def _said(self, event: Event) -> dict[str, object] | None:
        match event:
            case Progress():
                return {"type": "progress", "data": msgspec.structs.asdict(event)}
            case Result(data):
                return {"type": "final", "data": data}
        problem = problem_of(event, self._locale)
        if problem is None:
            return None
        name = NAMES.get(str(problem["code"]), "InternalError")
        return {"type": "error", "data": {"error": name} | problem}

    def _data(self, data: bytes) -> bytes:
        return data


class AgentGzip(Agent):
    """`?gzip=1`: the guide's own form of what is large: the hex of its gzip, in place of the JSON."""

    def _data(self, data: bytes) -> bytes:
        if len(data) <= _LARGE:
            return data
        return gzip.compress(data, mtime=0).hex().encode()  # the same bytes for every reader
