"""Conversations, their messages and the files of a request, at rest, on every database Sora supports."""

from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.errors import ConversationBusy, NotFound, RunActive
from sora.store.attachments import TABLE, Attachment, AttachmentStore
from sora.store.conversations import Conversation, ConversationStore, Place
from sora.store.crypto import Keyring, UnreadableError
from sora.store.database import Database
from sora.store.models import AttachmentRow, ConversationRow, JournalRow, MessageRow, RunRow
from sora.store.retention import delete_runs
from sora.store.runs import Ending, Run, RunStore, new_id
from tests.support import runs
from tests.support.rows import count

KEYRING = Keyring(["k1:" + base64.b64encode(bytes(range(32))).decode()])
RUNS = RunStore(KEYRING)
CONVERSATIONS = ConversationStore(KEYRING)
ATTACHMENTS = AttachmentStore(KEYRING)
FILES = [
    Attachment("재고 현황.csv", "text/plain", "부품,수량\nA-113,7".encode()),
    Attachment("사진.jpg", "image/jpeg", bytes(range(256))),
]
_owners = itertools.count(1)


@pytest.fixture
def owner() -> str:
    return f"owner-{next(_owners)}"


def a_run(session: Session, owner: str, **changes: object) -> Run:
    run = runs.a_run(owner, **changes)
    assert RUNS.add(session, run)
    return run


def end(session: Session, run: Run, text: str = "네.", status: str = "completed") -> None:
    assert RUNS.end(session, run, Ending(status, text, 3), ttl=0.0)


def ask(database: Database, owner: str, question: str, name: str = "c", **changes: object) -> Run:
    """A run begins in a conversation."""
    with database.write() as session:
        run = a_run(session, owner, **changes)
        conversation = CONVERSATIONS.enter(session, run, name)
        CONVERSATIONS.say(session, conversation, "user", question, run_id=run.id)
    return run


def answer(database: Database, run: Run, text: str, status: str = "completed", *, ends: bool = True) -> None:
    with database.write() as session:
        if ends:
            end(session, run, text, status)
        conversation = CONVERSATIONS.of_run(session, run.id)
        assert conversation is not None
        CONVERSATIONS.say(session, conversation, "assistant", text, run_id=run.id, status=status)


def find(database: Database, owner: str, name: str = "c") -> Conversation:
    with database.read() as session:
        found = CONVERSATIONS.find(session, owner, name)
    assert found is not None
    return found


def said(database: Database, owner: str, name: str = "c") -> list[tuple[str, str]]:
    with database.read() as session:
        turns = CONVERSATIONS.messages(session, find(database, owner, name))
    return [(turn.role, turn.content) for turn in turns]


def context(database: Database, run: Run, **how: int) -> list[str]:
    with database.read() as session:
        return [turn.content for turn in CONVERSATIONS.context(session, run.id, **how)]


class TestConversations:
    def test_a_name_is_its_owners(self, database: Database, owner: str) -> None:
        with database.write() as session:
            first = CONVERSATIONS.open(session, owner, "회의")
            again = CONVERSATIONS.open(session, owner, "회의")
            theirs = CONVERSATIONS.open(session, owner + "-other", "회의")
            assert first == again != theirs
            assert CONVERSATIONS.find(session, owner, "다른 회의") is None
        assert find(database, owner, "회의") == first
        assert (first.title, first.run_id, first.context_from) == ("", None, 0)
        assert first.created_at == first.updated_at and first.created_at.utcoffset() is not None

    def test_a_name_used_at_once_is_one_conversation(self, database: Database, owner: str) -> None:
        def open_() -> str:
            with database.write() as session:
                return CONVERSATIONS.open(session, owner, "c").id

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(lambda _: open_(), range(8)))) == 1

    def test_what_was_said_is_read_in_order(self, database: Database, owner: str) -> None:
        first = ask(database, owner, "재고가 얼마나 있나요? 🌱")
        assert find(database, owner).run_id == first.id
        answer(database, first, "일곱 개입니다.")
        second = ask(database, owner, "언제 들어오나요?")
        assert context(database, second) == ["재고가 얼마나 있나요? 🌱", "일곱 개입니다."]
        answer(database, second, "", "failed")
        third = ask(database, owner, "다시요")
        assert context(database, third, limit=2) == ["언제 들어오나요?", ""]
        assert said(database, owner) == [
            ("user", "재고가 얼마나 있나요? 🌱"), ("assistant", "일곱 개입니다."),
            ("user", "언제 들어오나요?"), ("assistant", ""), ("user", "다시요"),
        ]  # fmt: skip
        conversation = find(database, owner)
        assert conversation.title == "재고가 얼마나 있나요? 🌱" and conversation.run_id == third.id
        with database.read() as session:
            turns = CONVERSATIONS.messages(session, conversation)
            assert [turn.number for turn in turns] == [0, 1, 2, 3, 4]
            assert [turn.status for turn in turns] == [
                "completed",
                "completed",
                "completed",
                "failed",
                "completed",
            ]
            assert [turn.run_id for turn in turns] == [first.id, first.id, second.id, second.id, third.id]
            assert CONVERSATIONS.messages(session, conversation, before=3, limit=2) == turns[1:3]

    def test_meta_is_kept_with_a_message(self, database: Database, owner: str) -> None:
        meta = {"references": [{"url": "https://a.test", "title": "가"}], "files": ["재고.csv"]}
        run = ask(database, owner, "질문")
        with database.write() as session:
            CONVERSATIONS.say(
                session,
                find(database, owner),
                "assistant",
                "답",
                run_id=run.id,
                meta=meta,
                status="cancelled",
            )
        with database.read() as session:
            question, reply = CONVERSATIONS.messages(session, find(database, owner))
        assert (question.meta, reply.meta, reply.status) == ({}, meta, "cancelled")

    def test_the_title_is_the_beginning_of_the_first_question(self, database: Database, owner: str) -> None:
        long = "가나다라 " * 30
        answer(database, ask(database, owner, f"\n{long}\n\n둘째 줄"), "네")
        answer(database, ask(database, owner, "다음 질문"), "네")
        title = find(database, owner).title
        assert len(title) == 60 and title[:-1] in long and title[-1] == "…"
        with database.write() as session:
            CONVERSATIONS.rename(session, find(database, owner), "봄 정리")
        assert find(database, owner).title == "봄 정리"

    def test_a_new_context_deletes_nothing(self, database: Database, owner: str) -> None:
        answer(database, ask(database, owner, "고양이"), "야옹")
        second = ask(database, owner, "환율")
        with database.write() as session:
            CONVERSATIONS.start_afresh(session, second.id)
        answer(database, second, "1,400원")
        third = ask(database, owner, "어제는?")
        assert context(database, third) == ["환율", "1,400원"]
        assert len(said(database, owner)) == 5 and find(database, owner).context_from == 2

    def test_pages_lose_none(self, database: Database, owner: str) -> None:
        for number in range(7):
            answer(database, ask(database, owner, "질문", f"c{number}"), "답")
        answer(database, ask(database, owner, "또", "c2"), "답")
        seen: list[str] = []
        after: Place | None = None
        while True:
            with database.read() as session:
                page, after = CONVERSATIONS.page(session, owner, after, limit=3)
            seen += [conversation.name for conversation in page]
            if after is None:
                break
            assert len(page) == 3 and Place.parse(str(after)) == after
        assert seen == ["c2", "c6", "c5", "c4", "c3", "c1", "c0"]

    @pytest.mark.parametrize("text", ["", "-", "1-", "-a", "1-a-b", "9" * 18 + "-a", "１-a", "1-가"])
    def test_what_is_no_place(self, text: str) -> None:
        with pytest.raises(ValueError):
            Place.parse(text)

    def test_at_rest_nothing_can_be_read_or_moved(self, database: Database, owner: str) -> None:
        answer(database, ask(database, owner, "비밀 질문"), "비밀 답변")
        with database.read() as session:
            title = session.scalar(sa.select(ConversationRow.title))
            rows = session.execute(sa.select(MessageRow.id, MessageRow.content)).all()
        for field in (title or b"", *(content for _, content in rows)):
            assert "비밀".encode() not in field
        with database.write() as session:
            session.execute(
                sa.update(MessageRow).where(MessageRow.id == rows[0][0]).values(content=rows[1][1])
            )
        with pytest.raises(UnreadableError):
            said(database, owner)


class TestOneRunAtATime:
    def test_the_next_one_waits_for_the_end(self, database: Database, owner: str) -> None:
        run = ask(database, owner, "하나")
        with pytest.raises(ConversationBusy) as refused:
            ask(database, owner, "둘")
        assert refused.value.run_id == run.id
        assert said(database, owner) == [("user", "하나")] and count(database, RunRow) == 1
        ask(database, owner, "다른 데서", "another")
        answer(database, run, "네")
        ask(database, owner, "둘")
        assert [role for role, _ in said(database, owner)] == ["user", "assistant", "user"]

    def test_a_run_that_left_no_answer_or_is_deleted_holds_nothing_up(
        self, database: Database, owner: str
    ) -> None:
        run = ask(database, owner, "하나")
        with database.write() as session:
            end(session, run)
        second = ask(database, owner, "둘")
        assert context(database, second) == ["하나"]
        with database.write() as session:
            end(session, second)
            assert RUNS.delete(session, second.id)
        third = ask(database, owner, "셋")
        assert context(database, third) == ["하나", "둘"]

    def test_of_twenty_at_once_one_wins(self, database: Database, owner: str) -> None:
        together = threading.Barrier(20)

        def send(number: int) -> str:
            together.wait(10)
            try:
                return ask(database, owner, f"질문 {number}").id
            except ConversationBusy as error:
                return f"busy with {error.run_id}"

        for _ in range(3):
            with ThreadPoolExecutor(20) as pool:
                outcomes = list(pool.map(send, range(20)))
            [winner] = [outcome for outcome in outcomes if not outcome.startswith("busy")]
            assert outcomes.count(f"busy with {winner}") == 19
            assert find(database, owner).run_id == winner
            with database.write() as session:
                end(session, runs.a_run(owner, id=winner))
        assert count(database, MessageRow) == count(database, RunRow) == 3

    def test_a_conversation_deleted_meanwhile(self, database: Database, owner: str) -> None:
        with database.write() as session:
            run = a_run(session, owner)
            with pytest.raises(NotFound):
                CONVERSATIONS.claim(session, new_id(), run)


class TestTriedAgain:
    def test_the_question_stays_and_the_answer_is_replaced(self, database: Database, owner: str) -> None:
        first = ask(database, owner, "하나")
        answer(database, first, "중간에", "interrupted")
        again = ask(database, owner, "하나", "no matter", retry_of=first.id)
        assert context(database, again) == []
        answer(database, again, "끝까지")
        assert said(database, owner) == [("user", "하나"), ("assistant", "끝까지")]
        third = ask(database, owner, "하나", retry_of=again.id)
        answer(database, third, "또 끝까지")
        fourth = ask(database, owner, "하나", retry_of=first.id)
        answer(database, fourth, "넷째")
        assert said(database, owner) == [("user", "하나"), ("assistant", "넷째")]

    def test_also_in_the_midst_of_a_conversation(self, database: Database, owner: str) -> None:
        first = ask(database, owner, "하나")
        answer(database, first, "일")
        answer(database, ask(database, owner, "둘"), "이")
        again = ask(database, owner, "하나", retry_of=first.id)
        assert context(database, again) == []
        answer(database, again, "다시 일")
        assert [content for _, content in said(database, owner)] == ["하나", "다시 일", "둘", "이"]

    def test_what_comes_late_does_not_replace_it(self, database: Database, owner: str) -> None:
        first = ask(database, owner, "하나")
        answer(database, first, "일부", "interrupted")
        answer(database, first, "일부가 아니라 전부", ends=False)
        assert said(database, owner)[1] == ("assistant", "일부가 아니라 전부")
        again = ask(database, owner, "하나", retry_of=first.id)
        answer(database, again, "새 답")
        answer(database, first, "늦은 답", ends=False)
        assert said(database, owner)[1] == ("assistant", "새 답")

    def test_a_run_without_a_name_has_a_conversation_of_its_own(self, database: Database, owner: str) -> None:
        first = ask(database, owner, "하나", "")
        answer(database, first, "일")
        again = ask(database, owner, "하나", "", retry_of=first.id)
        answer(database, again, "이")
        assert said(database, owner, first.id) == [("user", "하나"), ("assistant", "이")]
        assert count(database, ConversationRow) == 1


class TestDeletion:
    def test_all_that_belongs_to_a_conversation_goes(self, database: Database, owner: str) -> None:
        first = ask(database, owner, "하나")
        with database.write() as session:
            put(session, first, FILES)
            batch = {"run_id": first.id, "first_seq": 1, "last_seq": 1, "epoch": 1, "payload": b""}
            session.execute(sa.insert(JournalRow).values(batch))
        answer(database, first, "일", "failed")
        again = ask(database, owner, "하나", retry_of=first.id)
        other = ask(database, owner, "다른 대화", "other")

        with database.write() as session, pytest.raises(RunActive):
            CONVERSATIONS.delete(session, find_in(session, owner))
        answer(database, again, "이")
        with database.write() as session:
            CONVERSATIONS.delete(session, find_in(session, owner))

        assert count(database, RunRow) == count(database, MessageRow) == count(database, ConversationRow) == 1
        assert count(database, AttachmentRow) == count(database, JournalRow) == 0
        assert find(database, owner, "other").run_id == other.id
        with database.write() as session:
            conversation = CONVERSATIONS.of_run(session, again.id)
            assert conversation is None, "what its run still saves has no place"

    def test_a_run_takes_its_files_along_and_leaves_what_was_said(
        self, database: Database, owner: str
    ) -> None:
        kept = [ask(database, owner, f"질문 {number}", f"c{number}") for number in range(2)]
        for run in kept:
            with database.write() as session:
                put(session, run, FILES)
            answer(database, run, "답")
        with database.write() as session:
            assert RUNS.delete(session, kept[0].id)
        assert count(database, AttachmentRow) == 2
        with database.write() as session:
            assert delete_runs(session, 0.0, limit=10) == 1
        assert count(database, AttachmentRow) == 0
        assert [said(database, owner, f"c{number}")[1] for number in range(2)] == [("assistant", "답")] * 2


def put(session: Session, run: Run, files: Sequence[Attachment]) -> None:
    session.execute(sa.insert(TABLE), ATTACHMENTS.sealed(run, files))


def of(session: Session, run_id: str, owner: str) -> list[Attachment]:
    return ATTACHMENTS.opened(session.execute(ATTACHMENTS.rows(run_id)).all(), owner)


def find_in(session: Session, owner: str) -> Conversation:
    found = CONVERSATIONS.find(session, owner, "c")
    assert found is not None
    return found


class TestAttachments:
    def test_files_come_back_as_they_were(self, database: Database, owner: str) -> None:
        with database.write() as session:
            run, other = a_run(session, owner), a_run(session, owner)
            put(session, run, FILES)
            assert of(session, run.id, owner) == FILES
            assert of(session, other.id, owner) == []
            put(session, other, of(session, run.id, owner))
            assert of(session, other.id, owner) == FILES
            with pytest.raises(UnreadableError):
                of(session, run.id, owner + "-other")

    def test_at_rest_they_cannot_be_read_or_moved(self, database: Database, owner: str) -> None:
        with database.write() as session:
            run, other = a_run(session, owner), a_run(session, owner)
            put(session, run, FILES)
            for row in session.scalars(sa.select(AttachmentRow)).all():
                assert "재고".encode() not in row.name and b"A-113" not in row.content
            session.execute(sa.update(AttachmentRow).values(run_id=other.id))
            with pytest.raises(UnreadableError):
                of(session, other.id, owner)
