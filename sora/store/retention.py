"""What is not kept for ever: the logs of finished runs, and, if wanted, the runs themselves with their texts."""

from __future__ import annotations

import datetime as dt
import time

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.store.models import JournalRow, RunRow
from sora.store.runs import FINAL, now


def count_logs(session: Session) -> int:
    """How many runs have a log that has expired and is still there."""
    return _count(session, RunRow.log_expires_at > 0, RunRow.log_expires_at <= time.time())


def count_runs(session: Session, days: float) -> int:
    """How many runs `delete_runs` would delete."""
    return _count(session, _older(days))


def delete_runs(session: Session, days: float, *, limit: int) -> int:
    """Delete at most `limit` runs that ended more than `days` ago, with their requests, files, texts and logs; how many. Reviews
    and messages stay, they are the user's. A run whose log has not expired stays as well: somebody may be reading it."""
    old = list(session.scalars(sa.select(RunRow.id).where(_older(days)).limit(limit)))
    if old:
        session.execute(sa.delete(JournalRow).where(JournalRow.run_id.in_(old)))
        session.execute(sa.delete(RunRow).where(RunRow.id.in_(old)))
    return len(old)


def _older(days: float) -> sa.ColumnElement[bool]:
    ended = RunRow.ended_at <= now() - dt.timedelta(days=days)
    return sa.and_(RunRow.status.in_(FINAL), ended, RunRow.log_expires_at <= time.time())


def _count(session: Session, *where: sa.ColumnElement[bool]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(RunRow).where(*where)) or 0
