"""Every sealed column there is, and who still needs which key: what a change of SORA_ENCRYPTION_KEYS has to know.

The tables are walked in pages by their keys, a short statement each, however long they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from sora.store.crypto import Keyring, UnreadableError, prefix
from sora.store.database import Database
from sora.store.models import (
    AttachmentRow,
    ConversationRow,
    JournalRow,
    KeyRow,
    MessageRow,
    OutboxRow,
    ReviewRow,
    RunRow,
    WorkerRow,
)
from sora.store.runs import FINAL, insert

_PAGE = 500  # rows looked at in one statement
_BATCH = 50  # fields written in one transaction

Place = tuple[Any, ...]  # what names a row: the values of `Sealed.row`


class Sealed(NamedTuple):
    """A sealed column. `row` names its rows, as the second part of what a field is bound to; `run` is the run that a row
    belongs to: while that is not final, its worker may write the row."""

    column: InstrumentedAttribute[Any]
    row: tuple[InstrumentedAttribute[Any], ...]
    run: InstrumentedAttribute[Any] | None = None

    @property
    def table(self) -> str:
        """The table's name, the first part of what a field is bound to."""
        return str(self.column.class_.__tablename__)

    @property
    def owner(self) -> InstrumentedAttribute[str]:
        """The column of whom a row is: its table's own, else that of its run."""
        return cast("InstrumentedAttribute[str]", getattr(self.column.class_, "owner", RunRow.owner))

    def __str__(self) -> str:
        return f"{self.table}.{self.column.key}"

    def select(self, *columns: Any) -> sa.Select[Any]:
        """A query of these rows, with their runs."""
        query = sa.select(*columns).select_from(self.column.class_).where(self.column.is_not(None))
        if self.run is not None and self.column.class_ is not RunRow:
            query = query.join(RunRow, RunRow.id == self.run)
        return query

    def pages(self, database: Database) -> Iterator[sa.ColumnElement[bool]]:
        """The table in pages, each as what selects its rows."""
        place, types = sa.tuple_(*self.row), [column.type for column in self.row]
        after: sa.ColumnElement[bool] = sa.true()
        while True:
            edge = sa.select(*self.row).where(after).order_by(*self.row).offset(_PAGE - 1).limit(1)
            with database.read() as session:
                last = session.execute(edge).first()
            if last is None:
                yield after
                return
            bound = sa.tuple_(*last, types=types)
            yield sa.and_(after, place <= bound)
            after = place > bound


#: The one table of what is sealed. A test holds it to the models.
SEALED = (
    Sealed(RunRow.request, (RunRow.id,), RunRow.id),
    Sealed(RunRow.text, (RunRow.id,), RunRow.id),
    Sealed(RunRow.result, (RunRow.id,), RunRow.id),
    Sealed(JournalRow.payload, (JournalRow.run_id, JournalRow.first_seq), JournalRow.run_id),
    Sealed(AttachmentRow.name, (AttachmentRow.run_id, AttachmentRow.position), AttachmentRow.run_id),
    Sealed(AttachmentRow.content, (AttachmentRow.run_id, AttachmentRow.position), AttachmentRow.run_id),
    Sealed(ConversationRow.title, (ConversationRow.id,)),
    Sealed(MessageRow.content, (MessageRow.id,)),
    Sealed(MessageRow.meta, (MessageRow.id,)),
    Sealed(ReviewRow.body, (ReviewRow.id,)),
    Sealed(ReviewRow.feedback, (ReviewRow.id,)),
    Sealed(OutboxRow.payload, (OutboxRow.id,)),
)


@dataclass(slots=True)
class Rotated:
    """What became of the fields of one column: sealed anew, left to a later pass since their run is not final (or somebody
    wrote them at the same moment), and those that no key of ours opens."""

    renewed: int = 0
    left: int = 0
    unreadable: int = 0


def rotate(database: Database, keyring: Keyring, sealed: Sealed) -> Rotated:
    """Seal with the first key what another one has sealed. May run beside workers, and be broken off at any point: each field
    is replaced only as it was read, in short transactions with pauses as long as themselves. Raises StoreError."""
    done = Rotated()
    old = ~_begins(sealed, prefix(keyring.names[0]))
    for page in sealed.pages(database):
        rows: list[tuple[Place, str, bytes]] = []
        final = sa.true() if sealed.run is None else RunRow.status.in_(FINAL)
        with database.read() as session:
            for *place, owner, field in session.execute(
                sealed.select(*sealed.row, sealed.owner, sealed.column).where(page, old, final)
            ):
                rows.append((tuple(place), owner, bytes(field)))
            if sealed.run is not None:
                left = sealed.select(sa.func.count()).where(page, old, ~final)
                done.left += session.scalar(left) or 0
        for start in range(0, len(rows), _BATCH):
            began = time.monotonic()
            _replace(database, keyring, sealed, rows[start : start + _BATCH], done)
            time.sleep(time.monotonic() - began)
    return done


def _replace(
    database: Database,
    keyring: Keyring,
    sealed: Sealed,
    rows: Sequence[tuple[Place, str, bytes]],
    done: Rotated,
) -> None:
    renewed: list[tuple[Place, bytes, bytes]] = []
    for place, owner, field in rows:
        bound = {"table": sealed.table, "column": str(sealed.column.key), "owner": owner}
        bound["row"] = ":".join(map(str, place))
        try:
            renewed.append((place, field, keyring.seal(keyring.open(field, **bound), **bound)))
        except UnreadableError:
            done.unreadable += 1
    with database.write() as session:
        for place, before, after in renewed:
            same = [column == value for column, value in zip(sealed.row, place, strict=True)]
            update = sa.update(sealed.column.class_).where(*same, sealed.column == before)
            changed = session.execute(
                update.values({sealed.column: after}).execution_options(synchronize_session=False)
            )
            hit = bool(changed.rowcount)  # type: ignore[attr-defined]
            done.renewed += hit
            done.left += not hit


def count(database: Database, *, key: str | None = None, but: str | None = None) -> int:
    """How many fields are sealed with this key, or with any other `but` this. Reads every table once. Raises StoreError."""
    found = 0
    for sealed in SEALED:
        wanted = _begins(sealed, prefix(key)) if key is not None else ~_begins(sealed, prefix(but or ""))
        for page in sealed.pages(database):
            query = sa.select(sa.func.count()).select_from(sealed.column.class_)
            with database.read() as session:
                found += session.scalar(query.where(sealed.column.is_not(None), page, wanted)) or 0
    return found


def _begins(sealed: Sealed, start: bytes) -> sa.ColumnElement[bool]:
    head: sa.ColumnElement[bool] = sa.func.substr(sealed.column, 1, len(start)) == sa.literal(
        start, sa.LargeBinary
    )
    return head


# -- the keys that the database knows ----------------------------------------------------------------------------------


def missing(session: Session, keyring: Keyring) -> list[str]:
    """The keys with which something may be sealed and that are not in the keyring."""
    return [name for name in needed(session) if name not in keyring.names]


def needed(session: Session) -> list[str]:
    """The keys with which something may be sealed."""
    return list(session.scalars(sa.select(KeyRow.id).order_by(KeyRow.id)))


def enlist(session: Session, key: str) -> None:
    """Have the database know that something will be sealed with this key, from now on until it is released."""
    insert(session, KeyRow, {"id": key}, unless=("id",))


def writers(session: Session) -> dict[str, int]:
    """How many living workers seal with which key."""
    query = sa.select(WorkerRow.key, sa.func.count()).where(WorkerRow.alive).group_by(WorkerRow.key)
    return {key: count for key, count in session.execute(query) if key is not None}


def release(database: Database, key: str) -> int:
    """Have the database forget a key, if nothing is sealed with it and no living worker seals with it. How many fields and
    workers there are that need it still."""
    with database.read() as session:
        workers = writers(session).get(key, 0)
    fields = count(database, key=key)
    if fields or workers:
        return fields + workers
    with database.write() as session:
        # One that has come meanwhile is seen here; one that has gone since the first look was seen there.
        if workers := writers(session).get(key, 0):
            return workers
        session.execute(sa.delete(KeyRow).where(KeyRow.id == key))
    return 0
