"""Recovery: runs whose worker died are brought to an end, by whichever worker sees it first."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from sora import metrics
from sora.engine.pipeline import Ended
from sora.errors import Interrupted, LogExpired, StoreError, message
from sora.events import ORIGIN, Cancelled, Error, Event, text_of
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
        self._engine = engine
        self._seen: dict[str, tuple[int, float]] = {}  # worker -> (lease, since when)
        self._looked_at = 0.0
        self._tidied_at = 0.0
        #: Runs that may have been left without a producer by us: their start's reply was lost, or their taking was not finished.
        self.doubtful: set[str] = set()

    def step(self) -> None:
        """One look. Raises StoreError, and starts counting afresh, when the database is away."""
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
        for worker, (lease, since) in self._seen.items():
            if now - since >= lease_time and worker != self._engine.worker_id:
                with self._engine.database.write() as session:
                    given_up = workers.give_up(session, worker, lease=lease)
                if given_up:
                    logger.warning("worker %s: given up, its lease has expired", worker)

    def _take(self) -> None:
        with self._engine.database.read() as session:
            orphans = self._engine.store.orphans(session, list(self.doubtful), limit=_AT_ONCE)
        self.doubtful &= {run.id for run in orphans}
        for run in orphans:
            if not self._engine.produces(run.id):
                self._end(run)

    def _end(self, run: Run) -> None:
        """Take one run and end it with what its log holds; the epoch rises first, so that its old owner can write no more."""
        engine = self._engine
        self.doubtful.add(run.id)
        with engine.database.write() as session:
            if not engine.store.take(session, run, engine.worker_id):
                self.doubtful.discard(run.id)
                return
        run = replace(run, epoch=run.epoch + 1, worker=engine.worker_id)
        try:
            text = text_of(self.events(run))
        except (UnreadableError, msgspec.DecodeError, LogExpired) as error:
            logger.error("run %s: log cannot be read: %s", run.id, type(error).__name__)
            text = ""
        terminal: Event
        if run.cancel_requested:
            terminal, ending = Cancelled(), Ending("cancelled", text, 0)
        else:
            terminal = Error(Interrupted.code, message(Interrupted.code, run.locale), Interrupted.retryable)
            ending = Ending("interrupted", text, 0, "error", Interrupted.code)
        with engine.database.write() as session:
            last = engine.log.stage(session, run.id, run.epoch, terminal)
            if engine.store.end(session, run, replace(ending, last_seq=last), ttl=engine.config.run_ttl):
                engine.pipeline(run.kind).save(
                    session, Ended(run, engine.store.request_of(run), ending.status, text)
                )
            else:
                session.rollback()
                engine.log.drop(run.id)
                return
        engine.log.append(run.id, run.epoch, [terminal])
        self.doubtful.discard(run.id)
        metrics.taken_over.inc()
        metrics.runs_ended.labels(run.kind, ending.status).inc()
        logger.warning("run %s: its worker died; ended as %s", run.id, ending.status)

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
