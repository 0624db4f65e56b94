"""One run at a time in a conversation: who wins, who waits, and who makes way."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.orm import Session

from sora.engine.engine import Engine
from sora.engine.pipeline import Ended
from sora.errors import ConversationBusy
from sora.pipelines.chat import save_answer
from sora.store.attachments import Attachment
from sora.store.conversations import ConversationStore
from sora.store.runs import Run
from tests.engine.workers import KEYRING, OWNER, Client, Script, Workers, begin, die, ended
from tests.support.waiting import in_time, let_pass, wait_until

CONVERSATIONS = ConversationStore(KEYRING)
STALLED = "sim-n9-d0-stall3"


class Talk(Script):
    """A script in a conversation: all runs of an owner in the same."""

    def __init__(self) -> None:
        super().__init__(saving=self.keep)

    def begin(self, session: Session, run: Run, request: bytes, files: Sequence[Attachment]) -> None:
        conversation = CONVERSATIONS.enter(session, run, "c")
        CONVERSATIONS.say(session, conversation, "user", request.decode(), run_id=run.id)

    @staticmethod
    def keep(session: Session, ended: Ended) -> None:
        save_answer(session, ended, CONVERSATIONS)


def talking(workers: Workers, **settings: object) -> Engine:
    return workers(Talk(), orphan_grace=60.0, **settings)


def said(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.database.read() as session:
        conversation = CONVERSATIONS.find(session, OWNER, "c")
        assert conversation is not None
        turns = CONVERSATIONS.messages(session, conversation)
    return [(turn.role, turn.status, turn.content) for turn in turns]


def test_one_after_the_other(workers: Workers) -> None:
    engine = talking(workers)
    texts = [engine.text(ended(engine, begin(engine, f"sim-n{count}-d0"))) for count in (3, 5)]
    assert [content for role, _, content in said(engine) if role == "assistant"] == texts


@pytest.mark.parametrize("on_disconnect", ["continue", "cancel"])
def test_of_twenty_at_once_one_wins(workers: Workers, on_disconnect: str) -> None:
    """Also of those that would make way: nobody has read the winner yet, so that nobody has left it."""
    engines = [talking(workers), talking(workers)]
    together = threading.Barrier(20)

    def send(number: int) -> str:
        together.wait(10)
        try:
            return begin(engines[number % 2], "sim-n400-d20", on_disconnect=on_disconnect).id
        except ConversationBusy:
            return ""

    with ThreadPoolExecutor(20) as pool:
        [winner] = [run_id for run_id in pool.map(send, range(20)) if run_id]
    assert not engines[0].get(winner, owner=OWNER).final
    assert [role for role, _, _ in said(engines[0])] == ["user"]
    engines[0].cancel(winner, owner=OWNER)


def test_a_run_that_goes_on_is_not_waited_for(sqlite_workers: Workers) -> None:
    engine = talking(sqlite_workers)
    run = begin(engine, STALLED)
    Client(engine, run).until(4).leave()

    def refused() -> float:
        before = time.monotonic()
        with pytest.raises(ConversationBusy) as error:
            begin(engine)
        assert error.value.run_id == run.id
        return time.monotonic() - before

    assert in_time(refused, within=0.5)
    assert not engine.get(run.id, owner=OWNER).final


@pytest.mark.parametrize("same", [True, False], ids=["here", "elsewhere"])
def test_a_run_whose_reader_has_left_makes_way_at_once(workers: Workers, same: bool) -> None:
    engine = talking(workers)
    other = engine if same else talking(workers)
    run = begin(engine, STALLED, on_disconnect="cancel")
    client = Client(engine, run).until(4)
    client.leave()

    before = time.monotonic()
    following = begin(other, "sim-n2-d0", on_disconnect="cancel")
    assert time.monotonic() - before < 1.0
    assert ended(other, run).status == "cancelled"
    text = engine.text(ended(other, following))
    assert said(engine) == [
        ("user", "completed", STALLED), ("assistant", "cancelled", client.text),
        ("user", "completed", "sim-n2-d0"), ("assistant", "completed", text),
    ]  # fmt: skip


@pytest.mark.parametrize("same", [True, False], ids=["here", "elsewhere"])
def test_a_reader_that_is_leaving_is_waited_for(sqlite_workers: Workers, same: bool) -> None:
    engine = talking(sqlite_workers)
    other = engine if same else talking(sqlite_workers)
    run = begin(engine, STALLED, on_disconnect="cancel")
    client = Client(engine, run).until(4)
    before = time.monotonic()
    leaving = threading.Timer(0.4, client.leave)
    leaving.start()
    following = begin(other, on_disconnect="cancel")
    assert 0.4 <= time.monotonic() - before < 1.5
    leaving.join()
    assert ended(engine, run).status == "cancelled" and ended(engine, following).status == "completed"


@pytest.mark.parametrize("same", [True, False], ids=["here", "elsewhere"])
def test_a_reader_that_stays_keeps_its_run(sqlite_workers: Workers, same: bool) -> None:
    engine = talking(sqlite_workers)
    other = engine if same else talking(sqlite_workers)
    run = begin(engine, STALLED, on_disconnect="cancel")
    client = Client(engine, run).until(4)
    before = time.monotonic()
    with pytest.raises(ConversationBusy):
        begin(other, on_disconnect="cancel")
    assert 2.0 <= time.monotonic() - before < 3.0

    client.leave()  # what was asked for then is not wanted any more
    let_pass(0.5)
    assert not engine.get(run.id, owner=OWNER).final
    engine.cancel(run.id, owner=OWNER)


def test_a_reader_on_another_worker_keeps_the_run_until_it_leaves(sqlite_workers: Workers) -> None:
    engine, other = talking(sqlite_workers), talking(sqlite_workers)
    run = begin(engine, STALLED, on_disconnect="cancel")
    client = Client(other, run).until(4)
    wait_until(lambda: engine.producers[run.id].reads_elsewhere, what="the other worker's sign")
    for _ in range(2):
        with pytest.raises(ConversationBusy):
            begin(engine, on_disconnect="cancel")
    client.leave()

    def sent() -> Run | None:
        try:
            return begin(engine, on_disconnect="cancel")
        except ConversationBusy:
            return None

    assert wait_until(sent, timeout=6.0, what="the other reader's silence")
    assert ended(engine, run).status == "cancelled"


def test_what_a_dead_worker_leaves_is_kept_and_the_conversation_goes_on(workers: Workers) -> None:
    dying, other = talking(workers), talking(workers)
    run = begin(dying, STALLED)
    Client(other, run).until(4).leave()
    die(dying)
    assert ended(other, run).status == "interrupted"
    text = other.text(other.get(run.id, owner=OWNER))
    assert text and said(other)[1:] == [("assistant", "interrupted", text)]
    ended(other, begin(other, "sim-n2-d0"))
    assert len(said(other)) == 4


def test_a_run_that_is_tried_again_asks_no_second_time(workers: Workers) -> None:
    engine = talking(workers)
    first = begin(engine, STALLED)
    engine.cancel(first.id, owner=OWNER)
    ended(engine, first)
    again = engine.retry(first.id, owner=OWNER)
    with pytest.raises(ConversationBusy):
        begin(engine)
    engine.cancel(again.id, owner=OWNER)
    ended(engine, again)
    [question, answer] = said(engine)
    assert question == ("user", "completed", STALLED) and answer[:2] == ("assistant", "cancelled")
