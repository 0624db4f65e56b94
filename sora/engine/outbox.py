"""Delivery of the outbox: claims what is due, several owners at a time, and writes down what came of it."""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from sora import metrics
from sora.engine.app_server import Outcome
from sora.store.crypto import UnreadableError
from sora.store.outbox import Entry, Letter, OutboxStore

if TYPE_CHECKING:
    from sora.engine.engine import Engine

logger = logging.getLogger(__name__)

#: Delivers a letter: (key, owner, letter) -> what came of it. Blocks, but not for ever.
Deliver = Callable[[str, str, Letter], Outcome]

_INTERVAL = 0.5  # seconds between two looks for what is due
_AT_ONCE = 8  # deliveries under way, of as many owners
_FIRST_PAUSE = 0.5  # seconds before the second try; doubled with each further one
_MEASURED_EVERY = 2.0  # seconds


class Outbox:
    """The deliveries of one worker.

    The database is touched by the loop's thread alone, and what came of a delivery waits in memory until it is written: a
    database that is away delays, and makes no entry forgotten or delivered under another key. A claim ends with the worker.
    """

    def __init__(self, engine: Engine, deliver: Deliver) -> None:
        self._engine = engine
        self._deliver = deliver
        self._store = OutboxStore(engine.keyring)
        self._under_way: dict[str, Entry] = {}  # claimed, and what came of it is not written yet
        self._results: list[tuple[Entry, Outcome]] = []
        self._done = threading.Event()
        self._measured_at = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._under_way

    def step(self) -> None:
        """One turn, as soon as something came of a delivery or it is time to look for what is due. Raises StoreError."""
        self._done.wait(_INTERVAL)
        self._done.clear()
        self._settle()
        self._claim()
        self._measure()

    def _settle(self) -> None:
        """Write what came of deliveries."""
        results = list(self._results)
        if not results:
            return
        with self._engine.database.write() as session:
            for entry, outcome in results:
                if outcome.what == "delivered":
                    self._store.delivered(session, entry)
                elif outcome.what == "dead":
                    self._store.bury(session, entry, answer=outcome.answer)
                else:
                    self._store.postpone(
                        session, entry, seconds=self._pause(entry, outcome), answer=outcome.answer
                    )
        del self._results[: len(results)]
        for entry, outcome in results:
            del self._under_way[entry.id]
            metrics.outbox_deliveries.labels(outcome.what).inc()
            logger.log(_level(entry, outcome), "outbox %s: %s (%s)", entry.id, outcome.what, outcome.answer)

    def _claim(self) -> None:
        """Claim what is due, and begin its delivery."""
        engine, room = self._engine, _AT_ONCE - len(self._under_way)
        worker = engine.worker.id
        if engine.draining or not worker or room <= 0:
            return
        with engine.database.read() as session:
            due = self._store.due(session, worker, limit=room, but=list(self._under_way))
        if not due:
            return
        with engine.database.write() as session:
            claimed = [
                mine for entry in due if (mine := self._store.claim(session, worker, entry)) is not None
            ]
        for entry in claimed:
            threading.Thread(target=self._carry, args=(entry,), name="sora-delivery", daemon=True).start()
            self._under_way[entry.id] = entry

    def _carry(self, entry: Entry) -> None:
        """One delivery, on a thread (greenlet) of its own."""
        try:
            outcome = self._deliver(entry.id, entry.owner, self._store.open(entry))
        except (UnreadableError, msgspec.DecodeError) as error:
            outcome = Outcome("dead", type(error).__name__)
        except Exception as error:
            # Whatever it is must not keep the entry under way for ever.
            where = "".join(traceback.format_tb(error.__traceback__)).rstrip()
            logger.error("outbox %s: %s\n%s", entry.id, type(error).__name__, where)
            outcome = Outcome("retry", type(error).__name__)
        self._results.append((entry, outcome))
        self._done.set()

    def _pause(self, entry: Entry, outcome: Outcome) -> float:
        """Seconds until the next try: longer each time, and not the same for all that wait for the same app server."""
        longest = self._engine.config.outbox_backoff_max
        backoff = min(longest, _FIRST_PAUSE * 2.0 ** min(entry.attempts - 1, 30)) * random.uniform(0.5, 1.0)
        return max(backoff, outcome.retry_after)

    def _measure(self) -> None:
        if time.monotonic() - self._measured_at < _MEASURED_EVERY:
            return
        with self._engine.database.read() as session:
            standing = self._store.standing(session)
        self._measured_at = time.monotonic()
        metrics.outbox_depth.set(standing.waiting)
        metrics.outbox_dead.set(standing.dead)
        metrics.outbox_oldest.set(standing.oldest)


def _level(entry: Entry, outcome: Outcome) -> int:
    """How loud a line is: an app server that is away would else be told again with each try."""
    if outcome.what == "dead":
        return logging.ERROR
    return logging.WARNING if outcome.what == "retry" and entry.attempts == 1 else logging.INFO
