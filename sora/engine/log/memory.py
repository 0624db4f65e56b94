"""The event log in this process's memory: the reference, and what local readers of every other log read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from sora.engine.log import Listener
from sora.errors import LogEnded, LogExpired, StaleEpoch
from sora.events import TERMINAL, Cursor, Event, Shared, Span


class Tape:
    """One run's events in memory, those after number `base`. One appender; any number of readers, without a lock.

    `earlier` are the epochs of what lies before `base`, each with its first number: cursors are taken back to these as well.
    """

    __slots__ = ("base", "ended_at", "epoch", "events", "last", "starts")

    def __init__(self, epoch: int, base: int = 0, earlier: Sequence[tuple[int, int]] = ()) -> None:
        self.base = self.last = base
        self.epoch = epoch
        self.events: list[Event] = []
        self.starts = [*earlier, (epoch, base + 1)]  # (epoch, its first number), in order
        self.ended_at: float | None = None

    def check(self, epoch: int) -> None:
        """Raises StaleEpoch or LogEnded when an append in this epoch is refused."""
        if epoch < self.epoch:
            raise StaleEpoch
        if self.ended_at is not None:
            raise LogEnded

    def append(self, epoch: int, events: Sequence[Event]) -> int:
        if epoch != self.epoch or self.ended_at is not None:
            self.check(epoch)
            self.starts.append((epoch, self.last + 1))
            self.epoch = epoch
        self.events += events
        self.last += len(events)  # after the events: readers look here first
        if events and type(events[-1]) in TERMINAL:
            self.ended_at = time.monotonic()
        return self.last

    def read(self, after: Cursor, limit: int) -> Span:
        """See EventLog.read; the cursor must not lie before `base`. One that is taken back to before it gets an empty span."""
        epoch, seq = after
        if self.ended_at is not None and seq >= self.last and (epoch, seq) > (self.epoch, self.last):
            # Nothing was ever said there: its reader gets the end, which it would wait for in vain.
            return Span(self.epoch, self.last, self.events[-1:])
        for candidate, first in self.starts:
            if candidate > epoch and first <= seq:
                # Epochs begin in order: this is the lowest restore point.
                epoch, seq = candidate, first - 1
                break
        start, stop = seq - self.base, min(seq + limit, self.last) - self.base
        if stop > start >= 0:
            for candidate, first in self.starts:
                if first <= seq + 1:
                    epoch = candidate
                else:
                    stop = min(stop, first - 1 - self.base)
                    break
        return Span(epoch, seq + 1, self.events[start:stop] if start >= 0 else ())

    def holds(self, after: Cursor) -> bool:
        """Whether everything after the cursor is here, unless an epoch after the cursor's takes it back."""
        return after.seq >= self.base


class MemoryLog:
    """Tapes by run. Lives and dies with the process; readers of other processes see nothing of it."""

    def __init__(self) -> None:
        self.tapes: dict[str, Tape] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._expiries: dict[str, float] = {}
        self._lock = threading.Lock()

    def append(self, run_id: str, epoch: int, events: Sequence[Event]) -> int:
        last = self._tape(run_id, epoch).append(epoch, events)
        self.notify(run_id, Span(epoch, last - len(events) + 1, events))
        return last

    def read(self, run_id: str, after: Cursor, limit: int) -> Span:
        expires = self._expiries.get(run_id)
        if expires is not None and expires <= time.monotonic():
            self.tapes.pop(run_id, None)
            raise LogExpired
        tape = self.tapes.get(run_id)
        return tape.read(after, limit) if tape is not None else Span(after.epoch, after.seq + 1, ())

    def follow(self, run_id: str, listener: Listener) -> Callable[[], None]:
        # Copied on change: `notify` may be walking the list in another thread.
        with self._lock:
            self._listeners[run_id] = [*self._listeners.get(run_id, ()), listener]

        def unfollow() -> None:
            with self._lock:
                # Equal, not identical: a bound method is a new object each time.
                left = [other for other in self._listeners.get(run_id, ()) if other != listener]
                if left:
                    self._listeners[run_id] = left
                else:
                    self._listeners.pop(run_id, None)

        return unfollow

    def stage(self, session: Session, run_id: str, epoch: int, terminal: Event) -> int:
        tape = self._tape(run_id, epoch)
        tape.check(epoch)
        return tape.last + 1

    def expire(self, run_id: str, ttl: float) -> None:
        self._expiries[run_id] = time.monotonic() + ttl

    def notify(self, run_id: str, span: Span | None = None) -> None:
        """Tell a run's followers what is new, or to look for themselves."""
        listeners = self._listeners.get(run_id, ())
        if span is not None and len(listeners) > 1:
            span = Shared(span.epoch, span.first, span.events)
        for listener in listeners:
            listener(span)

    def followed(self) -> list[str]:
        """Runs that somebody follows."""
        return list(self._listeners)

    def _tape(self, run_id: str, epoch: int) -> Tape:
        tape = self.tapes.get(run_id)
        if tape is None:
            tape = self.tapes[run_id] = Tape(epoch)
        return tape
