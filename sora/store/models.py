"""The tables. A plain declarative base, so that a host application's own database session can hold them too."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ID = String(22)
OWNER = String(255)
KEY = String(255)


class Base(DeclarativeBase):
    """The tables of Sora, whose indexes and keys are named by their columns: migrations find them by these names."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class WorkerRow(Base):
    """A worker process. Its lease is a counter: a worker whose counter stands still is given up. It seals with `key`."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    lease: Mapped[int] = mapped_column(Integer, default=0)
    alive: Mapped[bool] = mapped_column(default=True)
    started_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    key: Mapped[str | None] = mapped_column(KEY)


class KeyRow(Base):
    """The id of an encryption key with which something may be sealed: a worker that has not this key must not start."""

    __tablename__ = "encryption_keys"

    id: Mapped[str] = mapped_column(KEY, primary_key=True)


class RunRow(Base):
    """One generation. `request`, `text` and `result` are sealed. `turn` is the number of the message, in the conversation it
    goes on with, that it answers; `superseded`: it ends when nobody reads it, for the next one waits; `upstream`: what another
    worker needs to go on with it, until it is final."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        Index(None, "worker", "status"),
        Index(None, "owner", "created_at"),
        Index(None, "ended_at"),
        Index(None, "log_expires_at"),
        Index(None, "conversation_id", "turn"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    owner: Mapped[str] = mapped_column(OWNER)
    kind: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16))
    worker: Mapped[str] = mapped_column(ID)
    epoch: Mapped[int] = mapped_column(Integer, default=1)
    locale: Mapped[str] = mapped_column(String(8))
    on_disconnect: Mapped[str] = mapped_column(String(16))
    request: Mapped[bytes] = mapped_column(LargeBinary)
    request_mac: Mapped[bytes] = mapped_column(LargeBinary)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    retry_of: Mapped[str | None] = mapped_column(ID)
    ticket_mac: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    ticket_expires_at: Mapped[float | None] = mapped_column(Float)
    ticket_used: Mapped[bool] = mapped_column(default=False)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    reads: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    last_seq: Mapped[int | None] = mapped_column(Integer)
    text: Mapped[bytes | None] = mapped_column(LargeBinary)
    result: Mapped[bytes | None] = mapped_column(LargeBinary)
    model: Mapped[str | None] = mapped_column(String(255))
    finish_reason: Mapped[str | None] = mapped_column(String(32))
    error_code: Mapped[str | None] = mapped_column(String(64))
    input_tokens: Mapped[int | None] = mapped_column(Integer)
    output_tokens: Mapped[int | None] = mapped_column(Integer)
    total_tokens: Mapped[int | None] = mapped_column(Integer)
    log_expires_at: Mapped[float | None] = mapped_column(Float)
    conversation_id: Mapped[str | None] = mapped_column(ID)
    turn: Mapped[int | None] = mapped_column(Integer)
    superseded: Mapped[bool] = mapped_column(default=False)
    upstream: Mapped[str | None] = mapped_column(Text)


class JournalRow(Base):
    """Consecutive events of a run, written together; `payload` is sealed. A batch once made never changes its bounds."""

    __tablename__ = "journal"

    run_id: Mapped[str] = mapped_column(ID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    first_seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    last_seq: Mapped[int] = mapped_column(Integer)
    epoch: Mapped[int] = mapped_column(Integer)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class AttachmentRow(Base):
    """A file that came with a run's request. `name` and `content` are sealed."""

    __tablename__ = "attachments"

    run_id: Mapped[str] = mapped_column(ID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    media_type: Mapped[str] = mapped_column(String(255))
    name: Mapped[bytes] = mapped_column(LargeBinary)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class ConversationRow(Base):
    """A conversation; `title` is sealed. `name` is what its owner's client calls it, `run_id` the last run that went on with it,
    `context_from` the number of the first message that a model still gets to see."""

    __tablename__ = "conversations"
    __table_args__ = (UniqueConstraint("owner", "name"), Index(None, "owner", "updated_at", "id"))

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    owner: Mapped[str] = mapped_column(OWNER)
    name: Mapped[str] = mapped_column(String(128))
    title: Mapped[bytes | None] = mapped_column(LargeBinary)
    context_from: Mapped[int] = mapped_column(Integer, default=0)
    run_id: Mapped[str | None] = mapped_column(ID)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))


class MessageRow(Base):
    """A message of a conversation; `content` and `meta` are sealed. Questions have even numbers, each answer the next one."""

    __tablename__ = "messages"
    __table_args__ = (UniqueConstraint("conversation_id", "number"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ID, ForeignKey("conversations.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Integer)
    owner: Mapped[str] = mapped_column(OWNER)
    role: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    meta: Mapped[bytes | None] = mapped_column(LargeBinary)
    run_id: Mapped[str] = mapped_column(ID)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))


class ReviewRow(Base):
    """A diary entry and its review. `body` and `feedback` are sealed."""

    __tablename__ = "reviews"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        Index(None, "owner", "date", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    owner: Mapped[str] = mapped_column(OWNER)
    run_id: Mapped[str | None] = mapped_column(ID, unique=True)
    date: Mapped[dt.date] = mapped_column(Date)
    type: Mapped[str] = mapped_column(String(16))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    feedback: Mapped[bytes] = mapped_column(LargeBinary)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_mac: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))


class OutboxRow(Base):
    """A review on its way to the app server; `payload` is sealed. `state` is waiting (in the queue) or dead (refused for good).

    `id` is the run's, and the idempotency key. `position` is the order of an owner's deliveries. `worker` has claimed the
    entry, as long as it is alive; `attempts` counts the claims, so that it tells one claim from the next.
    """

    __tablename__ = "outbox"
    __table_args__ = (Index(None, "owner", "state", "position"), Index(None, "state", "due_at"))

    # SQLite numbers INTEGER primary keys alone.
    position: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    id: Mapped[str] = mapped_column(ID, unique=True)
    owner: Mapped[str] = mapped_column(OWNER)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(16))
    worker: Mapped[str | None] = mapped_column(ID)
    attempts: Mapped[int] = mapped_column(Integer)
    due_at: Mapped[float] = mapped_column(Float)
    created_at: Mapped[float] = mapped_column(Float)
    last_answer: Mapped[str | None] = mapped_column(String(64))


class ShelfRow(Base):
    """The documents of one owner, with an index of their own; the shared ones are those of the owner "". Passages are numbered
    on their shelf, and no number is given twice. `vectors` counts the changes to their vectors. Who writes to a shelf holds its
    row."""

    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    owner: Mapped[str] = mapped_column(OWNER, unique=True)
    next_number: Mapped[int] = mapped_column(BigInteger, default=0)
    vectors: Mapped[int] = mapped_column(Integer, default=0, server_default="0")


class DocumentRow(Base):
    """A document of the knowledge base. Its passages are numbered on from `first`. `sheets` (JSON): of a table."""

    __tablename__ = "documents"
    __table_args__ = (UniqueConstraint("shelf", "source"), Index(None, "shelf", "updated_at", "id"))

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    shelf: Mapped[int] = mapped_column(ForeignKey("shelves.id", ondelete="CASCADE"))
    source: Mapped[str] = mapped_column(String(800))
    name: Mapped[str] = mapped_column(String(255))
    title: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(16))
    media_type: Mapped[str] = mapped_column(String(255))
    digest: Mapped[str] = mapped_column(String(64))
    sheets: Mapped[str | None] = mapped_column(Text)
    first: Mapped[int] = mapped_column(BigInteger)
    passages: Mapped[int] = mapped_column(Integer)
    characters: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))


class PassageRow(Base):
    """A piece of a document, in the clear, as the index of its terms is. `cells` (JSON) is the row of a table it came from."""

    __tablename__ = "passages"
    __table_args__ = (Index(None, "document_id", "position"),)

    shelf: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    document_id: Mapped[str] = mapped_column(ID, ForeignKey("documents.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer)
    text: Mapped[str] = mapped_column(Text)
    cells: Mapped[str | None] = mapped_column(Text)


class VectorRow(Base):
    """What a model of embeddings makes of a passage: `data` is a vector of length one, as 32-bit floats, little-endian."""

    __tablename__ = "vectors"
    __table_args__ = (
        ForeignKeyConstraint(["shelf", "number"], ["passages.shelf", "passages.number"], ondelete="CASCADE"),
    )

    shelf: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(String(255))
    data: Mapped[bytes] = mapped_column(LargeBinary)


class SegmentRow(Base):
    """The index of the passages numbered base … base + span - 1. `built`: those that were there when it was made, with
    `length` terms in all; `live`: those still there. `deleted`: ranges of slots (number - base), JSON."""

    __tablename__ = "segments"
    __table_args__ = (Index(None, "shelf", "base"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    shelf: Mapped[int] = mapped_column(ForeignKey("shelves.id", ondelete="CASCADE"))
    base: Mapped[int] = mapped_column(BigInteger)
    span: Mapped[int] = mapped_column(Integer)
    built: Mapped[int] = mapped_column(Integer)
    live: Mapped[int] = mapped_column(Integer)
    length: Mapped[int] = mapped_column(BigInteger)
    deleted: Mapped[str] = mapped_column(Text, default="[]")


class PostingRow(Base):
    """Where in a segment a term stands: `data` holds `count` postings, as `sora.knowledge.postings` packs them."""

    __tablename__ = "postings"

    # No foreign key: to check one for each term costs more than the row. Whoever drops a segment drops these first.
    segment: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    term: Mapped[str] = mapped_column(
        String(64).with_variant(String(64, collation="C"), "postgresql"), primary_key=True
    )
    count: Mapped[int] = mapped_column(Integer)
    data: Mapped[bytes] = mapped_column(LargeBinary)
