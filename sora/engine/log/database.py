"""The event log in the database: a journal, written for all of a worker's runs at once, readable by every worker.

Readers in the producing process read its memory. The journal's rows are batches of events; a batch once made keeps its
bounds until it is known to be written, so that writing it again (after a commit whose reply was lost) changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
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
_PART = 100  # runs whose batches are sealed, and then written, without a turn for anybody else
_BREATH = 0.001  # seconds; gevent would come back from a sleep of 0 before it has looked at a socket

_Rows = dict[str, list[dict[str, object]]]  # run -> its rows of the journal


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


@dataclass(frozen=True, slots=True)
class Part:
    """As much of what is not durable yet as one transaction takes: sealed rows of the journal, by run."""

    rows: _Rows
    upto: dict[str, int]  # run -> the last number in it


class DatabaseLog:
    """EventLog over the table `journal`. The worker's round takes its `parts` and writes them, and calls `poll`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._memory = MemoryLog()
        self._unwritten: dict[str, _Unwritten] = {}
        self._behind: set[str] = set()  # runs that may have more than is durable
        self._seen: dict[str, tuple[int, int]] = {}
        self._dropped: dict[str, int] = {}
        self._ended: deque[tuple[float, str, Tape]] = deque()  # when, which run; in this order
        self._lock = threading.Lock()

    def append(self, run_id: str, epoch: int, events: Sequence[Event]) -> int:
        # This very tape: were it dropped meanwhile, nobody reads it, and what follows is refused.
        tape = self._memory.tapes.get(run_id)
        if tape is None or epoch != tape.epoch:
            tape = self._open(run_id, epoch)
        last = tape.append(epoch, events)
        self._behind.add(run_id)  # after the append: see `_settle`
        self._memory.notify(run_id, Span(epoch, last - len(events) + 1, events))
        if tape.ended_at is not None:
            self._ended.append((tape.ended_at, run_id, tape))
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
        self._insert(session, self._rows({run_id: batches}, session))
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

    def begin(self, run_id: str, owner: str, *, epoch: int = 1) -> None:
        """A run of `owner` will be appended to here. Of a new one nothing need be looked for in the database; of one that was
        taken over this is where its end is looked for. Raises StaleEpoch, StoreError."""
        self._open(run_id, epoch)
        self._unwritten[run_id].owner = owner

    def parts(self) -> Iterator[Part]:
        """What is not durable yet, sealed; one part at least, which may be empty. Each is to be written before the next one is
        asked for: between two of them others have their turns. Blocks for the database only where a run's owner is not known.
        Raises StoreError."""
        behind = list(self._behind)
        for start in range(0, max(len(behind), 1), _PART):
            if start:
                time.sleep(_BREATH)
            run_ids = behind[start : start + _PART]
            with self._lock:
                runs = {run_id: batches for run_id in run_ids if (batches := list(self._collect(run_id)))}
            for run_id in run_ids:
                if run_id not in runs:
                    self._settle(run_id)
            yield Part(self._rows(runs), {run_id: batches[-1].last for run_id, batches in runs.items()})

    def write(self, session: Session, part: Part) -> None:
        """Write a part in the caller's transaction, but for what was dropped meanwhile; once committed it is `written`."""
        self._insert(
            session, {run_id: rows for run_id, rows in part.rows.items() if run_id in self._unwritten}
        )

    def written(self, part: Part) -> None:
        """A part is durable."""
        with self._lock:
            for run_id, last in part.upto.items():
                entry = self._unwritten.get(run_id)
                if entry is not None:
                    entry.durable = max(entry.durable, last)
                    while entry.batches and entry.batches[0].last <= last:
                        del entry.batches[0]
        for run_id in part.upto:
            self._settle(run_id)

    def _settle(self, run_id: str) -> None:
        """Count a run as written, unless more has been appended: that counts it again after our look, or we see it here."""
        self._behind.discard(run_id)
        tape, entry = self._memory.tapes.get(run_id), self._unwritten.get(run_id)
        if tape is not None and entry is not None and tape.last > entry.durable:
            self._behind.add(run_id)

    def behind(self) -> bool:
        """Whether something waits to be written."""
        return any(run_id in self._unwritten for run_id in list(self._behind))

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
        while self._ended and self._ended[0][0] < before:
            _, run_id, tape = self._ended.popleft()
            if self._memory.tapes.get(run_id) is tape:
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
        self._insert(session, self._rows({run_id: [_Batch(epoch, 1, events)]}, session))

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

    @staticmethod
    def _insert(session: Session, rows: _Rows) -> None:
        if together := [row for of_run in rows.values() for row in of_run]:
            insert(session, JournalRow, together)

    def _rows(self, runs: dict[str, list[_Batch]], session: Session | None = None) -> _Rows:
        """Sealed rows of the journal; a run that has no row of its own (any more) is missing, there is no place for it."""
        owners = self._owners(list(runs), session)
        return {
            run_id: [
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
                for batch in batches
            ]
            for run_id, batches in runs.items()
            if run_id in owners
        }

    def _owners(self, run_ids: list[str], session: Session | None) -> dict[str, str]:
        """The runs' owners, asked for in this session, or in one of its own."""
        known = {
            run_id: entry.owner
            for run_id in run_ids
            if (entry := self._unwritten.get(run_id)) and entry.owner is not None
        }
        unknown = [run_id for run_id in run_ids if run_id not in known]
        for start in range(0, len(unknown), _IDS):
            query = sa.select(RunRow.id, RunRow.owner).where(RunRow.id.in_(unknown[start : start + _IDS]))
            with nullcontext(session) if session is not None else self._database.read() as reading:
                found = reading.execute(query).all()
            for run_id, owner in found:
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
