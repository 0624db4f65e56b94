"""This process as a worker: its lease, its turns of the journal, and its look at who still reads."""

from __future__ import annotations

import logging
import os
import socket as sockets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sora.engine.producer import Producer
from sora.store import sealed, workers
from sora.store.runs import Wish, new_id

if TYPE_CHECKING:
    from sora.engine.engine import Engine

logger = logging.getLogger(__name__)

_BEAT = 1.0  # seconds between two signs of life of an idle worker
_STAMP = 1.0  # seconds between two signs that a run of another worker is read here
_HEARD = 2.5  # seconds in which such a sign has come to whom it is for


class GivenUp(Exception):
    """This worker was declared dead by another one."""


class Worker:
    """One process among those that share the database. Its lease moves with each turn of its journal; one whose lease stands
    still is given up by the others, and begins again under another id. `id` is empty until it is registered."""

    def __init__(self, engine: Engine) -> None:
        self.id = ""
        self.missing_keys: Sequence[str] = ()  # encryption keys that the database needs and we have not
        self.fresh: set[str] = set()  # runs not yet marked as running
        self.read_out: set[str] = set()  # runs that a GET started and a reader has seen the end of
        # Where runs can be gone on with, as far as it is not written down yet.
        self.upstreams: dict[str, str] = {}
        self.wake: Callable[[], None] = lambda: None  # has the next round begin at once
        self.interval = min(_BEAT, engine.config.lease / 4)  # seconds between two signs of life
        self.beat_at = 0.0
        self._stamped_at = 0.0
        self._engine = engine

    def round(self) -> None:
        """One turn of the journal: our sign of life, all new events of all our runs, and what others want of them, in one
        transaction. Then a look at the runs that are read here and produced elsewhere."""
        due = time.monotonic() - self.beat_at >= self.interval
        if self._engine.producers or due or self.read_out or self.upstreams or self._engine.log.behind():
            try:
                self._write_journal()
            except GivenUp:
                self._start_over()
            except IntegrityError:
                self._engine.log.forget_owners()
                raise
        self._engine.log.poll()

    def _write_journal(self) -> None:
        if not self.id:
            self.register()
            if not self.id:
                return
        fresh, read_out, reads = list(self.fresh), list(self.read_out), self._read_elsewhere()
        wishes: Sequence[Wish] | None = None
        for part in self._engine.log.parts():
            with self._engine.database.write() as session:
                if not workers.beat(session, self.id):
                    raise GivenUp
                self._engine.log.write(session, part)
                # After the part was made: what is written of an answer is never more than can be gone on with.
                upstreams = dict(self.upstreams)
                if upstreams:
                    self._engine.store.note(session, self.id, upstreams)
                if wishes is None:
                    self._tell(session, fresh, read_out, reads)
                    wishes = self._engine.store.wishes(session, self.id) if self._engine.producers else ()
            self._engine.log.written(part)
            for run_id, upstream in upstreams.items():
                if self.upstreams.get(run_id) == upstream:
                    self.upstreams.pop(run_id, None)
        self.fresh.difference_update(fresh)
        self.read_out.difference_update(read_out)
        deaf = time.monotonic() - self.beat_at > _HEARD
        self.beat_at = time.monotonic()
        for wish in wishes or ():
            if (producer := self._engine.producers.get(wish.run_id)) is not None:
                if wish.cancel:
                    producer.cancel()
                if wish.reads and (wish.reads != producer.reads_elsewhere or deaf):
                    producer.reads_elsewhere = wish.reads
                    producer.left_at = self.beat_at
                if wish.superseded and self.unread(producer):
                    producer.cancel()

    def _tell(
        self, session: Session, fresh: Sequence[str], read_out: Sequence[str], reads: Sequence[str]
    ) -> None:
        """Write what others are to know of runs: which have begun, which were read to their end, which are read here."""
        if fresh:
            self._engine.store.begin(session, fresh)
        if read_out:
            self._engine.store.release(session, read_out)
        if reads:
            self._engine.store.stamp_reads(session, reads)

    def _read_elsewhere(self) -> Sequence[str]:
        """Runs to stamp as being read here, once a second: those that end with their last reader, wherever that is."""
        if time.monotonic() - self._stamped_at < _STAMP:
            return ()
        self._stamped_at = time.monotonic()
        remote = set(self._engine.log.remote())
        return list(
            {
                r.run.id
                for r in self._engine.readers.all()
                if r.run.on_disconnect == "cancel" and r.run.id in remote
            }
        )

    def note(self, run_id: str, upstream: str) -> None:
        """Write down at once where a run can be gone on with, should we die. Does not block."""
        self.upstreams[run_id] = upstream
        self.wake()

    def sweep(self) -> None:
        self._engine.readers.sweep()
        self._engine.log.tidy()
        for producer in list(self._engine.producers.values()):
            # Asked here first: there may be thousands, and nearly all of them are read.
            if producer.left_at is not None and self.unread(
                producer, seconds=self._engine.config.orphan_grace
            ):
                producer.cancel()

    def unread(self, producer: Producer, *, seconds: float = 0.0) -> bool:
        """Whether a run that should end with its client has had readers, and none for so many seconds, on any worker."""
        if producer.run.on_disconnect != "cancel" or producer.left_at is None:
            return False
        if self._engine.readers.of(producer.run.id):
            return False
        if producer.reads_elsewhere:
            # Readers elsewhere are heard of through the database, now and then: silence counts only while that answers.
            return self.beat_at - producer.left_at >= seconds + _HEARD
        if seconds and not self._engine.recovery.alone:
            seconds = max(seconds, _HEARD)  # one elsewhere may have begun to read a moment ago
        return time.monotonic() - producer.left_at >= seconds

    def _start_over(self) -> None:
        """We were given up: what we hold belongs to others now. Drop it, cut its readers, and begin as a new worker."""
        logger.warning("worker %s: was given up by another worker; starting over", self.id)
        self.id = ""
        for producer in list(self._engine.producers.values()):
            producer.drop()
            for reader in self._engine.readers.of(producer.run.id):
                reader.leave("shutdown")
            self._engine.log.drop(producer.run.id, epoch=producer.run.epoch)
        self.register()

    def register(self) -> None:
        worker = new_id()
        with self._engine.database.write() as session:
            missing = sealed.missing(session, self._engine.keyring)
            if not missing:
                key = self._engine.keyring.names[0]
                sealed.enlist(session, key)
                workers.register(session, worker, host=sockets.gethostname(), pid=os.getpid(), key=key)
        if missing:
            self._refuse(missing)
            return
        self.missing_keys = ()
        self.id = worker

    def _refuse(self, missing: Sequence[str]) -> None:
        """Keys were taken out of the settings: too early if something needs them still. Say so once, and start no run."""
        if self.missing_keys == missing:
            return
        for key in missing:
            if needing := sealed.release(self._engine.database, key):
                words = "%d fields (and workers) still need the key %s, which is not in SORA_ENCRYPTION_KEYS"
                logger.error(words, needing, key)
        self.missing_keys = missing
