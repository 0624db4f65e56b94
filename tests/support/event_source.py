"""An EventSource as a browser has it, but that its connections can be cut, and that it does not wait before it comes again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.support.client import Stream
from tests.support.sse import Frame
from tests.support.user import User


@dataclass(slots=True)
class EventSource:
    """Connects again after every end of a body, with the Last-Event-ID it has, until an answer is no event stream or `closes`
    says so of a frame. It visits the `places` in turn.

    `frames` are those dispatched on all its connections, `cuts` counts the connections cut in mid-answer, `status` is the
    last one, `run_ids` names the runs it was shown.
    """

    user: User
    path: str
    places: Sequence[str]
    closes: Callable[[Frame], bool] = lambda frame: False
    last_event_id: str = ""
    frames: list[Frame] = field(default_factory=list)
    cuts: int = 0
    status: int = 0
    run_ids: set[str] = field(default_factory=set)
    _visits: int = 0

    def follow(self, cuts: Sequence[int] = (), *, most: int = 20) -> EventSource:
        """Until it is closed. Connection number i is cut after `cuts[i]` bytes of its body; later ones are not."""
        for limit in itertools.islice(itertools.chain(cuts, itertools.repeat(None)), most):
            if not self._connect(limit):
                return self
        raise AssertionError(f"not closed after {most} connections: {self.frames[-3:]}")

    def _connect(self, limit: int | None) -> bool:
        """One connection; whether another one follows."""
        place = self.places[self._visits % len(self.places)]
        self._visits += 1
        with self.user.open(
            self.path,
            at=place,
            headers={"Accept": "text/event-stream"},
            last_event_id=self.last_event_id or None,
            timeout=20,
        ) as stream:
            self.status = stream.status
            if stream.status != 200:
                return False
            if run_id := stream.headers["X-Sora-Run-Id"]:
                self.run_ids.add(run_id)
            self._read(stream, limit)
            self.frames += stream.frames
            self.last_event_id = stream.last_event_id or self.last_event_id
        return not any(map(self.closes, self.frames))

    def _read(self, stream: Stream, limit: int | None) -> None:
        while (limit is None or len(stream.raw) < limit) and stream.read(
            65536 if limit is None else limit - len(stream.raw)
        ):
            if any(map(self.closes, stream.frames)):
                return
        if stream.ended is None:
            self.cuts += 1
            if self._visits % 2:
                stream.reset()
