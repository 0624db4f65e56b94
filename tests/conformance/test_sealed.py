"""The change of an encryption key at rest: what is sealed, what is sealed anew, and what is left alone."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import secrets
import time

import pytest
import sqlalchemy as sa
from sqlalchemy import LargeBinary
from sqlalchemy.orm import Session

from sora.store import sealed, workers
from sora.store.crypto import Keyring, UnreadableError
from sora.store.database import Database
from sora.store.models import (
    AttachmentRow,
    Base,
    ConversationRow,
    JournalRow,
    MessageRow,
    OutboxRow,
    ReviewRow,
    RunRow,
)
from sora.store.runs import now
from sora.store.sealed import SEALED

OLD, NEW, LOST = (
    f"{name}:{base64.b64encode(secrets.token_bytes(32)).decode()}" for name in ("k1", "k2", "lost")
)
BEFORE, AFTER, BOTH = Keyring([OLD]), Keyring([NEW]), Keyring([NEW, OLD])
PLAIN = "비가 와서 창밖을 오래 보았다.".encode()
DIGESTS = {"request_mac", "ticket_mac"}
# Places of terms in passages, and what a model makes of them: the index of the knowledge base is in the clear.
NUMBERS = {"postings.data", "vectors.data"}


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows are several pages, of several transactions."""
    monkeypatch.setattr(sealed, "_PAGE", 4)
    monkeypatch.setattr(sealed, "_BATCH", 3)


def seal(keyring: Keyring, table: str, column: str, row: str) -> bytes:
    return keyring.seal(PLAIN, table=table, column=column, row=row, owner="보라")


def add(session: Session, number: int, *, status: str = "completed", keyring: Keyring = BEFORE) -> None:
    """A run with two rows of journal and a file, its review, an entry of the outbox, and a conversation with a message."""
    run = f"run{number:04}"
    session.execute(
        sa.insert(RunRow).values(
            id=run, owner="보라", kind="review", status=status, worker="w", epoch=1, locale="ko", on_disconnect="continue",
            request=seal(keyring, "runs", "request", run), text=seal(keyring, "runs", "text", run),
            request_mac=b"", ticket_used=False, cancel_requested=False, reads=0, created_at=now(),
        )
    )  # fmt: skip
    for seq in (1, 11):
        payload = seal(keyring, "journal", "payload", f"{run}:{seq}")
        values = {"run_id": run, "first_seq": seq, "last_seq": seq + 9, "epoch": 1, "payload": payload}
        session.execute(sa.insert(JournalRow).values(**values))
    session.execute(
        sa.insert(ReviewRow).values(
            id=run, owner="보라", date=dt.date(2026, 1, 20), type="F", created_at=now(),
            body=seal(keyring, "reviews", "body", run), feedback=seal(keyring, "reviews", "feedback", run),
        )
    )  # fmt: skip
    session.execute(
        sa.insert(OutboxRow).values(
            id=run, owner="보라", payload=seal(keyring, "outbox", "payload", run), state="waiting", attempts=0,
            due_at=time.time(), created_at=time.time(),
        )
    )  # fmt: skip

    names = {
        "name": seal(keyring, "attachments", "name", f"{run}:0"),
        "content": seal(keyring, "attachments", "content", f"{run}:0"),
    }
    session.execute(sa.insert(AttachmentRow).values(run_id=run, position=0, media_type="text/plain", **names))
    moments = {"created_at": now(), "updated_at": now()}
    title = seal(keyring, "conversations", "title", run)
    session.execute(sa.insert(ConversationRow).values(id=run, owner="보라", name=run, title=title, **moments))
    session.execute(
        sa.insert(MessageRow).values(
            id=run, conversation_id=run, number=0, owner="보라", role="user", status="completed", run_id=run, created_at=now(),
            content=seal(keyring, "messages", "content", run), meta=seal(keyring, "messages", "meta", run),
        )
    )  # fmt: skip


FIELDS = 12


def opened(database: Database, keyring: Keyring) -> int:
    """How many fields this keyring opens; all of them must say what was sealed."""
    count = 0
    for column in SEALED:
        with database.read() as session:
            rows = session.execute(column.select(*column.row, column.column)).all()
        for *row, field in rows:
            place = {"table": column.table, "column": str(column.column.key), "owner": "보라"}
            try:
                assert keyring.open(field, row=":".join(map(str, row)), **place) == PLAIN
            except UnreadableError:
                continue
            count += 1
    return count


def rotate(database: Database, keyring: Keyring = BOTH) -> dict[str, tuple[int, int, int]]:
    done = {str(column): sealed.rotate(database, keyring, column) for column in SEALED}
    return {name: (each.renewed, each.left, each.unreadable) for name, each in done.items() if any_(each)}


def any_(done: sealed.Rotated) -> bool:
    return bool(done.renewed or done.left or done.unreadable)


def test_every_sealed_column_is_known() -> None:
    """What the models hold in bytes is sealed, but for digests and numbers."""
    models = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary) and column.name not in DIGESTS
    }
    assert sorted(map(str, SEALED)) == sorted(models - NUMBERS)


def test_all_is_sealed_with_the_new_key_and_says_the_same(database: Database) -> None:
    with database.write() as session:
        for number in range(10):
            add(session, number)
    assert (opened(database, BEFORE), opened(database, AFTER)) == (10 * FIELDS, 0)
    assert (sealed.count(database, key="k1"), sealed.count(database, but="k2")) == (120, 120)

    assert rotate(database) == {
        "runs.request": (10, 0, 0), "runs.text": (10, 0, 0), "journal.payload": (20, 0, 0),
        "reviews.body": (10, 0, 0), "reviews.feedback": (10, 0, 0), "outbox.payload": (10, 0, 0),
        "attachments.name": (10, 0, 0), "attachments.content": (10, 0, 0), "conversations.title": (10, 0, 0),
        "messages.content": (10, 0, 0), "messages.meta": (10, 0, 0),
    }  # fmt: skip

    assert (opened(database, BEFORE), opened(database, AFTER)) == (0, 120)
    assert (sealed.count(database, key="k1"), sealed.count(database, but="k2")) == (0, 0)
    assert rotate(database) == {}, "once is enough"


def test_what_a_worker_may_still_write_is_left(database: Database) -> None:
    with database.write() as session:
        for number, status in enumerate(("pending", "running", "failed", "cancelled", "interrupted")):
            add(session, number, status=status)
    done = rotate(database)
    assert done["runs.request"] == (3, 2, 0) and done["journal.payload"] == (6, 4, 0)
    assert done["reviews.body"] == (5, 0, 0)
    assert sealed.count(database, key="k1") == 2 * 2 + 4 + 4, "requests and texts, the journal, the files"
    with database.write() as session:
        session.execute(sa.update(RunRow).values(status="completed"))
    rotate(database)
    assert sealed.count(database, key="k1") == 0 and opened(database, AFTER) == 5 * FIELDS


def test_what_somebody_writes_meanwhile_is_not_overwritten(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write() as session:
        add(session, 0)
    text = next(column for column in SEALED if str(column) == "runs.text")
    theirs = AFTER.seal(b"theirs", table="runs", column="text", row="run0000", owner="보라")
    replace = sealed._replace

    def late(*arguments: object) -> None:
        with database.write() as session:
            session.execute(sa.update(RunRow).values(text=theirs))
        replace(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sealed, "_replace", late)
    done = sealed.rotate(database, BOTH, text)
    assert (done.renewed, done.left) == (0, 1)
    with database.read() as session:
        assert session.scalar(sa.select(RunRow.text)) == theirs


def test_what_no_key_opens_is_told_and_stays(database: Database) -> None:
    with database.write() as session:
        add(session, 0)
        add(session, 1, keyring=Keyring([LOST]))
        moved = seal(BEFORE, "reviews", "body", "another")
        session.execute(sa.update(ReviewRow).where(ReviewRow.id == "run0000").values(body=moved))
    done = rotate(database)
    assert done["runs.request"] == (1, 0, 1) and done["reviews.body"] == (0, 0, 2)
    assert sealed.count(database, key="lost") == FIELDS
    with database.read() as session:
        assert session.scalar(sa.select(ReviewRow.body).where(ReviewRow.id == "run0000")) == moved


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 8, 9])
def test_pages_hold_each_row_once(database: Database, rows: int) -> None:
    with database.write() as session:
        for number in range(rows):
            add(session, number)
    journal = next(column for column in SEALED if column.table == "journal")
    found: list[object] = []
    for page in journal.pages(database):
        with database.read() as session:
            part = session.execute(sa.select(JournalRow.run_id, JournalRow.first_seq).where(page)).all()
        assert len(part) <= sealed._PAGE
        found += map(tuple, part)
    assert sorted(found) == [(f"run{n:04}", seq) for n, seq in itertools.product(range(rows), (1, 11))]  # type: ignore[type-var]


def test_a_key_is_released_when_nothing_and_nobody_needs_it(database: Database) -> None:
    with database.write() as session:
        add(session, 0)
        for key in ("k1", "k1", "k2"):
            sealed.enlist(session, key)
        workers.register(session, "old", host="h", pid=1, key="k1")
        workers.register(session, "new", host="h", pid=2, key="k2")
    with database.read() as session:
        assert sealed.missing(session, AFTER) == ["k1"] and sealed.missing(session, BOTH) == []
        assert sealed.writers(session) == {"k1": 1, "k2": 1}
    assert sealed.release(database, "k1") == FIELDS + 1
    rotate(database)
    assert sealed.release(database, "k1") == 1, "a worker writes with it"
    with database.write() as session:
        assert workers.give_up(session, "old")
    assert sealed.release(database, "k1") == 0
    with database.read() as session:
        assert sealed.needed(session) == ["k2"] and sealed.missing(session, AFTER) == []


def test_the_names_of_keys_are_no_prefixes_of_each_other(database: Database) -> None:
    long = f"k1-2026:{NEW.partition(':')[2]}"
    with database.write() as session:
        add(session, 0)
        add(session, 1, keyring=Keyring([long]))
    assert sealed.count(database, key="k1") == sealed.count(database, key="k1-2026") == FIELDS
