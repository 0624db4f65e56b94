"""The outbox at rest: finished reviews that wait to be delivered elsewhere, in order per owner, and the dead letters."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from sora.store.crypto import Keyring
from sora.store.models import OutboxRow, WorkerRow
from sora.store.runs import insert

WAITING, DEAD = "waiting", "dead"


class Letter(msgspec.Struct, frozen=True):
    """What is delivered: `content` is the JSON for the app server, `name` and `role` are the writer's as the token had them."""

    content: msgspec.Raw
    name: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `claimed`: a worker that is alive delivers it now. `payload` is the sealed letter. Times are Unix seconds."""

    id: str
    owner: str
    state: str
    attempts: int
    created_at: float
    last_answer: str | None
    claimed: bool
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Standing:
    """How many entries are in the queue, how many are dead, and the age of the oldest in the queue in seconds."""

    waiting: int
    dead: int
    oldest: float


class OutboxStore:
    """Reads and writes the outbox in the caller's session; none commits.

    An entry is in the queue until it is delivered (then its row is gone) or dead (then it stays, out of everybody's way).
    Only the first of an owner's entries in the queue can be claimed. A claim holds while its worker is alive.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def add(self, session: Session, run_id: str, owner: str, letter: Letter) -> None:
        """Put a run's letter at the end of its owner's queue. The same run again changes nothing."""
        plain = msgspec.json.encode(letter)
        place = {"table": "outbox", "column": "payload", "row": run_id, "owner": owner}
        created = time.time()
        values = {
            "id": run_id, "owner": owner, "payload": self._keyring.seal(plain, **place), "state": WAITING,
            "attempts": 0, "due_at": created, "created_at": created,
        }  # fmt: skip
        insert(session, OutboxRow, values, unless=("id",))

    def open(self, entry: Entry) -> Letter:
        """Raises UnreadableError, msgspec.DecodeError."""
        place = {"table": "outbox", "column": "payload", "row": entry.id, "owner": entry.owner}
        return msgspec.json.decode(self._keyring.open(entry.payload, **place), type=Letter)

    def due(self, session: Session, worker: str, *, limit: int, but: Collection[str] = ()) -> Sequence[Entry]:
        """Entries that can be claimed now, those due the longest first. `but` are under way at this worker; any other claim
        in its name is one whose reply was lost."""
        earlier = aliased(OutboxRow)
        waits_for = sa.exists().where(
            earlier.owner == OutboxRow.owner,
            earlier.state == WAITING,
            earlier.position < OutboxRow.position,
        )
        query = sa.select(*_COLUMNS, OutboxRow.payload).where(
            OutboxRow.state == WAITING,
            OutboxRow.due_at <= time.time(),
            sa.or_(OutboxRow.worker == worker, ~_claimed()),
            OutboxRow.id.not_in(but),
            ~waits_for,
        )
        ordered = query.order_by(OutboxRow.due_at, OutboxRow.position).limit(limit)
        return [Entry(*row) for row in session.execute(ordered)]

    def claim(self, session: Session, worker: str, entry: Entry) -> Entry | None:
        """Make an entry ours, if nobody has since it was read and we are alive: the entry with this attempt counted."""
        mine = sa.exists().where(WorkerRow.id == worker, WorkerRow.alive)
        values = {"worker": worker, "attempts": entry.attempts + 1}
        if not self._settle(session, entry, values, mine):
            return None
        return replace(entry, attempts=entry.attempts + 1, claimed=True)

    def delivered(self, session: Session, entry: Entry) -> bool:
        """Let a claimed entry go. False: the claim is not ours any more."""
        gone = session.execute(sa.delete(OutboxRow).where(*_same(entry)))
        return bool(gone.rowcount)  # type: ignore[attr-defined]

    def postpone(self, session: Session, entry: Entry, *, seconds: float, answer: str) -> bool:
        """Put a claimed entry back for later. False: the claim is not ours any more."""
        values = {"worker": None, "due_at": time.time() + seconds, "last_answer": answer}
        return self._settle(session, entry, values)

    def bury(self, session: Session, entry: Entry, *, answer: str) -> bool:
        """Make a claimed entry a dead letter. False: the claim is not ours any more."""
        return self._settle(session, entry, {"worker": None, "state": DEAD, "last_answer": answer})

    def standing(self, session: Session) -> Standing:
        """What waits to be delivered, since when, and what was refused for good."""
        query = sa.select(OutboxRow.state, sa.func.count(), sa.func.min(OutboxRow.created_at))
        found = {
            state: (count, first) for state, count, first in session.execute(query.group_by(OutboxRow.state))
        }
        waiting, first = found.get(WAITING, (0, None))
        oldest = 0.0 if first is None else max(0.0, time.time() - first)
        return Standing(waiting, found.get(DEAD, (0, None))[0], oldest)

    def list(self, session: Session) -> Sequence[Entry]:
        """All of it in the order in which it was put in, without the letters."""
        query = sa.select(*_COLUMNS).order_by(OutboxRow.position)
        return [Entry(*row) for row in session.execute(query)]

    def retry(self, session: Session, entry_id: str | None = None) -> int:
        """Make an entry due now, or all of them; a dead one takes its old place in the queue. How many that are."""
        which = sa.true() if entry_id is None else OutboxRow.id == entry_id
        again = sa.update(OutboxRow).where(which).values(state=WAITING, due_at=time.time())
        count: int = session.execute(again).rowcount  # type: ignore[attr-defined]
        return count

    def drop(self, session: Session, entry_id: str) -> bool:
        """Take an entry out, undelivered. What is being delivered at this moment may still arrive."""
        gone = session.execute(sa.delete(OutboxRow).where(OutboxRow.id == entry_id))
        return bool(gone.rowcount)  # type: ignore[attr-defined]

    def _settle(
        self, session: Session, entry: Entry, values: dict[str, Any], *where: sa.ColumnElement[bool]
    ) -> bool:
        settled = session.execute(sa.update(OutboxRow).where(*_same(entry), *where).values(values))
        return bool(settled.rowcount)  # type: ignore[attr-defined]


def _same(entry: Entry) -> tuple[sa.ColumnElement[bool], ...]:
    """The row as the entry has it: whoever claims it counts an attempt."""
    return OutboxRow.id == entry.id, OutboxRow.state == WAITING, OutboxRow.attempts == entry.attempts


def _claimed() -> sa.ColumnElement[bool]:
    """Whether a worker that is alive holds the row."""
    return sa.exists().where(WorkerRow.id == OutboxRow.worker, WorkerRow.alive)


_COLUMNS = (
    OutboxRow.id,
    OutboxRow.owner,
    OutboxRow.state,
    OutboxRow.attempts,
    OutboxRow.created_at,
    OutboxRow.last_answer,
    _claimed(),
)
