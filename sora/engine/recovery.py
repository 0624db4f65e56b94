"""Recovery: runs whose worker died are gone on with or brought to an end, by whichever worker sees it first."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from sora import metrics
from sora.engine.heir import abandon, can_go_on, go_on
from sora.engine.pipeline import Ended
from sora.errors import Interrupted, LogExpired, StoreError, message
from sora.events import EXTRAS, ORIGIN, Cancelled, Error, Event, text_of
from sora.store import workers
from sora.store.crypto import UnreadableError
from sora.store.runs import Ending, Run

if TYPE_CHECKING:
    from sora.engine.engine import Engine

logger = logging.getLogger(__name__)

_AT_ONCE = 100  # runs taken in one step
_TIDY_EVERY = 60.0  # seconds
_READ = 1000


class Recovery:
    """Watches the leases of the other workers and takes the runs of those that are given up.

    A worker is given up when its counter was seen unchanged for a whole lease on our own monotonic clock, while
    every look succeeded and none was late: a database outage, a clock step or our own pause expires nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self.alone = False  # at our last look there was no other worker
        self._engine = engine
        self._seen: dict[str, tuple[int, float]] = {}  # worker -> (lease, since when)
        self._looked_at = 0.0
        self._tidied_at = 0.0
        self._doubtful: dict[str, float] = {}  # run -> since when
        self._hopeless: set[str] = set()  # those of them that nobody can go on with

    def doubt(self, run_id: str, *, hopeless: bool = False) -> None:
        """Have a run taken that we may have left without a producer: its start's reply was lost, its producer failed (which is
        hopeless: it would again), or its taking was not finished. From any thread."""
        self._doubtful[run_id] = time.monotonic()
        if hopeless:
            self._hopeless.add(run_id)

    def step(self) -> None:
        """One look. Raises StoreError, and starts counting afresh, when the database is away."""
        if not self._engine.worker.id:
            return  # nothing can be taken; least of all what we have no key for
        try:
            self._engine.spool.replay()
            self._watch()
            self._take()
            self._tidy()
        except StoreError:
            self._seen.clear()
            raise

    def _watch(self) -> None:
        with self._engine.database.read() as session:
            found = workers.alive(session)
        now, lease_time = time.monotonic(), self._engine.config.lease
        if now - self._looked_at > lease_time / 2:
            self._seen.clear()
        self._looked_at = now
        self._seen = {
            worker: seen
            if (seen := self._seen.get(worker)) is not None and seen[0] == lease
            else (lease, now)
            for worker, lease in found
        }
        self.alone = not self._seen.keys() - {self._engine.worker.id}
        for worker, (lease, since) in self._seen.items():
            if now - since >= lease_time and worker != self._engine.worker.id:
                with self._engine.database.write() as session:
                    given_up = workers.give_up(session, worker, lease=lease)
                if given_up:
                    logger.warning("worker %s: given up, its lease has expired", worker)

    def _take(self) -> None:
        doubtful = dict(self._doubtful)
        with self._engine.database.read() as session:
            orphans = self._engine.store.orphans(session, list(doubtful), limit=_AT_ONCE)
        found = {run.id for run in orphans}
        # A commit whose reply was lost may still be under way at the server: what is not there is asked for a while.
        late = time.monotonic() - 2 * self._engine.database.timeout
        for run_id, since in doubtful.items():
            if run_id not in found and since < late:
                self._trust(run_id)
        for run in orphans:
            if not self._engine.produces(run.id):
                self._claim(run)

    def _trust(self, run_id: str) -> None:
        self._doubtful.pop(run_id, None)
        self._hopeless.discard(run_id)

    def _claim(self, run: Run) -> None:
        """Take one run, and go on with it or end it with what its log holds; the epoch rises first, so that its old owner can
        write no more."""
        engine = self._engine
        heritable = can_go_on(engine, run) and run.id not in self._hopeless
        if heritable and engine.draining:
            return  # there is no time for it here
        self.doubt(run.id)
        with engine.database.write() as session:
            taken = engine.store.take(session, run, engine.worker.id)
        if not taken:
            self._trust(run.id)
            return
        run = replace(run, epoch=run.epoch + 1, worker=engine.worker.id)
        try:
            events = self.events(run)
        except (UnreadableError, msgspec.DecodeError, LogExpired) as error:
            logger.error("run %s: log cannot be read: %s", run.id, type(error).__name__)
            events, heritable = [], False
        if not (heritable and self._go_on(run, events)):
            self._end(run, events)
        metrics.taken_over.inc()
        self._trust(run.id)

    def _go_on(self, run: Run, events: Sequence[Event]) -> bool:
        """False: it cannot be begun."""
        try:
            go_on(self._engine, run, events)
        except (UnreadableError, msgspec.DecodeError) as error:
            logger.error("run %s: cannot be gone on with: %s", run.id, type(error).__name__)
            return False
        return True

    def _end(self, run: Run, events: Sequence[Event]) -> None:
        """End a run that is ours with what its log holds."""
        engine = self._engine
        text = text_of(events)
        extras = tuple(event for event in events if isinstance(event, EXTRAS))
        terminal: Event
        if run.cancel_requested:
            terminal, ending = Cancelled(), Ending("cancelled", text, 0, extras=extras)
        else:
            terminal = Error(Interrupted.code, message(Interrupted.code, run.locale), Interrupted.retryable)
            ending = Ending("interrupted", text, 0, "error", Interrupted.code, extras=extras)
        ended = False
        try:
            ended = self._save(run, terminal, ending)
        finally:
            if not ended:
                engine.log.drop(run.id)  # its readers here look at the journal again
        if ended:
            engine.log.append(run.id, run.epoch, [terminal])
            metrics.runs_ended.labels(run.kind, ending.status).inc()
            logger.warning("run %s: its worker died; ended as %s", run.id, ending.status)
            abandon(engine, run)

    def _save(self, run: Run, terminal: Event, ending: Ending) -> bool:
        """End a run that is ours; False: somebody else has. What its pipeline cannot save does not keep it unfinished."""
        try:
            return self._write(run, terminal, ending, saves=True)
        except StoreError:
            raise
        except Exception as error:
            logger.error("run %s: could not save: %s", run.id, type(error).__name__)
            return self._write(run, terminal, ending, saves=False)

    def _write(self, run: Run, terminal: Event, ending: Ending, *, saves: bool) -> bool:
        engine = self._engine
        with engine.database.write() as session:
            last = engine.log.stage(session, run.id, run.epoch, terminal)
            if not engine.store.end(session, run, replace(ending, last_seq=last), ttl=engine.config.run_ttl):
                session.rollback()
                return False
            if saves:
                request = engine.store.request_of(run)
                engine.save(session, Ended(run, request, ending.status, ending.text, ending.extras))
        return True

    def events(self, run: Run) -> list[Event]:
        """All that a run's log holds, as of now. Raises LogExpired, StoreError."""
        events: list[Event] = []
        cursor = ORIGIN
        while (span := self._engine.log.read(run.id, cursor, _READ)).events:
            del events[span.first - 1 :]
            events += span.events
            cursor = span.end
        return events

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied_at < _TIDY_EVERY:
            return
        self._tidied_at = time.monotonic()
        while self._engine.log.purge(limit=_AT_ONCE) == _AT_ONCE:
            pass
        with self._engine.database.write() as session:
            workers.bury(session)
