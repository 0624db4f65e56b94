"""Conversations at rest: what was said in them, sealed, and which run is under way."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from sora.errors import ConversationBusy, NotFound, RunActive
from sora.store.crypto import Keyring
from sora.store.models import Base, ConversationRow, MessageRow, RunRow
from sora.store.moment import EPOCH, from_microseconds, in_utc, microseconds
from sora.store.runs import UNFINISHED, Run, insert, new_id, now

Role = Literal["user", "assistant"]

_PLACE = re.compile(r"([0-9]{1,18})-([0-9A-Za-z]{1,22})")
_TITLE = 60  # characters of the first question that a conversation is called by


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation, in the clear. `name` is its owner's for it; `run_id` the run under way in it, if any; `context_from` the
    number of the first message that a model still gets to see."""

    id: str
    owner: str
    name: str
    title: str
    context_from: int
    run_id: str | None
    created_at: dt.datetime
    updated_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """A message, in the clear. `status` is completed, or why an answer is not whole: failed, cancelled, interrupted. `meta` may
    hold references, metadata and the names of files. Questions have even numbers, each answer the next one."""

    role: Role
    content: str
    meta: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""
    created_at: dt.datetime = EPOCH
    id: str = ""
    number: int = 0
    status: str = "completed"


class Place(NamedTuple):
    """A place in the order of conversations, newest first."""

    updated_at: dt.datetime
    id: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """What `str` made. Raises ValueError."""
        match = _PLACE.fullmatch(text)
        if match is None:
            raise ValueError("not a place")
        try:
            return cls(from_microseconds(int(match[1])), match[2])
        except OverflowError as error:
            raise ValueError("not a place") from error

    def __str__(self) -> str:
        return f"{microseconds(self.updated_at)}-{self.id}"


def _table(model: type[Base]) -> sa.Table:
    return cast("sa.Table", model.__table__)


# Statements are made once: building one costs more than running it.
_CONVERSATION: sa.BindParameter[str] = sa.bindparam("conversation")
_RUN: sa.BindParameter[str] = sa.bindparam("run")
_Earlier = aliased(RunRow)
_Later = aliased(RunRow)

_CONVERSATIONS = sa.select(
    ConversationRow.id, ConversationRow.owner, ConversationRow.name, ConversationRow.title, ConversationRow.context_from,
    RunRow.id.label("under_way"), ConversationRow.created_at, ConversationRow.updated_at,
).outerjoin(RunRow, sa.and_(RunRow.id == ConversationRow.run_id, RunRow.status.in_(UNFINISHED)))  # fmt: skip
_NAMED = _CONVERSATIONS.where(
    ConversationRow.owner == sa.bindparam("of_owner"), ConversationRow.name == sa.bindparam("called")
)
_OF_RUN = _CONVERSATIONS.join(_Earlier, _Earlier.conversation_id == ConversationRow.id).where(
    _Earlier.id == _RUN
)

_LOCK = sa.select(ConversationRow.id).where(ConversationRow.id == _CONVERSATION).with_for_update()
#: The other run that is under way, the number of the last message, and the turn of the run that is tried again.
_LOOK = sa.select(
    sa.select(RunRow.id)
    .join(ConversationRow, ConversationRow.run_id == RunRow.id)
    .where(ConversationRow.id == _CONVERSATION, RunRow.id != _RUN, RunRow.status.in_(UNFINISHED))
    .scalar_subquery()
    .label("busy"),
    sa.select(sa.func.max(MessageRow.number))
    .where(MessageRow.conversation_id == _CONVERSATION)
    .scalar_subquery()
    .label("last"),
    sa.select(RunRow.turn)
    .where(RunRow.id == sa.bindparam("again"), RunRow.conversation_id == _CONVERSATION)
    .scalar_subquery()
    .label("again"),
)
_TAKE_TURN = (
    sa.update(_table(RunRow))
    .where(RunRow.id == _RUN)
    .values(conversation_id=_CONVERSATION, turn=sa.bindparam("number"))
)
_CLAIM = (
    sa.update(_table(ConversationRow))
    .where(ConversationRow.id == _CONVERSATION)
    .values(run_id=_RUN, updated_at=sa.bindparam("moment"))
)

#: Where a run speaks: the number of its message, the id of one that is there, and whether another run has tried it again.
_TURN = (
    sa.select(
        (RunRow.turn + sa.bindparam("offset", type_=sa.Integer)).label("number"),
        MessageRow.id.label("message_id"),
        sa.exists()
        .where(
            _Later.conversation_id == RunRow.conversation_id,
            _Later.turn == RunRow.turn,
            _Later.created_at > RunRow.created_at,
        )
        .correlate(RunRow)
        .label("tried_again"),
    )
    .select_from(RunRow)
    .outerjoin(
        MessageRow,
        sa.and_(
            MessageRow.conversation_id == RunRow.conversation_id,
            MessageRow.number == RunRow.turn + sa.bindparam("offset", type_=sa.Integer),
        ),
    )
    .where(RunRow.id == _RUN, RunRow.conversation_id == _CONVERSATION)
)
_SAY = sa.insert(_table(MessageRow))
_SAY_AGAIN = (
    sa.update(_table(MessageRow))
    .where(MessageRow.id == sa.bindparam("message"))
    .values({name: sa.bindparam(name) for name in ("status", "run_id", "created_at", "content", "meta")})
)
_SPOKEN = (
    sa.update(_table(ConversationRow))
    .where(ConversationRow.id == _CONVERSATION)
    .values(
        updated_at=sa.bindparam("moment"),
        title=sa.func.coalesce(ConversationRow.title, sa.bindparam("first_title", type_=sa.LargeBinary)),
    )
)
_AFRESH = (
    sa.update(_table(ConversationRow))
    .where(ConversationRow.id == RunRow.conversation_id, RunRow.id == _RUN)
    .values(context_from=RunRow.turn)
)

_SAID = (
    sa.select(*MessageRow.__table__.columns)
    .order_by(MessageRow.number.desc())
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_MESSAGES = _SAID.where(
    MessageRow.conversation_id == _CONVERSATION, MessageRow.number < sa.bindparam("before")
)
_CONTEXT = (
    _SAID.join(RunRow, RunRow.conversation_id == MessageRow.conversation_id)
    .join(ConversationRow, ConversationRow.id == MessageRow.conversation_id)
    .where(
        RunRow.id == _RUN, MessageRow.number < RunRow.turn, MessageRow.number >= ConversationRow.context_from
    )
)


class ConversationStore:
    """Reads and writes conversations in the caller's session; none commits. To an owner only its own are there."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def open(self, session: Session, owner: str, name: str) -> Conversation:
        """The owner's conversation of this name (at most 128 characters), made if it is not there. Safe against concurrent
        calls."""
        while (found := self.find(session, owner, name)) is None:
            moment = now()
            values = {
                "id": new_id(), "owner": owner, "name": name, "context_from": 0,
                "created_at": moment, "updated_at": moment,
            }  # fmt: skip
            insert(session, ConversationRow, values, unless=("owner", "name"))
        return found

    def enter(self, session: Session, run: Run, name: str = "") -> Conversation:
        """The conversation in which a run that begins is to answer, claimed for it: its owner's of this name, or a new one that
        is called as the run is. A run that tries another one again answers where that did, whatever the name.
        Raises ConversationBusy."""
        earlier = self.of_run(session, run.retry_of) if run.retry_of is not None else None
        conversation = earlier or self.open(session, run.owner, name or run.id)
        self.claim(session, conversation.id, run)
        return conversation

    def claim(self, session: Session, conversation_id: str, run: Run) -> None:
        """Let this run, which is in the database, be the one under way. Of concurrent calls one wins; the others raise
        ConversationBusy, as long as it is not final. Raises NotFound for a conversation deleted meanwhile."""
        # Locked first and looked at then: the second statement sees what the transaction waited for has committed.
        connection, of = session.connection(), {"conversation": conversation_id, "run": run.id}
        if connection.execute(_LOCK, of).first() is None:
            raise NotFound
        busy, last, again = connection.execute(_LOOK, of | {"again": run.retry_of or ""}).one()
        if busy is not None:
            raise ConversationBusy(busy)
        following = 0 if last is None else (last // 2 + 1) * 2
        connection.execute(_TAKE_TURN, of | {"number": following if again is None else again})
        connection.execute(_CLAIM, of | {"moment": now()})

    def say(
        self, session: Session, conversation: Conversation, role: Role, content: str, *,
        run_id: str, meta: dict[str, Any] | None = None, status: str = "completed",
    ) -> None:  # fmt: skip
        """Save the question or the answer of a run that has claimed this conversation. Saved again, it takes the place of what
        was there; so does what a run says that tries another one again. What a run says that has been tried again is late, and
        not saved. The first question is the title of a conversation that has none."""
        connection, of = session.connection(), {"conversation": conversation.id, "run": run_id}
        found = connection.execute(_TURN, of | {"offset": 0 if role == "user" else 1}).first()
        if found is None or found.tried_again:
            return
        message_id, owner = found.message_id or new_id(), conversation.owner
        values = {
            "id": message_id, "conversation_id": conversation.id, "number": found.number, "owner": owner,
            "role": role, "status": status, "run_id": run_id, "created_at": now(),
            "content": self._seal("messages", "content", message_id, owner, content.encode()),
            "meta": self._seal("messages", "meta", message_id, owner, msgspec.json.encode(meta)) if meta else None,
        }  # fmt: skip
        if found.message_id is None:
            connection.execute(_SAY, values)
        else:
            connection.execute(_SAY_AGAIN, values | {"message": message_id})
        titled = role == "user" and not conversation.title
        title = self._title(conversation, _beginning(content)) if titled else None
        connection.execute(_SPOKEN, of | {"moment": now(), "first_title": title})

    def of_run(self, session: Session, run_id: str) -> Conversation | None:
        """The conversation that a run answers in, or has answered in."""
        return self._one(session, _OF_RUN, {"run": run_id})

    def context(self, session: Session, run_id: str, *, limit: int = 200) -> list[Turn]:
        """What the model of this run may know: what was said before its question, at most the last `limit` messages that belong
        to the context, oldest first."""
        rows = session.connection().execute(_CONTEXT, {"run": run_id, "most": limit}).all()
        return [self._turn(row) for row in reversed(rows)]

    def start_afresh(self, session: Session, run_id: str) -> None:
        """Let the context of the conversation begin with this run's question. Nothing is deleted."""
        session.connection().execute(_AFRESH, {"run": run_id})

    def messages(
        self, session: Session, conversation: Conversation, *, before: int | None = None, limit: int = 200
    ) -> list[Turn]:
        """The last `limit` messages, before the one of this number; oldest first."""
        last = 2**31 - 1 if before is None else before
        which = {"conversation": conversation.id, "before": last, "most": limit}
        rows = session.connection().execute(_MESSAGES, which).all()
        return [self._turn(row) for row in reversed(rows)]

    def page(
        self, session: Session, owner: str, after: Place | None = None, *, limit: int = 20
    ) -> tuple[list[Conversation], Place | None]:
        """The conversations that come after a place, the one that was spoken in last first, and the place to go on from (None:
        no more)."""
        order = (ConversationRow.updated_at, ConversationRow.id)
        query = _CONVERSATIONS.where(ConversationRow.owner == owner)
        if after is not None:
            query = query.where(
                sa.tuple_(*order) < sa.tuple_(*after, types=[column.type for column in order])
            )
        query = query.order_by(*[column.desc() for column in order]).limit(limit + 1)
        found = [self._opened(row) for row in session.execute(query)]
        last = found[limit - 1] if len(found) > limit else None
        return found[:limit], Place(last.updated_at, last.id) if last is not None else None

    def find(self, session: Session, owner: str, name: str) -> Conversation | None:
        """The owner's conversation of that name."""
        return self._one(session, _NAMED, {"of_owner": owner, "called": name})

    def rename(self, session: Session, conversation: Conversation, title: str) -> Conversation:
        """Give a conversation another title, on one line."""
        line = " ".join(title.split())
        mine = sa.update(ConversationRow).where(ConversationRow.id == conversation.id)
        session.execute(mine.values(title=self._title(conversation, line)))
        return replace(conversation, title=line)

    def delete(self, session: Session, conversation: Conversation) -> None:
        """Delete a conversation with its messages, and its runs with their logs and files. Raises RunActive while one is under
        way."""
        connection, of = session.connection(), {"conversation": conversation.id, "run": ""}
        connection.execute(_LOCK, of)
        if connection.execute(_LOOK, of | {"again": ""}).one().busy is not None:
            raise RunActive
        session.execute(sa.delete(RunRow).where(RunRow.conversation_id == conversation.id))
        session.execute(sa.delete(ConversationRow).where(ConversationRow.id == conversation.id))

    def _one(
        self, session: Session, query: sa.Select[*tuple[Any, ...]], which: dict[str, str]
    ) -> Conversation | None:
        row = session.connection().execute(query, which).first()
        return self._opened(row) if row is not None else None

    def _opened(self, row: Any) -> Conversation:
        title = ""
        if row.title is not None:
            title = self._unseal("conversations", "title", row.id, row.owner, row.title).decode()
        created, updated = in_utc(row.created_at), in_utc(row.updated_at)
        return Conversation(
            row.id, row.owner, row.name, title, row.context_from, row.under_way, created, updated
        )

    def _turn(self, row: Any) -> Turn:
        content = self._unseal("messages", "content", row.id, row.owner, row.content).decode()
        meta: dict[str, Any] = {}
        if row.meta is not None:
            meta = msgspec.json.decode(self._unseal("messages", "meta", row.id, row.owner, row.meta))
        created = in_utc(row.created_at)
        return Turn(row.role, content, meta, row.run_id, created, row.id, row.number, row.status)

    def _title(self, conversation: Conversation, line: str) -> bytes:
        return self._seal("conversations", "title", conversation.id, conversation.owner, line.encode())

    def _seal(self, table: str, column: str, row: str, owner: str, plain: bytes) -> bytes:
        return self._keyring.seal(plain, table=table, column=column, row=row, owner=owner)

    def _unseal(self, table: str, column: str, row: str, owner: str, sealed: bytes) -> bytes:
        return self._keyring.open(sealed, table=table, column=column, row=row, owner=owner)


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TITLE else line[: _TITLE - 1] + "…"
