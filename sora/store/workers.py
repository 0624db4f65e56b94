"""Worker processes as the database knows them, and their leases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.store.models import RunRow, WorkerRow
from sora.store.runs import now

# Made once: it runs in every round, and to make it takes longer than to run it.
_BEAT = (
    sa.update(cast("sa.Table", WorkerRow.__table__))
    .where(WorkerRow.id == sa.bindparam("worker"), WorkerRow.alive)
    .values(lease=WorkerRow.lease + 1)
)


def register(session: Session, worker: str, *, host: str, pid: int, key: str | None = None) -> None:
    """Make a worker known and alive. `key`: the id of the encryption key it seals with."""
    values = {"id": worker, "host": host, "pid": pid, "lease": 0, "alive": True, "started_at": now()}
    session.execute(sa.insert(WorkerRow).values(**values, key=key))


def beat(session: Session, worker: str) -> bool:
    """Move a worker's lease. False: it was given up, and nothing more of its transaction may be committed."""
    return bool(session.connection().execute(_BEAT, {"worker": worker}).rowcount)


def alive(session: Session) -> Sequence[tuple[str, int]]:
    """(worker, lease) of those not given up."""
    return [
        (worker, lease)
        for worker, lease in session.execute(sa.select(WorkerRow.id, WorkerRow.lease).where(WorkerRow.alive))
    ]


def give_up(session: Session, worker: str, *, lease: int | None = None) -> bool:
    """Mark a worker dead, if its lease is still the one seen."""
    query = sa.update(WorkerRow).where(WorkerRow.id == worker, WorkerRow.alive)
    if lease is not None:
        query = query.where(WorkerRow.lease == lease)
    return bool(session.execute(query.values(alive=False)).rowcount)  # type: ignore[attr-defined]


def bury(session: Session) -> None:
    """Delete dead workers that have no unfinished run."""
    busy = sa.select(RunRow.worker).where(RunRow.ended_at.is_(None))
    session.execute(sa.delete(WorkerRow).where(~WorkerRow.alive, WorkerRow.id.not_in(busy)))
