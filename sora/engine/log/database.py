"""The event log in the database: a journal, written for all of a worker's runs at once, readable by every worker.

Readers in the producing process read its memory. The journal's rows are batches of events; a batch once made keeps its
bounds until it is known to be written, so that writing it again (after a commit whose reply was lost) changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.engine.log import Listener
from sora.engine.log.memory import MemoryLog, Tape
from sora.errors import LogExpired, StaleEpoch
from sora.events import Cursor, Event, Span, decode, encode
from sora.store.crypto import Keyring
from sora.store.database import Database
from sora.store.models import JournalRow, RunRow
from sora.store.runs import insert

_KEEP = 5.0  # seconds that an ended run stays in memory, for readers that are about to reach its end
_IDS = 500  # ids in one IN list


@dataclass(slots=True)
class _Batch:
    """Events `first`… of one epoch, as one row of the journal."""

    epoch: int
    first: int
    events: Sequence[Event]

    @property
    def last(self) -> int:
        return self.first + len(self.events) - 1


@dataclass(slots=True)
class _Unwritten:
    """What is known of a local run's journal: its owner once asked for, what is durable, what is on its way."""

    durable: int
    owner: str | None = None
    batches: list[_Batch] = field(default_factory=list)


class DatabaseLog:
    """EventLog over the table `journal`. `flush` is called by the worker's round, `poll` by its follower."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._memory = MemoryLog()
        self._unwritten: dict[str, _Unwritten] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._dropped: dict[str, int] = {}
        self._lock = threading.Lock()

    def append(self, run_id: str, epoch: int, events: Sequence[Event]) -> int:
        # This very tape: were it dropped meanwhile, nobody reads it, and what follows is refused.
        tape = self._open(run_id, epoch)
        last = tape.append(epoch, events)
        self._memory.notify(run_id, Span(epoch, last - len(events) + 1, events))
        if tape.ended_at is not None:
            # Its terminal event was staged and committed: all of it is durable.
            with self._lock:
                self._unwritten.pop(run_id, None)
        return last

    def read(self, run_id: str, after: Cursor, limit: int) -> Span:
        tape = self._memory.tapes.get(run_id)
        if tape is not None and tape.holds(after):
            return tape.read(after, limit)
        return self._read_journal(run_id, after, limit)

    def follow(self, run_id: str, listener: Listener) -> Callable[[], None]:
        return self._memory.follow(run_id, listener)

    def stage(self, session: Session, run_id: str, epoch: int, terminal: Event) -> int:
        tape = self._open(run_id, epoch)
        tape.check(epoch)
        with self._lock:
            batches = list(self._collect(run_id))
        # A batch of its own: a round of the flusher may write the others at the same time, with the same bounds.
        batches.append(_Batch(epoch, tape.last + 1, [terminal]))
        self._write(session, {run_id: batches})
        return tape.last + 1

    def expire(self, run_id: str, ttl: float) -> None:
        self._memory.tapes.pop(run_id, None)
        with self._database.write() as session:
            which = sa.update(RunRow).where(RunRow.id == run_id)
            session.execute(which.values(log_expires_at=time.time() + ttl))
            if ttl <= 0:
                session.execute(sa.delete(JournalRow).where(JournalRow.run_id == run_id))

    def purge(self, *, limit: int) -> int:
        """Delete the journals of at most `limit` runs whose logs have expired; returns how many."""
        with self._database.write() as session:
            due = sa.and_(RunRow.log_expires_at > 0, RunRow.log_expires_at <= time.time())
            ids = list(session.scalars(sa.select(RunRow.id).where(due).limit(limit)))
            if ids:
                session.execute(sa.delete(JournalRow).where(JournalRow.run_id.in_(ids)))
                session.execute(sa.update(RunRow).where(RunRow.id.in_(ids)).values(log_expires_at=0.0))
        return len(ids)

    def begin(self, run_id: str, owner: str) -> None:
        """A new run of `owner` will be appended to here: nothing of it need be looked for in the database."""
        self._open(run_id, 1)
        self._unwritten[run_id].owner = owner

    def flush(self, session: Session) -> Callable[[], None]:
        """Write what is not durable yet into the caller's transaction; call the result once that is committed."""
        with self._lock:
            runs = {run_id: list(self._collect(run_id)) for run_id in self._unwritten}
        runs = {run_id: batches for run_id, batches in runs.items() if batches}
        if runs:
            self._write(session, runs)

        def written() -> None:
            with self._lock:
                for run_id, batches in runs.items():
                    entry = self._unwritten.get(run_id)
                    if entry is not None:
                        entry.durable = max(entry.durable, batches[-1].last)
                        entry.batches = [batch for batch in entry.batches if batch.last > entry.durable]

        return written

    def behind(self) -> bool:
        """Whether something waits to be written."""
        tapes = self._memory.tapes
        return any(
            (tape := tapes.get(run_id)) is not None and tape.last > entry.durable
            for run_id, entry in list(self._unwritten.items())
        )

    def drop(self, run_id: str, *, epoch: int = 0) -> None:
        """Forget a run that is no longer ours: the epoch of its tape, and the one given (it may have none yet), may append
        no more; its followers look again, at the journal."""
        with self._lock:
            tape = self._memory.tapes.pop(run_id, None)
            if tape is not None and tape.ended_at is None:
                epoch = max(epoch, tape.epoch)
            if epoch:
                self._dropped[run_id] = epoch
            self._unwritten.pop(run_id, None)
        self._memory.notify(run_id)

    def tidy(self) -> None:
        """Let runs go from memory that have ended a while ago."""
        before = time.monotonic() - _KEEP
        for run_id, tape in list(self._memory.tapes.items()):
            if tape.ended_at is not None and tape.ended_at < before:
                self._memory.tapes.pop(run_id, None)

    def poll(self) -> None:
        """Wake the followers of runs that are produced elsewhere and have grown. One query for all of them."""
        remote = [run_id for run_id in self._memory.followed() if run_id not in self._memory.tapes]
        self._seen = {run_id: seen for run_id, seen in self._seen.items() if run_id in set(remote)}
        for start in range(0, len(remote), _IDS):
            query = (
                sa.select(JournalRow.run_id, sa.func.max(JournalRow.epoch), sa.func.max(JournalRow.last_seq))
                .where(JournalRow.run_id.in_(remote[start : start + _IDS]))
                .group_by(JournalRow.run_id)
            )
            with self._database.read() as session:
                grown = [(run_id, (epoch, seq)) for run_id, epoch, seq in session.execute(query)]
            for run_id, end in grown:
                if self._seen.get(run_id) != end:
                    self._seen[run_id] = end
                    self._memory.notify(run_id)

    def rewrite(self, session: Session, run_id: str, epoch: int, events: Sequence[Event]) -> None:
        """Put a whole log in the place of what the journal holds of a run, in the caller's transaction."""
        session.execute(sa.delete(JournalRow).where(JournalRow.run_id == run_id))
        self._write(session, {run_id: [_Batch(epoch, 1, events)]})

    def forget_owners(self) -> None:
        """Ask for the owners of unwritten runs again: one of their rows is gone."""
        with self._lock:
            for entry in self._unwritten.values():
                entry.owner = None

    def remote(self) -> list[str]:
        """Runs followed here and produced elsewhere."""
        return [run_id for run_id in self._memory.followed() if run_id not in self._memory.tapes]

    def _open(self, run_id: str, epoch: int) -> Tape:
        """The run's tape; a takeover begins one at the journal's end, unless the run has ended here."""
        tape = self._memory.tapes.get(run_id)
        if tape is None or (epoch > tape.epoch and tape.ended_at is None):
            tape = self._take_over(run_id, epoch) if epoch > 1 else Tape(epoch)
            with self._lock:
                if epoch <= self._dropped.get(run_id, 0):
                    raise StaleEpoch
                self._memory.tapes[run_id] = tape
                self._unwritten[run_id] = _Unwritten(tape.base)
        return tape

    def _take_over(self, run_id: str, epoch: int) -> Tape:
        query = (
            sa.select(JournalRow.epoch, sa.func.min(JournalRow.first_seq), sa.func.max(JournalRow.last_seq))
            .where(JournalRow.run_id == run_id)
            .group_by(JournalRow.epoch)
            .order_by(JournalRow.epoch)
        )
        with self._database.read() as session:
            earlier = session.execute(query).all()
        base = max((last for _, _, last in earlier), default=0)
        return Tape(epoch, base, [(began, first) for began, first, _ in earlier])

    def _collect(self, run_id: str) -> Sequence[_Batch]:
        """Everything of a run that is not known to be durable, as batches; the caller holds the lock."""
        entry, tape = self._unwritten.get(run_id), self._memory.tapes.get(run_id)
        if entry is None or tape is None:
            return ()
        made = entry.batches[-1].last if entry.batches else entry.durable
        if tape.last > made:
            # A local tape has one epoch: a takeover begins a new one.
            entry.batches.append(_Batch(tape.epoch, made + 1, tape.events[made - tape.base :]))
        return entry.batches

    def _write(self, session: Session, runs: dict[str, list[_Batch]]) -> None:
        owners = self._owners(session, list(runs))
        rows = [
            {
                "run_id": run_id,
                "first_seq": batch.first,
                "last_seq": batch.last,
                "epoch": batch.epoch,
                "payload": self._keyring.seal(
                    encode(batch.events),
                    table="journal",
                    column="payload",
                    row=f"{run_id}:{batch.first}",
                    owner=owners[run_id],
                ),
            }
            for run_id, batches in runs.items()
            if run_id in owners
            for batch in batches
        ]
        if rows:
            insert(session, JournalRow, rows)

    def _owners(self, session: Session, run_ids: list[str]) -> dict[str, str]:
        """The runs' owners; a run that has no row (any more) is missing, and its journal has no place to go."""
        known = {
            run_id: entry.owner
            for run_id in run_ids
            if (entry := self._unwritten.get(run_id)) and entry.owner is not None
        }
        unknown = [run_id for run_id in run_ids if run_id not in known]
        for start in range(0, len(unknown), _IDS):
            query = sa.select(RunRow.id, RunRow.owner).where(RunRow.id.in_(unknown[start : start + _IDS]))
            for run_id, owner in session.execute(query):
                known[run_id] = owner
                if (entry := self._unwritten.get(run_id)) is not None:
                    entry.owner = owner
        return known

    def _read_journal(self, run_id: str, after: Cursor, limit: int) -> Span:
        # Rows of a later epoch are looked at even before the cursor: one of them may take the cursor back.
        query = (
            sa.select(
                JournalRow.first_seq,
                JournalRow.epoch,
                JournalRow.payload,
                RunRow.owner,
                RunRow.log_expires_at,
            )
            .join(RunRow, RunRow.id == JournalRow.run_id)
            .where(
                JournalRow.run_id == run_id,
                sa.or_(JournalRow.last_seq > after.seq, JournalRow.epoch > after.epoch),
            )
            .order_by(JournalRow.first_seq)
            .limit(64)
        )
        with self._database.read() as session:
            rows = session.execute(query).all()
            end = None
            if not rows:
                ending = sa.select(RunRow.log_expires_at, RunRow.epoch, RunRow.last_seq)
                end = session.execute(ending.where(RunRow.id == run_id)).first()
            expires = rows[0].log_expires_at if rows else end and end.log_expires_at
        if end is not None and end.last_seq and after > (end.epoch, end.last_seq):
            # Nothing was ever said there: its reader gets the end, which it would wait for in vain.
            return self._read_journal(run_id, Cursor(end.epoch, end.last_seq - 1), limit)
        if expires is not None and expires <= time.time():
            raise LogExpired
        seq = after.seq
        if rows and rows[0].epoch > after.epoch and rows[0].first_seq <= seq:
            seq = rows[0].first_seq - 1
        events: list[Event] = []
        epoch = rows[0].epoch if rows else after.epoch
        for row in rows:
            if row.epoch != epoch or row.first_seq > seq + len(events) + 1 or len(events) >= limit:
                break
            payload = self._keyring.open(
                row.payload,
                table="journal",
                column="payload",
                row=f"{run_id}:{row.first_seq}",
                owner=row.owner,
            )
            events += decode(payload)[seq + len(events) + 1 - row.first_seq :]
        if rows and not events:
            # Something is there, but not what follows the cursor: the reader must see the gap.
            return Span(rows[0].epoch, rows[0].first_seq, ())
        return Span(epoch, seq + 1, events[:limit])
