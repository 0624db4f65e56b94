"""The engine of one process: starts, reads, cancels and ends runs. Everything above it talks to this class."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from _thread import start_new_thread
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from sora import metrics
from sora.config import Config
from sora.engine.generation import Provider
from sora.engine.log.database import DatabaseLog
from sora.engine.loop import Loop
from sora.engine.outbox import Deliver, Outbox
from sora.engine.pipeline import Ended, Pipeline
from sora.engine.producer import Producer
from sora.engine.reader import Reader, saved_events
from sora.engine.readers import Readers
from sora.engine.recovery import Recovery
from sora.engine.spool import Spool
from sora.engine.stack import apart
from sora.engine.turns import PATIENCE, Turns
from sora.engine.worker import GivenUp, Worker
from sora.errors import (
    Conflict,
    ConversationBusy,
    Draining,
    LogError,
    LogExpired,
    NotFound,
    Overloaded,
    RequestError,
    RunActive,
    StoreError,
    TooManyRuns,
)
from sora.events import ORIGIN, Cursor, Event, Extra, text_of
from sora.store import workers
from sora.store.attachments import Attachment
from sora.store.crypto import Keyring
from sora.store.database import Database
from sora.store.runs import Run, RunStore, new_id, now
from sora.wire import FORMATS

logger = logging.getLogger(__name__)

#: The engines of this process, for the server that starts and drains them.
engines: weakref.WeakSet[Engine] = weakref.WeakSet()

_SWEEP = 0.25  # seconds between two looks for readers that hung up and runs without readers
_CHECKPOINT = 2.0  # seconds between two checkpoints of SQLite's log
_WRAP_UP = 5.0  # seconds kept back from a drain, for saving what is interrupted
_ANSWERED = 2.0  # seconds since the last round of the journal in which the database counts as there
_READ = 1000
_TRIES = 10  # to write a run's row, whose place others may take and leave meanwhile
_FOUND_AGAIN = 600.0  # seconds that a GET finds its run again after an end that nobody has read


@dataclass(frozen=True, slots=True)
class Order:
    """A run that somebody wants. `request` is what the kind's schema encoded. An idempotency key of `IMPLICIT` holds until a
    reader was sent the run's end, and at most 10 minutes after that."""

    owner: str
    kind: str
    request: bytes
    locale: str
    on_disconnect: str | None = None
    idempotency_key: str | None = None
    ticket: str | None = None
    retry_of: str | None = None
    files: Sequence[Attachment] = ()


class Engine:
    """All runs of one process. Methods may be called from any thread; they block for the database at most, for its timeout.

    Every method that takes an `owner` treats what is not theirs as not there (NotFound).
    """

    def __init__(
        self,
        config: Config,
        *,
        database: Database,
        keyring: Keyring,
        provider: Provider,
        pipelines: Sequence[Pipeline],
        deliver: Deliver | None = None,
    ) -> None:
        self.config = config
        self.database = database
        self.keyring = keyring
        self.provider = provider
        self.store = RunStore(keyring)
        self.log = DatabaseLog(database, keyring)
        self.readers = Readers(send_timeout=config.send_timeout)
        self.worker = Worker(self)
        self.recovery = Recovery(self)
        self.spool = Spool(self, config.instance / "spool")
        self.turns = Turns(self)
        self.outbox = Outbox(self, deliver) if deliver is not None else None
        self.draining = False
        self.producers: dict[str, Producer] = {}  # the runs produced here
        self._pipelines = {pipeline.kind: pipeline for pipeline in pipelines}
        self._loops: list[Loop] = []
        self._starting = threading.Lock()
        self._pid = 0
        engines.add(self)

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make this process a worker: register it, and begin its rounds, its sweeps and its recovery. Idempotent."""
        with self._starting:
            if self._pid == os.getpid() or self.draining:
                return
            self._pid = os.getpid()
            journal = Loop("journal", self.config.journal_interval, self.worker.round)
            self.worker.wake = journal.wake
            self._loops = [
                journal,
                Loop("sweep", _SWEEP, self.worker.sweep),
                Loop("recovery", self.worker.interval, self.recovery.step),
                Loop("checkpoint", _CHECKPOINT, self.database.checkpoint),
            ]
            if self.outbox is not None:
                self._loops.append(Loop("outbox", 0.0, self.outbox.step))
            try:
                self.worker.register()
            except StoreError:
                logger.warning("the database does not answer; runs start once it does")
            for loop in self._loops:
                loop.start()

    def stop(self, *, grace: float) -> None:
        """Take no new run, let those under way come to their end for `grace` seconds, then end the rest as interrupted, but for
        what another worker can go on with; what the database does not take is spooled. Blocks until done; a few seconds beyond
        nothing is left running."""
        if self.draining:
            return
        self.draining = True
        wrap_up = min(_WRAP_UP, grace / 2)
        outbox = self.outbox
        self._wait(lambda: not self.producers and (outbox is None or outbox.idle), grace - wrap_up)
        left = set()
        for producer in list(self.producers.values()):
            if producer.heritable and time.monotonic() - self.worker.beat_at < _ANSWERED:
                left.add(producer.run.id)
                producer.drop()  # another worker goes on with it
            else:
                producer.interrupt()
        self._wait(lambda: not self.producers, wrap_up / 2)
        for producer in list(self.producers.values()):
            producer.spool()
        self._wait(lambda: not self.producers, wrap_up / 2)
        left.update(self.log.remote())
        for reader in self.readers.all():
            if reader.run.id in left:
                reader.leave("shutdown")
        for loop in self._loops:
            loop.stop(timeout=1.0)
        try:
            self.worker.round()
            with self.database.write() as session:
                workers.give_up(session, self.worker.id)
        except (StoreError, GivenUp):
            pass  # the others will see that our lease stands still

    def health(self) -> dict[str, bool]:
        """What readiness depends on."""
        self.start()
        try:
            with self.database.read() as session:
                workers.alive(session)
            database = True
        except Exception:
            database = False
        return {
            "database": database,
            "log": database and bool(self.worker.id),
            "keys": not self.worker.missing_keys,
            "provider": not self._pipelines
            or bool(self.config.openai_api_key or self.config.openai_base_url),
            "accepting": not self.draining,
        }

    # -- runs ----------------------------------------------------------------------------------------------------------

    def begin(self, order: Order, *, pipeline: Pipeline | None = None) -> tuple[Run, bool]:
        """Start a run, or find the one its idempotency key started; the run, and whether it is new. Returns once the run
        is in the database: at once, or when the run before it in its conversation has made way for it. A `pipeline` is for this
        run alone, which then cannot be tried again. Raises Conflict, ConversationBusy, TooManyRuns, Overloaded, Draining,
        StoreError, and what its pipeline refuses."""
        self.start()
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return apart(self._begin, order, pipeline or self._pipelines[order.kind])
            except ConversationBusy as busy:
                self.turns.make_way(busy, until=until)

    def _begin(self, order: Order, pipeline: Pipeline) -> tuple[Run, bool]:
        told_apart_by = (order.kind, order.on_disconnect or "", order.retry_of or "")
        mac_of = b"\0".join((*(part.encode() for part in told_apart_by), order.request))
        # Taken before the look at the database: the journal's round releases a key first, and forgets it then.
        read_out = self.worker.read_out.copy()
        try:
            self._admit(order.owner)
        except RequestError:
            earlier = self._earlier(order, mac_of)
            if earlier is None or _over(earlier, read_out):
                raise
            return self._ticketed(earlier, order), False
        run_id = new_id()
        run = Run(
            id=run_id,
            owner=order.owner,
            kind=order.kind,
            status="pending",
            worker=self.worker.id,
            epoch=1,
            locale=order.locale,
            on_disconnect=order.on_disconnect or self.config.on_disconnect or pipeline.on_disconnect,
            request=self.store.seal_request(run_id, order.owner, order.request),
            request_mac=self.keyring.mac(mac_of),
            idempotency_key=order.idempotency_key,
            retry_of=order.retry_of,
            cancel_requested=False,
            created_at=now(),
        )
        producer = Producer(self, run, pipeline, order.request)
        # Known before it is in the database, so that recovery never takes it for a run without a producer.
        self.producers[run_id] = producer
        try:
            with self.database.write() as session:
                earlier = self._add(session, run, order, mac_of, read_out)
                if earlier is None:
                    pipeline.begin(session, run, order.request, order.files)
        except RequestError:
            self.producers.pop(run_id, None)
            raise
        except BaseException:
            self.producers.pop(run_id, None)
            self.recovery.doubt(run_id)
            raise
        if earlier is not None:
            self.producers.pop(run_id, None)
            return self._ticketed(earlier, order), False
        try:
            self.log.begin(run_id, order.owner)
        except LogError:
            pass  # we were given up meanwhile; the producer finds out in the same way, and ends
        self.worker.fresh.add(run_id)
        metrics.runs_started.labels(order.kind).inc()
        metrics.active_runs.inc()
        # Not a Thread object: nobody joins it, and there may be thousands.
        start_new_thread(producer.produce, ())
        # Its turn first: the model thinks while we make the answer's head.
        time.sleep(0)
        return run, True

    def get(self, run_id: str, *, owner: str) -> Run:
        """One's own run. Raises NotFound, StoreError."""
        with self.database.read() as session:
            run = self.store.find(session, run_id)
        if run is None or run.owner != owner:
            raise NotFound
        return run

    def by_ticket(self, ticket: str) -> Run:
        """The run of a ticket. Raises NotFound for one made up, or expired before its first use."""
        with self.database.write() as session:
            run = self.store.find_by_ticket(session, ticket)
        if run is None:
            raise NotFound
        return run

    def list(
        self, owner: str, *, status: str | None = None, limit: int = 20, before: str | None = None
    ) -> list[Run]:
        with self.database.read() as session:
            return self.store.list(session, owner, status=status, limit=limit, before=before)

    def text(self, run: Run) -> str:
        """The answer: saved, or as far as it is in the log."""
        if run.final:
            return self.store.text_of(run)
        try:
            return text_of(self.recovery.events(run))
        except LogExpired:
            return ""

    def extras(self, run: Run) -> Sequence[Extra]:
        """What a final run has said beside its text."""
        return self.store.extras_of(run)

    def cancel(self, run_id: str, *, owner: str) -> Run:
        """Ask for a run's end; whoever produces it ends it with what it holds. A final run stays as it is."""
        run = self.get(run_id, owner=owner)
        if not run.final:
            with self.database.write() as session:
                self.store.request_cancel(session, run_id)
            if (producer := self.producers.get(run_id)) is not None:
                producer.cancel()
        return run

    def retry(self, run_id: str, *, owner: str, idempotency_key: str | None = None) -> Run:
        """Start the same request again, as a new run; the same key gets the same one. Raises RunActive while the old one is
        not final, Conflict for one that had a pipeline of its own, and what `begin` raises."""
        run = self.get(run_id, owner=owner)
        if not run.final:
            raise RunActive
        if run.kind not in self._pipelines:
            raise Conflict("not_repeatable")
        request = self.store.request_of(run)
        order = Order(
            owner=owner,
            kind=run.kind,
            request=request,
            locale=run.locale,
            on_disconnect=run.on_disconnect,
            idempotency_key=idempotency_key,
            retry_of=run.id,
        )
        return self.begin(order)[0]

    def delete(self, run_id: str, *, owner: str) -> None:
        """Delete a final run with its log and its text. Raises RunActive for one that is not final."""
        self.get(run_id, owner=owner)
        with self.database.write() as session:
            deleted = self.store.delete(session, run_id)
        if not deleted:
            raise RunActive
        self.log.drop(run_id)

    @property
    def kinds(self) -> Collection[str]:
        """The kinds of run that any worker knows how to make."""
        return self._pipelines.keys()

    def pipeline(self, kind: str) -> Pipeline | None:
        """What makes runs of this kind; None for one that had a pipeline of its own."""
        return self._pipelines.get(kind)

    def save(self, session: Session, ended: Ended) -> None:
        """Have the pipeline of a run that ended elsewhere save it. One that had a pipeline of its own keeps its text alone."""
        if (pipeline := self.pipeline(ended.run.kind)) is not None:
            pipeline.save(session, ended)

    def produces(self, run_id: str) -> bool:
        """Whether the run's producer lives in this process."""
        return run_id in self.producers

    def produced(self, producer: Producer) -> None:
        """A producer has come to its end."""
        if self.producers.pop(producer.run.id, None) is not None:
            metrics.active_runs.dec()
        self.worker.fresh.discard(producer.run.id)

    # -- readers -------------------------------------------------------------------------------------------------------

    def read(
        self,
        run: Run,
        *,
        format: str = "native",
        cursor: Cursor | None = None,
        resumed: bool = False,
        ids: bool = True,
        opening_id: str | None = None,
        ping: bool = False,
        until: float | None = None,
        socket: Any = None,
    ) -> Reader:
        """A reader of a run, registered until its `close`. See Reader; `socket` is the client's, watched for a hang-up."""
        self.start()
        if resumed:
            metrics.reconnects.inc()
        reader = Reader(
            run,
            FORMATS[format](run.locale),
            log=self.log,
            cursor=cursor or ORIGIN,
            ids=ids,
            opening_id=opening_id,
            heartbeat=self.config.heartbeat,
            ping=ping,
            until=until,
            saved=lambda: self._saved(run.id),
            closed=self._reader_closed,
        )
        self.readers.add(reader, socket=socket)
        if (producer := self.producers.get(run.id)) is not None:
            producer.left_at = None
            if producer.saving is not None:
                reader.tell(producer.saving)
        return reader

    def exhausted(self, run: Run, *, format: str, cursor: Cursor) -> bool:
        """Whether a final run has no frame with data left after `cursor` in this format."""
        if not run.final:
            return False
        if cursor.epoch >= run.epoch and cursor.seq >= (run.last_seq or 0):
            return True
        encoder = FORMATS[format](run.locale)
        while True:
            try:
                span = self.log.read(run.id, cursor, _READ)
            except LogExpired:
                return False
            if span.first <= cursor.seq or any(encoder.encode(event, None) for event in span.events):
                return False
            if not span.events:
                return True
            cursor = span.end

    def _saved(self, run_id: str) -> tuple[Run, Sequence[Event]]:
        with self.database.read() as session:
            run = self.store.find(session, run_id)
        if run is None:
            raise NotFound
        return run, saved_events(run, self.store.text_of(run), self.store.extras_of(run))

    def _reader_closed(self, reader: Reader) -> None:
        self.readers.remove(reader)
        if reader.ended and reader.run.implicit:
            self.worker.read_out.add(reader.run.id)
        if (producer := self.producers.get(reader.run.id)) is not None:
            producer.left_at = time.monotonic()

    def _admit(self, owner: str) -> None:
        if self.draining:
            raise Draining(retry_after=5)
        if not self.worker.id:
            raise Overloaded(retry_after=2)
        limit, own = self.config.max_runs, self.config.max_runs_per_principal
        if limit and len(self.producers) >= limit:
            raise Overloaded(retry_after=2)
        if own and sum(1 for producer in list(self.producers.values()) if producer.run.owner == owner) >= own:
            raise TooManyRuns(retry_after=2)

    def _earlier(self, order: Order, mac_of: bytes) -> Run | None:
        if order.idempotency_key is None:
            return None
        with self.database.read() as session:
            return self.store.find_by_key(session, order.owner, order.idempotency_key, mac_of=mac_of)

    def _add(
        self, session: Session, run: Run, order: Order, mac_of: bytes, read_out: Collection[str]
    ) -> Run | None:
        """Write the run's row; else the run that the same request has started, and that is to be read in its place."""
        expires_at = time.time() + self.config.ticket_ttl if order.ticket else None
        # Nearly every key is a new one: it is looked for only when its place is taken.
        for _ in range(_TRIES):
            if self.store.add(session, run, ticket=order.ticket, ticket_expires_at=expires_at):
                return None
            key = order.idempotency_key or ""
            earlier = self.store.find_by_key(session, order.owner, key, mac_of=mac_of)
            if earlier is not None and not _over(earlier, read_out):
                return earlier
            if earlier is not None:
                self.store.release(session, [earlier.id])
        raise StoreError("a run has no place in the database")

    def _ticketed(self, run: Run, order: Order) -> Run:
        """The run, which a ticket opens from now on if one was ordered and it has none."""
        if order.ticket is not None:
            expires_at = time.time() + self.config.ticket_ttl
            with self.database.write() as session:
                self.store.give_ticket(session, run.id, order.ticket, expires_at=expires_at)
        return run

    @staticmethod
    def _wait(done: Any, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline:
            time.sleep(0.02)


def _over(run: Run, read_out: Collection[str]) -> bool:
    """Whether the request that started this run is a new one when it comes again."""
    return run.implicit and run.final and (run.id in read_out or run.ended_for > _FOUND_AGAIN)
