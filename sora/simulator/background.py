"""Background responses: made whether or not anybody listens, and kept for a while for whoever asks for them again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gevent
from gevent.event import Event

from sora.simulator import actions
from sora.simulator.actions import Action, Cut, Flush, Pause, Silence, Until, Write
from sora.simulator.responses import Reply
from sora.simulator.scripts import Script
from sora.simulator.text import Answer

SECONDS = 600.0
"""How long a response is kept, as at OpenAI."""

_NUMBER = re.compile(rb'"sequence_number":(\d+)')


@dataclass(frozen=True, slots=True)
class _Said:
    """Events that were written together; `last` is the number of the last one."""

    write: Write
    last: int


class Kept:
    """One background response. It begins at once; what its script does to a connection (`cut`, `reset`, `headers`) happens to
    the one that asked for it, and to no other."""

    def __init__(self, script: Script, answer: Answer, wire: Reply) -> None:
        self.script = script
        self.id = wire.id
        self.made_at = time.monotonic()
        self._wire = wire
        self._said: list[_Said] = []
        self._status = "queued"
        self._over = False
        self._more = Event()
        own = replace(script, cut=None, reset=None, utf8=False, headers=0.0)
        self._greenlet = gevent.spawn(self._make, actions.streamed(own, answer, wire))

    @property
    def state(self) -> dict[str, Any]:
        """The response as it is now: whole at its end, without any output before."""
        if self._over and self._status == "in_progress" and self._wire.final is not None:
            return self._wire.final
        return self._wire.unfinished(self._status)

    def opening(self) -> Iterator[Action]:
        """What the request that began it is answered, as it is said."""
        if self.script.headers:
            yield Pause(self.script.headers)
        yield Flush()
        steps = self._cut_up(self._writes(-2))
        ends = [k for k in (self.script.cut, self.script.reset) if k is not None]
        yield from _cut(steps, min(ends), reset=self.script.reset is not None) if ends else steps

    def events(self, after: int) -> Iterator[Action]:
        """The events with a higher number than this: what has been said and what is still to come. What is no
        event is not told again."""
        yield Flush()
        yield from self._cut_up(_later(step, after) for step in self._writes(after))

    def cancel(self) -> None:
        """Stop it, unless it is over."""
        if not self._over:
            self._greenlet.kill()
            self._end("cancelled")

    def _make(self, steps: Iterator[Action]) -> None:
        self._status, due, last = "in_progress", self.made_at, -1
        for step in steps:
            if isinstance(step, Pause):
                due += step.seconds
                gevent.sleep(max(due - time.monotonic(), 0.0))
            elif isinstance(step, Silence) or self.script.drip:
                return  # it goes on for ever
            elif isinstance(step, Write):
                numbers = _NUMBER.findall(step.data)
                last = int(numbers[-1]) if numbers else last
                self._said.append(_Said(step, last))
                self._tell()
        self._end("in_progress")

    def _end(self, status: str) -> None:
        self._status, self._over = status, True
        self._tell()

    def _tell(self) -> None:
        more, self._more = self._more, Event()
        more.set()

    def _cut_up(self, steps: Iterator[Action]) -> Iterator[Action]:
        return actions.split(steps) if self.script.utf8 else steps

    def _writes(self, after: int) -> Iterator[Action]:
        place = 0
        while True:
            while place < len(self._said):
                said = self._said[place]
                place += 1
                if said.last > after:
                    yield said.write
            if self._over:
                return
            yield Until(self._more)


class Shelf:
    """The background responses of the last ten minutes."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def put(self, kept: Kept) -> Kept:
        """Keep one, and drop those that are too old."""
        before = time.monotonic() - SECONDS
        # Dictionaries keep their order: the oldest are first.
        for old in [each for each in self._kept.values() if each.made_at < before]:
            self.drop(old.id)
        self._kept[kept.id] = kept
        return kept

    def get(self, response_id: str) -> Kept | None:
        """One that is kept still."""
        kept = self._kept.get(response_id)
        return None if kept is None or kept.made_at < time.monotonic() - SECONDS else kept

    def drop(self, response_id: str) -> None:
        """Forget one, and make no more of it."""
        self._kept.pop(response_id).cancel()


def _cut(steps: Iterator[Action], tokens: int, *, reset: bool) -> Iterator[Action]:
    """The steps up to so many tokens, then the end of the connection."""
    sent = 0
    for step in steps:
        if isinstance(step, Write):
            if sent >= tokens and (sent or step.tokens):
                break
            sent += step.tokens
        yield step
    yield Cut(reset=reset)


def _later(step: Action, after: int) -> Action:
    """Of a write, its events that have a higher number."""
    if not isinstance(step, Write):
        return step
    end = b"\r\n\r\n" if b"\r\n\r\n" in step.data else b"\n\n"
    later = [
        block + end
        for block in step.data.split(end)
        if (number := _NUMBER.search(block)) and int(number[1]) > after
    ]
    return Write(b"".join(later), step.tokens)
