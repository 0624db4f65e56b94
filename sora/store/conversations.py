"""Conversations at rest: what was said in them, sealed, and which run is under way."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.errors import ConversationBusy, NotFound, RunActive
from sora.store.crypto import Keyring
from sora.store.models import ConversationRow, MessageRow, RunRow
from sora.store.runs import UNFINISHED, Run, insert, new_id, now

Role = Literal["user", "assistant"]

_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
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
    created_at: dt.datetime = _EPOCH
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
            return cls(_EPOCH + int(match[1]) * _MICROSECOND, match[2])
        except OverflowError as error:
            raise ValueError("not a place") from error

    def __str__(self) -> str:
        return f"{(self.updated_at - _EPOCH) // _MICROSECOND}-{self.id}"


class ConversationStore:
    """Reads and writes conversations in the caller's session; none commits. To an owner only its own are there."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def open(self, session: Session, owner: str, name: str) -> Conversation:
        """The owner's conversation of this name (at most 128 characters), made if it is not there. Safe against concurrent
        calls."""
        while True:
            moment = now()
            values = {
                "id": new_id(), "owner": owner, "name": name, "context_from": 0,
                "created_at": moment, "updated_at": moment,
            }  # fmt: skip
            insert(session, ConversationRow, values, unless=("owner", "name"))
            if (found := self.find(session, owner, name)) is not None:
                return found  # else it was deleted in between

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
        lock = sa.select(ConversationRow.id).where(ConversationRow.id == conversation_id).with_for_update()
        if session.scalar(lock) is None:
            raise NotFound
        busy = _under_way().where(ConversationRow.id == conversation_id, RunRow.id != run.id)
        if (other := session.scalar(busy)) is not None:
            raise ConversationBusy(other)
        turn = sa.select(RunRow.turn).where(
            RunRow.id == run.retry_of, RunRow.conversation_id == conversation_id
        )
        number = session.scalar(turn)
        if number is None:
            last = session.scalar(
                sa.select(sa.func.max(MessageRow.number)).where(MessageRow.conversation_id == conversation_id)
            )
            number = 0 if last is None else (last // 2 + 1) * 2
        in_conversation = {"conversation_id": conversation_id, "turn": number}
        session.execute(sa.update(RunRow).where(RunRow.id == run.id).values(in_conversation))
        session.execute(
            sa.update(ConversationRow)
            .where(ConversationRow.id == conversation_id)
            .values(run_id=run.id, updated_at=now())
        )

    def say(
        self, session: Session, conversation: Conversation, role: Role, content: str, *,
        run_id: str, meta: dict[str, Any] | None = None, status: str = "completed",
    ) -> None:  # fmt: skip
        """Save the question or the answer of a run that has claimed this conversation. Saved again, it takes the place of what
        was there; so does what a run says that tries another one again. What a run says that has been tried again is late, and
        not saved. The first question is the title of a conversation that has none."""
        turn = session.scalar(
            sa.select(RunRow.turn).where(RunRow.id == run_id, RunRow.conversation_id == conversation.id)
        )
        if turn is None or self._tried_again(session, conversation.id, run_id, turn=turn):
            return
        number = turn if role == "user" else turn + 1
        place = sa.and_(MessageRow.conversation_id == conversation.id, MessageRow.number == number)
        message_id = session.scalar(sa.select(MessageRow.id).where(place)) or new_id()
        values = {
            "id": message_id, "conversation_id": conversation.id, "number": number, "owner": conversation.owner,
            "role": role, "status": status, "run_id": run_id, "created_at": now(),
            "content": self._seal("messages", "content", message_id, conversation.owner, content.encode()),
            "meta": self._seal("messages", "meta", message_id, conversation.owner, msgspec.json.encode(meta)) if meta else None,
        }  # fmt: skip
        if not insert(session, MessageRow, values, unless=("conversation_id", "number")):
            session.execute(sa.update(MessageRow).where(place).values(values))
        changed: dict[str, Any] = {"updated_at": now()}
        if role == "user" and not conversation.title:
            changed["title"] = self._title(conversation, _beginning(content))
        session.execute(
            sa.update(ConversationRow).where(ConversationRow.id == conversation.id).values(changed)
        )

    def of_run(self, session: Session, run_id: str) -> Conversation | None:
        """The conversation that a run answers in, or has answered in."""
        return self._one(session, ConversationRow.id == _conversation_of(run_id))

    def context(self, session: Session, run_id: str, *, limit: int = 200) -> list[Turn]:
        """What the model of this run may know: what was said before its question, at most the last `limit` messages that belong
        to the context, oldest first."""
        query = (
            sa.select(MessageRow)
            .join(RunRow, RunRow.conversation_id == MessageRow.conversation_id)
            .join(ConversationRow, ConversationRow.id == MessageRow.conversation_id)
            .where(
                RunRow.id == run_id,
                MessageRow.number < RunRow.turn,
                MessageRow.number >= ConversationRow.context_from,
            )
        )
        return self._turns(session, query, limit=limit)

    def start_afresh(self, session: Session, run_id: str) -> None:
        """Let the context of the conversation begin with this run's question. Nothing is deleted."""
        turn = sa.select(RunRow.turn).where(RunRow.id == run_id).scalar_subquery()
        session.execute(
            sa.update(ConversationRow)
            .where(ConversationRow.id == _conversation_of(run_id))
            .values(context_from=turn)
        )

    def messages(
        self, session: Session, conversation: Conversation, *, before: int | None = None, limit: int = 200
    ) -> list[Turn]:
        """The last `limit` messages, before the one of this number; oldest first."""
        query = sa.select(MessageRow).where(MessageRow.conversation_id == conversation.id)
        if before is not None:
            query = query.where(MessageRow.number < before)
        return self._turns(session, query, limit=limit)

    def page(
        self, session: Session, owner: str, after: Place | None = None, *, limit: int = 20
    ) -> tuple[list[Conversation], Place | None]:
        """The conversations that come after a place, the one that was spoken in last first, and the place to go on from (None:
        no more)."""
        order = (ConversationRow.updated_at, ConversationRow.id)
        query = _conversations().where(ConversationRow.owner == owner)
        if after is not None:
            query = query.where(
                sa.tuple_(*order) < sa.tuple_(*after, types=[column.type for column in order])
            )
        query = query.order_by(*[column.desc() for column in order]).limit(limit + 1)
        found = [self._open(row, run_id) for row, run_id in session.execute(query)]
        last = found[limit - 1] if len(found) > limit else None
        return found[:limit], Place(last.updated_at, last.id) if last is not None else None

    def find(self, session: Session, owner: str, name: str) -> Conversation | None:
        return self._one(session, sa.and_(ConversationRow.owner == owner, ConversationRow.name == name))

    def rename(self, session: Session, conversation: Conversation, title: str) -> Conversation:
        """Give a conversation another title, on one line."""
        line = " ".join(title.split())
        mine = sa.update(ConversationRow).where(ConversationRow.id == conversation.id)
        session.execute(mine.values(title=self._title(conversation, line)))
        return replace(conversation, title=line)

    def delete(self, session: Session, conversation: Conversation) -> None:
        """Delete a conversation with its messages, and its runs with their logs and files. Raises RunActive while one is under
        way."""
        this = ConversationRow.id == conversation.id
        session.scalar(sa.select(ConversationRow.id).where(this).with_for_update())
        if session.scalar(_under_way().where(this)) is not None:
            raise RunActive
        session.execute(sa.delete(RunRow).where(RunRow.conversation_id == conversation.id))
        session.execute(sa.delete(ConversationRow).where(this))

    def _tried_again(self, session: Session, conversation_id: str, run_id: str, *, turn: int) -> bool:
        began = sa.select(RunRow.created_at).where(RunRow.id == run_id).scalar_subquery()
        later = sa.select(RunRow.id).where(
            RunRow.conversation_id == conversation_id, RunRow.turn == turn, RunRow.created_at > began
        )
        return session.scalar(later.limit(1)) is not None

    def _one(self, session: Session, where: sa.ColumnElement[bool]) -> Conversation | None:
        row = session.execute(_conversations().where(where)).first()
        return self._open(*row) if row is not None else None

    def _open(self, row: ConversationRow, run_id: str | None) -> Conversation:
        title = ""
        if row.title is not None:
            title = self._unseal("conversations", "title", row.id, row.owner, row.title).decode()
        created, updated = _moment(row.created_at), _moment(row.updated_at)
        return Conversation(row.id, row.owner, row.name, title, row.context_from, run_id, created, updated)

    def _turns(self, session: Session, query: sa.Select[MessageRow], *, limit: int) -> list[Turn]:
        rows = session.scalars(query.order_by(MessageRow.number.desc()).limit(limit)).all()
        return [self._turn(row) for row in reversed(rows)]

    def _turn(self, row: MessageRow) -> Turn:
        content = self._unseal("messages", "content", row.id, row.owner, row.content).decode()
        meta: dict[str, Any] = {}
        if row.meta is not None:
            meta = msgspec.json.decode(self._unseal("messages", "meta", row.id, row.owner, row.meta))
        role, created = cast("Role", row.role), _moment(row.created_at)
        return Turn(role, content, meta, row.run_id, created, row.id, row.number, row.status)

    def _title(self, conversation: Conversation, line: str) -> bytes:
        return self._seal("conversations", "title", conversation.id, conversation.owner, line.encode())

    def _seal(self, table: str, column: str, row: str, owner: str, plain: bytes) -> bytes:
        return self._keyring.seal(plain, table=table, column=column, row=row, owner=owner)

    def _unseal(self, table: str, column: str, row: str, owner: str, sealed: bytes) -> bytes:
        return self._keyring.open(sealed, table=table, column=column, row=row, owner=owner)


def _conversations() -> sa.Select[ConversationRow, str | None]:
    """Conversations, each with the run under way in it."""
    under_way = sa.and_(RunRow.id == ConversationRow.run_id, RunRow.status.in_(UNFINISHED))
    return sa.select(ConversationRow, RunRow.id).outerjoin(RunRow, under_way)


def _under_way() -> sa.Select[str]:
    """The unfinished runs of conversations that have one."""
    joined = sa.select(RunRow.id).join(ConversationRow, RunRow.id == ConversationRow.run_id)
    return joined.where(RunRow.status.in_(UNFINISHED))


def _conversation_of(run_id: str) -> sa.ScalarSelect[str | None]:
    return sa.select(RunRow.conversation_id).where(RunRow.id == run_id).scalar_subquery()


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TITLE else line[: _TITLE - 1] + "…"


def _moment(at: dt.datetime) -> dt.datetime:
    # SQLite gives a moment back without its zone, PostgreSQL in the zone of the session.
    return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
