"""Runs at rest: rows of the table `runs` as plain values, and the conditional updates that decide who owns and who ends one."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import secrets
import string
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from sora.errors import Conflict
from sora.events import Extra, Usage
from sora.store.crypto import Keyring
from sora.store.models import Base, JournalRow, RunRow, WorkerRow
from sora.store.moment import in_utc

UNFINISHED = ("pending", "running")
FINAL = ("completed", "failed", "cancelled", "interrupted")
#: What the idempotency key of a GET that generates begins with; one that a client gives has no space.
IMPLICIT = "get "
_EXTRAS = msgspec.json.Decoder(list[Extra])
_ALPHABET = string.digits + string.ascii_letters


def new_id() -> str:
    """An unguessable id: 22 characters of base 62, 128 random bits."""
    number, digits = secrets.randbits(128), []
    for _ in range(22):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def now() -> dt.datetime:
    """This moment in UTC, by the wall clock: for what is kept, not to measure with."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Run:
    """One run's row. `request`, `text` and `result` are sealed; `RunStore` opens them."""

    id: str
    owner: str
    kind: str
    status: str
    worker: str
    epoch: int
    locale: str
    on_disconnect: str
    request: bytes
    request_mac: bytes
    idempotency_key: str | None
    retry_of: str | None
    cancel_requested: bool
    created_at: dt.datetime
    ended_at: dt.datetime | None = None
    last_seq: int | None = None
    text: bytes | None = None
    model: str | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    log_expires_at: float | None = None
    result: bytes | None = None
    upstream: str | None = None

    @property
    def final(self) -> bool:
        """Whether it has ended, in whichever way: nothing changes it any more."""
        return self.status in FINAL

    @property
    def implicit(self) -> bool:
        """Whether a GET started it: the same GET finds it until its key is released."""
        return self.idempotency_key is not None and self.idempotency_key.startswith(IMPLICIT)

    @property
    def ended_for(self) -> float:
        """Seconds since its end, by the wall clock; zero before."""
        return 0.0 if self.ended_at is None else _since(self.ended_at)

    @property
    def age(self) -> float:
        """Seconds since its start, by the wall clock; zero when the clock that it was taken from is ahead of ours."""
        return max(_since(self.created_at), 0.0)

    @property
    def usage(self) -> Usage | None:
        """The tokens as the provider counted them; None where it did not tell all of them."""
        if self.input_tokens is None or self.output_tokens is None or self.total_tokens is None:
            return None
        return Usage(self.input_tokens, self.output_tokens, self.total_tokens)


_COLUMNS = [getattr(RunRow, name) for name in Run.__slots__]
_RUNS = cast("sa.Table", RunRow.__table__)
# Statements of a run's usual path are made once, and of the table alone: building one costs more than running it.
_FIND = sa.select(*(_RUNS.c[name] for name in Run.__slots__))
_BY_ID = _FIND.where(_RUNS.c.id == sa.bindparam("run"))
_BY_KEY = _FIND.where(_RUNS.c.owner == sa.bindparam("of"), _RUNS.c.idempotency_key == sa.bindparam("key"))
_BY_TICKET = _FIND.where(_RUNS.c.ticket_mac == sa.bindparam("mac"))
_RELEASE = (
    sa.update(_RUNS)
    .where(_RUNS.c.id.in_(sa.bindparam("runs", expanding=True)), _RUNS.c.status.in_(FINAL))
    .values(idempotency_key=None)
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends: written by whoever wins `end`."""

    status: str
    text: str
    last_seq: int
    finish_reason: str | None = None
    error_code: str | None = None
    usage: Usage | None = None
    model: str | None = None
    extras: tuple[Extra, ...] = ()


class Wish(NamedTuple):
    """What is wanted of a run: that it is cancelled, or is if nobody reads it; and how often it was read elsewhere."""

    run_id: str
    cancel: bool
    superseded: bool
    reads: int


_END = sa.update(_RUNS).where(
    _RUNS.c.id == sa.bindparam("of_run"),
    _RUNS.c.epoch == sa.bindparam("of_epoch"),
    _RUNS.c.status.in_(UNFINISHED),
)


_NOTE = (
    sa.update(_RUNS)
    .where(
        _RUNS.c.id == sa.bindparam("of_run"),
        _RUNS.c.worker == sa.bindparam("of_worker"),
        _RUNS.c.ended_at.is_(None),
    )
    .values(upstream=sa.bindparam("to"))
)

_WISHES = sa.select(_RUNS.c.id, _RUNS.c.cancel_requested, _RUNS.c.superseded, _RUNS.c.reads).where(
    _RUNS.c.worker == sa.bindparam("of_worker"),
    _RUNS.c.status.in_(UNFINISHED),
    sa.or_(_RUNS.c.cancel_requested, _RUNS.c.superseded, _RUNS.c.reads > 0),
)


class RunStore:
    """Reads and writes runs in a session of the caller's. Every method is one or two statements; none commits."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal_request(self, run_id: str, owner: str, request: bytes) -> bytes:
        """A run's request as its row holds it: `request_of` opens it, under this id and owner alone."""
        return self._keyring.seal(request, table="runs", column="request", row=run_id, owner=owner)

    def request_of(self, run: Run) -> bytes:
        """A run's request, opened. Raises UnreadableError."""
        return self._keyring.open(run.request, table="runs", column="request", row=run.id, owner=run.owner)

    def text_of(self, run: Run) -> str:
        """The saved answer; empty while the run is not final."""
        if run.text is None:
            return ""
        return self._keyring.open(run.text, table="runs", column="text", row=run.id, owner=run.owner).decode()

    def extras_of(self, run: Run) -> list[Extra]:
        """What a final run said beside its text."""
        if run.result is None:
            return []
        plain = self._keyring.open(run.result, table="runs", column="result", row=run.id, owner=run.owner)
        return _EXTRAS.decode(plain)

    def add(
        self, session: Session, run: Run, *, ticket: str | None = None, ticket_expires_at: float | None = None
    ) -> bool:
        """Insert a run. False when the owner has used its idempotency key before: nothing is written then."""
        values: dict[str, object] = {name: getattr(run, name) for name in Run.__slots__}
        values.update(
            ticket_mac=self._ticket(ticket), ticket_expires_at=ticket_expires_at, ticket_used=False, reads=0
        )
        # Of two at once PostgreSQL may see the ticket taken before the key is: whatever is taken, nothing is written.
        return bool(insert(session, RunRow, values))

    def find(self, session: Session, run_id: str) -> Run | None:
        """A run, whosever it is."""
        return _one(session, _BY_ID, run=run_id)

    def find_by_key(self, session: Session, owner: str, key: str, *, mac_of: bytes) -> Run | None:
        """The run an idempotency key started. Raises Conflict when that request was another one; an implicit key is made of
        the request itself."""
        run = _one(session, _BY_KEY, of=owner, key=key)
        if run is not None and not run.implicit and not self._keyring.same(run.request_mac, mac_of):
            raise Conflict
        return run

    def release(self, session: Session, run_ids: Sequence[str]) -> None:
        """Let the GETs that started these runs start others, as far as the runs are final."""
        session.connection().execute(_RELEASE, {"runs": list(run_ids)})

    def give_ticket(self, session: Session, run_id: str, ticket: str, *, expires_at: float) -> None:
        """Let a ticket open a run that has none."""
        session.execute(
            sa.update(RunRow)
            .where(RunRow.id == run_id, RunRow.ticket_mac.is_(None))
            .values(ticket_mac=self._ticket(ticket), ticket_expires_at=expires_at)
        )

    def find_by_ticket(self, session: Session, ticket: str) -> Run | None:
        """The run of a ticket, which is used by this. None for one that is made up, expired before its first use, or whose
        run's log has expired."""
        mac = self._ticket(ticket)
        in_time = sa.or_(RunRow.ticket_used, RunRow.ticket_expires_at > time.time())
        logged = sa.or_(RunRow.log_expires_at.is_(None), RunRow.log_expires_at > time.time())
        used = session.execute(
            sa.update(RunRow).where(RunRow.ticket_mac == mac, in_time, logged).values(ticket_used=True)
        )
        return _one(session, _BY_TICKET, mac=mac) if used.rowcount else None  # type: ignore[attr-defined]

    def list(
        self, session: Session, owner: str, *, status: str | None, limit: int, before: str | None
    ) -> list[Run]:
        """An owner's runs, newest first; `before` is the id of the last run of the page before."""
        query = sa.select(*_COLUMNS).where(RunRow.owner == owner)
        if status is not None:
            query = query.where(RunRow.status == status)
        if before is not None:
            last = (
                sa.select(RunRow.created_at, RunRow.id)
                .where(RunRow.id == before, RunRow.owner == owner)
                .subquery()
            )
            query = query.where(
                sa.tuple_(RunRow.created_at, RunRow.id)
                < sa.select(last.c.created_at, last.c.id).scalar_subquery()
            )
        query = query.order_by(RunRow.created_at.desc(), RunRow.id.desc()).limit(limit)
        return [Run(*row) for row in session.execute(query)]

    def begin(self, session: Session, run_ids: Sequence[str]) -> None:
        """Mark runs as running, those that are still pending."""
        pending = sa.update(RunRow).where(RunRow.id.in_(run_ids), RunRow.status == "pending")
        session.execute(pending.values(status="running"))

    def note(self, session: Session, worker: str, upstreams: Mapping[str, str]) -> None:
        """Keep where these runs of a worker's can be gone on with: run -> upstream."""
        values = [{"of_run": run_id, "of_worker": worker, "to": to} for run_id, to in upstreams.items()]
        session.connection().execute(_NOTE, values)

    def end(self, session: Session, run: Run, ending: Ending, *, ttl: float) -> bool:
        """Make a run final, if it is unfinished and still in our epoch. False: somebody else has decided."""
        values = self._ending(run, ending, ttl=ttl) | {"of_run": run.id, "of_epoch": run.epoch}
        return bool(session.connection().execute(_END, values).rowcount)

    def replace_interrupted(self, session: Session, run: Run, ending: Ending, *, ttl: float) -> bool:
        """Put the spooled whole in the place of the partial that a claimant saved; the run's epoch rises by one."""
        replaced = session.execute(
            sa.update(RunRow)
            .where(RunRow.id == run.id, RunRow.epoch == run.epoch, RunRow.status == "interrupted")
            .values(self._ending(run, ending, ttl=ttl) | {"epoch": run.epoch + 1})
        )
        if not replaced.rowcount:  # type: ignore[attr-defined]
            return False
        session.execute(sa.delete(JournalRow).where(JournalRow.run_id == run.id))
        return True

    def request_cancel(self, session: Session, run_id: str) -> None:
        """Ask the owner of a run to cancel it; only an unfinished run notices."""
        session.execute(
            sa.update(RunRow)
            .where(RunRow.id == run_id, RunRow.status.in_(UNFINISHED))
            .values(cancel_requested=True)
        )

    def stamp_reads(self, session: Session, run_ids: Sequence[str]) -> None:
        """Tell the owners of these runs that somebody reads them here."""
        session.execute(
            sa.update(RunRow)
            .where(RunRow.id.in_(run_ids), RunRow.status.in_(UNFINISHED))
            .values(reads=RunRow.reads + 1)
        )

    def supersede(self, session: Session, run_id: str, wanted: bool) -> None:
        """Ask the owner of a run to cancel it if nobody reads it, or ask no more; only an unfinished run notices."""
        session.execute(
            sa.update(RunRow)
            .where(RunRow.id == run_id, RunRow.status.in_(UNFINISHED))
            .values(superseded=wanted)
        )

    def wishes(self, session: Session, worker: str) -> Sequence[Wish]:
        """What somebody wants of a worker's unfinished runs."""
        return [Wish(*row) for row in session.connection().execute(_WISHES, {"of_worker": worker})]

    def orphans(self, session: Session, doubtful: Sequence[str], *, limit: int) -> Sequence[Run]:
        """Unfinished runs whose worker is not alive, and those of `doubtful` that are unfinished."""
        alive = sa.select(WorkerRow.id).where(WorkerRow.alive)
        query = sa.select(*_COLUMNS).where(
            # By an index of its own: every worker asks this all the time, however many runs have ended.
            RunRow.ended_at.is_(None),
            sa.or_(RunRow.worker.not_in(alive), RunRow.id.in_(doubtful)),
        )
        return [Run(*row) for row in session.execute(query.limit(limit))]

    def take(self, session: Session, run: Run, worker: str) -> bool:
        """Raise a run's epoch and make it ours, if nobody else has since `run` was read."""
        taken = session.execute(
            sa.update(RunRow)
            .where(RunRow.id == run.id, RunRow.epoch == run.epoch, RunRow.status.in_(UNFINISHED))
            .values(epoch=run.epoch + 1, worker=worker)
        )
        return bool(taken.rowcount)  # type: ignore[attr-defined]

    def delete(self, session: Session, run_id: str) -> bool:
        """Delete a final run with its log. False when it is not final (or not there)."""
        session.execute(
            sa.delete(JournalRow).where(
                JournalRow.run_id.in_(
                    sa.select(RunRow.id).where(RunRow.id == run_id, RunRow.status.in_(FINAL))
                )
            )
        )
        deleted = session.execute(sa.delete(RunRow).where(RunRow.id == run_id, RunRow.status.in_(FINAL)))
        return bool(deleted.rowcount)  # type: ignore[attr-defined]

    def _ending(self, run: Run, ending: Ending, *, ttl: float) -> dict[str, object]:
        text = self._keyring.seal(
            ending.text.encode(), table="runs", column="text", row=run.id, owner=run.owner
        )
        result = None
        if ending.extras:
            result = self._keyring.seal(
                msgspec.json.encode(ending.extras), table="runs", column="result", row=run.id, owner=run.owner
            )
        usage = ending.usage
        return {
            "result": result,
            "status": ending.status,
            "text": text,
            "last_seq": ending.last_seq,
            "finish_reason": ending.finish_reason,
            "error_code": ending.error_code,
            "model": ending.model,
            "input_tokens": usage and usage.input_tokens,
            "output_tokens": usage and usage.output_tokens,
            "total_tokens": usage and usage.total_tokens,
            "ended_at": now(),
            "log_expires_at": time.time() + ttl,
            "upstream": None,
        }

    def _ticket(self, ticket: str | None) -> bytes | None:
        # A ticket is random: a plain digest reveals nothing, and outlives the rotation of a key.
        return hashlib.sha256(ticket.encode()).digest() if ticket is not None else None


def _since(moment: dt.datetime) -> float:
    return (now() - in_utc(moment)).total_seconds()


def _one(session: Session, which: sa.Select[Any], **values: object) -> Run | None:
    row = session.connection().execute(which, values).first()
    return Run(*row) if row is not None else None


def insert(
    session: Session,
    table: type[Base],
    rows: Mapping[str, object] | Sequence[Mapping[str, object]],
    *,
    unless: tuple[str, ...] = (),
) -> int:
    """Insert rows, leaving out those that conflict with one that is there (in the unique columns `unless`, or any);
    returns how many were inserted, of a single one."""
    statement = _insertion(session.get_bind().dialect.name, table, unless)
    return session.connection().execute(statement, rows).rowcount


@functools.cache
def _insertion(dialect: str, table: type[Base], unless: tuple[str, ...]) -> sa.Insert:
    # Both spell it alike, each with a class of its own.
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return make(cast("sa.Table", table.__table__)).on_conflict_do_nothing(index_elements=unless or None)
