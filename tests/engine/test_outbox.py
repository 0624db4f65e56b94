"""The outbox: everything in it arrives once, in order per user, whatever happens on the way."""

from __future__ import annotations

import itertools
import logging
import random
import threading
from collections.abc import Iterator

import msgspec
import pytest
import sqlalchemy as sa

from sora import metrics
from sora.config import Config
from sora.engine.app_server import AppServer as Poster
from sora.engine.app_server import Outcome
from sora.engine.engine import Engine, Order
from sora.engine.outbox import Deliver
from sora.pipelines.review import ReviewPipeline, ReviewRequest
from sora.store.models import OutboxRow, ReviewRow
from sora.store.outbox import Entry, Letter, OutboxStore, Standing
from sora.store.reviews import ReviewStore
from sora.store.runs import new_id
from tests.engine.workers import KEYRING, OWNER, Unreliable, Workers, die, ended
from tests.support.app_server import AppServer, Post
from tests.support.postgres import Postgres
from tests.support.rows import count
from tests.support.waiting import wait_until

OUTBOX = OutboxStore(KEYRING)
FAST = {"outbox_backoff_max": 0.1}
_numbers = itertools.count()


@pytest.fixture
def app_server() -> Iterator[AppServer]:
    with AppServer() as server:
        yield server


def posting(app_server: AppServer, *, timeout: float = 5.0) -> Deliver:
    """The real client of that server; the owner's id stands for a token."""
    config = Config(app_server_url=app_server.url, app_server_timeout=timeout)
    return Poster(config, mint=lambda owner, name, role: owner).deliver


def put(engine: Engine, owner: str, number: int | None = None) -> str:
    """A letter in the outbox, numbered; its id."""
    entry_id = new_id()
    content = msgspec.json.encode({"body": str(next(_numbers) if number is None else number)})
    with engine.database.write() as session:
        OUTBOX.add(session, entry_id, owner, Letter(msgspec.Raw(content)))
    return entry_id


def entries(engine: Engine) -> dict[str, Entry]:
    with engine.database.read() as session:
        return {entry.id: entry for entry in OUTBOX.list(session)}


def standing(engine: Engine) -> Standing:
    with engine.database.read() as session:
        return OUTBOX.standing(session)


def emptied(engine: Engine, *, timeout: float = 15.0) -> None:
    wait_until(lambda: not standing(engine).waiting, timeout=timeout, what="an empty outbox", interval=0.02)


def order_of(posts: list[Post]) -> dict[str, list[int]]:
    """The letters' numbers by owner, as they came."""
    found: dict[str, list[int]] = {}
    for post in posts:
        owner = post.headers["Authorization"].removeprefix("Bearer ")
        found.setdefault(owner, []).append(int(post.content["body"]))
    return found


class TestAReview:
    def test_that_is_finished_goes_to_the_app_server_alone(
        self, workers: Workers, app_server: AppServer
    ) -> None:
        config = Config(model="sim-n9-d0")
        pipeline = ReviewPipeline(config, reviews=ReviewStore(KEYRING), outbox=OUTBOX)
        engine = workers(pipeline, deliver=posting(app_server), **FAST)
        request = ReviewRequest(
            body="비가 왔다.",
            type="FEELING",
            review_date="2026-01-20",
            name="보라",
            role="USER",  # type: ignore[arg-type]
        )
        request = msgspec.json.decode(msgspec.json.encode(request), type=ReviewRequest)
        run = engine.begin(Order("owner", "review", request.encode(), "ko"))[0]
        saved = ended(engine, run)
        emptied(engine)

        (post,) = app_server.posts
        assert post.key == run.id
        assert post.content == {
            "body": "비가 왔다.",
            "type": "FEELING",
            "reviewDate": "2026-01-20",
            "feedback": engine.text(saved),
        }
        assert count(engine.database, ReviewRow) == count(engine.database, OutboxRow) == 0

    def test_that_failed_does_not(self, sqlite_workers: Workers, app_server: AppServer) -> None:
        pipeline = ReviewPipeline(
            Config(model="sim-n9-d0-error4"), reviews=ReviewStore(KEYRING), outbox=OUTBOX
        )
        engine = sqlite_workers(pipeline)
        request = b'{"body":"x","type":"FEELING","review_date":"2026-01-20"}'
        run = engine.begin(Order(OWNER, "review", request, "ko"))[0]
        assert ended(engine, run).status == "failed"
        assert not entries(engine)

    def test_waits_sealed(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers()
        entry_id = put(engine, OWNER, 271828)
        with engine.database.read() as session:
            payload = session.scalar(sa.select(OutboxRow.payload))
            (entry,) = OUTBOX.due(session, engine.worker.id, limit=1)
        assert payload and b"271828" not in payload
        assert (entry.id, OUTBOX.open(entry).content) == (entry_id, msgspec.Raw(b'{"body":"271828"}'))

    def test_is_put_in_once(self, workers: Workers) -> None:
        engine = workers()
        for text in (b"1", b"2"):
            with engine.database.write() as session:
                OUTBOX.add(session, "the-run", OWNER, Letter(msgspec.Raw(text)))
        assert standing(engine).waiting == 1


class TestDelivery:
    def test_is_in_order_for_each_user_of_several_workers(
        self, workers: Workers, app_server: AppServer
    ) -> None:
        engine = workers()
        owners = [f"owner{number}" for number in range(20)]
        for number in range(6):
            for owner in owners:
                put(engine, owner, number)
        app_server.decide = lambda post: random.choice(("answer", "answer", 500, "lose"))
        for _ in range(2):
            workers(deliver=posting(app_server), **FAST)
        emptied(engine, timeout=30)

        assert order_of(app_server.stored) == {owner: list(range(6)) for owner in owners}
        assert len({post.key for post in app_server.posts}) == len(app_server.stored) == 120
        assert not entries(engine)

    def test_of_several_users_goes_on_beside_those_that_hang(
        self, sqlite_workers: Workers, app_server: AppServer
    ) -> None:
        app_server.decide = lambda post: "hold" if post.content["body"] == "0" else "answer"
        engine = sqlite_workers(deliver=posting(app_server, timeout=20), **FAST)
        for number in range(7):
            put(engine, f"hangs{number}", 0)
        wait_until(lambda: app_server.busiest == 7, what="those that hang")
        for number in (1, 2, 3):
            put(engine, "goes on", number)
        put(engine, "another", 4)
        wait_until(lambda: len(app_server.stored) == 11, what="the others")
        for _ in range(3):
            put(engine, f"more {next(_numbers)}", 0)
        wait_until(lambda: app_server.busiest == 8, what="one more")
        app_server.let_go()
        emptied(engine)
        assert app_server.busiest == 8, "so many at once, and no more"

    def test_of_one_user_waits_for_the_earlier_ones(self, workers: Workers, app_server: AppServer) -> None:
        app_server.decide = lambda post: 503 if post.content["body"] == "0" and post.number < 4 else "answer"
        engine = workers(deliver=posting(app_server), **FAST)
        for number in range(3):
            put(engine, "one", number)
        put(engine, "two", 7)
        emptied(engine)

        assert order_of(app_server.posts) == {"one": [0, 0, 0, 0, 1, 2], "two": [7]}

    def test_that_is_refused_is_a_dead_letter_and_holds_up_nobody(
        self, workers: Workers, app_server: AppServer
    ) -> None:
        app_server.decide = lambda post: 400 if post.content["body"] == "0" else "answer"
        engine = workers(deliver=posting(app_server), **FAST)
        dead = put(engine, "one", 0)
        for number in (1, 2):
            put(engine, "one", number)
        emptied(engine)

        assert order_of(app_server.posts) == {"one": [0, 1, 2]}
        assert {entry.id: (entry.state, entry.last_answer) for entry in entries(engine).values()} == {
            dead: ("dead", "400")
        }
        assert (standing(engine).waiting, standing(engine).dead) == (0, 1)
        # Once what was wrong is mended it can be sent again.
        app_server.decide = lambda post: "answer"
        with engine.database.write() as session:
            assert OUTBOX.retry(session) == 1
        emptied(engine)
        assert not entries(engine) and app_server.stored[-1].key == dead

    def test_waits_as_long_as_it_is_told_to(self, sqlite_workers: Workers, app_server: AppServer) -> None:
        app_server.decide, app_server.headers = lambda post: 429, {"Retry-After": "100"}
        engine = sqlite_workers(deliver=posting(app_server), **FAST)
        entry_id = put(engine, "one")
        wait_until(lambda: entries(engine)[entry_id].last_answer == "429", what="the refusal")
        app_server.decide = lambda post: "answer"
        with engine.database.write() as session:
            due_at = session.scalar(sa.select(OutboxRow.due_at - OutboxRow.created_at))
            assert due_at is not None and 100 <= due_at < 110
            assert OUTBOX.retry(session, entry_id) == 1
        emptied(engine)

    def test_of_what_no_key_opens_is_not_tried(self, sqlite_workers: Workers, app_server: AppServer) -> None:
        engine = sqlite_workers(deliver=posting(app_server), **FAST)
        with engine.database.write() as session:
            values = {"id": "unreadable", "owner": "owner", "payload": b"?", "state": "waiting"}
            session.execute(sa.insert(OutboxRow).values(attempts=0, due_at=0, created_at=0, **values))
        put(engine, "owner", 5)
        emptied(engine)
        assert order_of(app_server.posts) == {"owner": [5]}
        assert entries(engine)["unreadable"].last_answer == "UnreadableError"

    def test_that_meets_a_bug_is_tried_again(
        self, sqlite_workers: Workers, caplog: pytest.LogCaptureFixture
    ) -> None:
        tries, said = itertools.count(), "what somebody wrote"

        def deliver(key: str, owner: str, letter: Letter) -> Outcome:
            if next(tries) == 0:
                raise RuntimeError(said)
            return Outcome("delivered", "201")

        engine = sqlite_workers(deliver=deliver, **FAST)
        put(engine, OWNER)
        emptied(engine)
        assert next(tries) == 2
        assert "RuntimeError" in caplog.text and said not in caplog.text

    def test_is_told_without_a_word_of_it(
        self, sqlite_workers: Workers, app_server: AppServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        app_server.decide = lambda post: 500 if post.number == 1 else 400
        engine = sqlite_workers(deliver=posting(app_server), **FAST)
        entry_id = put(engine, "owner", 271828)
        emptied(engine)
        assert f"outbox {entry_id}: retry (500)" in caplog.text
        assert f"outbox {entry_id}: dead (400)" in caplog.text
        assert "271828" not in caplog.text

    def test_is_counted(self, sqlite_workers: Workers, app_server: AppServer) -> None:
        def value(outcome: str) -> float:
            return metrics.outbox_deliveries.labels(outcome)._value.get()  # type: ignore[no-any-return]

        before = {outcome: value(outcome) for outcome in ("delivered", "retry", "dead")}
        app_server.decide = lambda post: {"0": 400, "1": 500}.get(post.content["body"], "answer")  # type: ignore[return-value]
        engine = sqlite_workers(deliver=posting(app_server), outbox_backoff_max=1000)
        for number in range(3):
            put(engine, f"owner{number}", number)
        counted = dict.fromkeys(before, 1)
        wait_until(
            lambda: {name: value(name) - before[name] for name in before} == counted, what="the counts"
        )
        wait_until(lambda: metrics.outbox_depth._value.get() == 1, what="the depth")
        wait_until(lambda: metrics.outbox_dead._value.get() == 1, what="the dead letter")
        wait_until(lambda: metrics.outbox_oldest._value.get() > 0, what="the age")


class TestAWorker:
    def test_that_dies_leaves_its_claims_to_the_others(self, workers: Workers, app_server: AppServer) -> None:
        app_server.decide = lambda post: "hold" if post.number == 1 else "answer"
        dying = workers(deliver=posting(app_server, timeout=20), **FAST)
        entry_id = put(dying, "one", 0)
        put(dying, "one", 1)
        wait_until(lambda: app_server.stored, what="the first delivery")
        die(dying)
        claimed = entries(dying)[entry_id]
        assert claimed.claimed and claimed.attempts == 1
        other = workers(deliver=posting(app_server), lease=0.5, **FAST)
        app_server.decide = lambda post: "answer"
        emptied(other)

        assert order_of(app_server.stored) == {"one": [0, 1]}
        assert order_of(app_server.posts) == {"one": [0, 0, 1]}
        # What it hears when it wakes changes nothing any more.
        app_server.let_go()
        assert dying.outbox is not None and not dying.outbox.idle
        wait_until(lambda: dying.outbox and dying.outbox._results, what="the late answer")
        put(other, "one", 2)
        dying.outbox.step()
        assert dying.outbox.idle
        emptied(other)
        assert order_of(app_server.stored) == {"one": [0, 1, 2]}

    def test_of_two_claims_an_entry(self, workers: Workers) -> None:
        one, two = workers(), workers()
        put(one, OWNER)
        with one.database.read() as session:
            (entry,) = OUTBOX.due(session, one.worker.id, limit=9)
        with one.database.write() as session:
            first = OUTBOX.claim(session, one.worker.id, entry)
        with two.database.write() as session:
            assert OUTBOX.claim(session, two.worker.id, entry) is None
            assert not OUTBOX.due(session, two.worker.id, limit=9)
        assert first is not None and first.attempts == 1
        with one.database.write() as session:
            # One that was given up meanwhile claims nothing; a claim whose reply was lost is one's own.
            assert OUTBOX.claim(session, "given-up", first) is None
            assert OUTBOX.due(session, one.worker.id, limit=9) and not OUTBOX.due(
                session, one.worker.id, limit=9, but=[entry.id]
            )
            assert OUTBOX.delivered(session, first) and not OUTBOX.delivered(session, first)

    def test_whose_database_loses_replies_and_commits_delivers_all_the_same(
        self, workers: Workers, app_server: AppServer
    ) -> None:
        plain = workers()
        for number in range(5):
            for owner in ("one", "two", "three"):
                put(plain, owner, number)
        engine = workers(database=Unreliable, deliver=posting(app_server), **FAST)
        engine.database.loses = lambda: random.choice(("", "", "reply", "commit"))  # type: ignore[attr-defined]
        emptied(plain, timeout=40)
        engine.database.loses = lambda: ""  # type: ignore[attr-defined]
        assert order_of(app_server.stored) == {owner: [0, 1, 2, 3, 4] for owner in ("one", "two", "three")}

    def test_whose_database_is_away_forgets_nothing(
        self, postgres_workers: Workers, postgres: Postgres, app_server: AppServer
    ) -> None:
        app_server.decide = lambda post: "hold"
        engine = postgres_workers(deliver=posting(app_server, timeout=20), **FAST)
        put(engine, "one", 0)
        put(engine, "one", 1)
        wait_until(lambda: app_server.stored, what="the first delivery")
        postgres.stop("fast")
        app_server.decide = lambda post: "answer"
        app_server.let_go()
        assert engine.outbox is not None
        wait_until(lambda: bool(engine.outbox and engine.outbox._results), what="the answer")
        postgres.start()
        emptied(engine)
        assert order_of(app_server.posts) == {"one": [0, 1]}

    def test_that_drains_claims_nothing_and_finishes_what_is_under_way(
        self, workers: Workers, app_server: AppServer
    ) -> None:
        app_server.decide = lambda post: "hold"
        engine = workers(deliver=posting(app_server, timeout=20), **FAST)
        put(engine, "one", 0)
        put(engine, "one", 1)
        wait_until(lambda: app_server.stored, what="the first delivery")
        stopping = threading.Thread(target=engine.stop, kwargs={"grace": 10.0})
        stopping.start()
        wait_until(lambda: engine.draining, what="the drain")
        put(engine, "two", 2)
        app_server.let_go()
        stopping.join(15)

        assert order_of(app_server.posts) == {"one": [0]}
        assert {entry.attempts for entry in entries(engine).values()} == {0} and len(entries(engine)) == 2
        # The next one goes on.
        other = workers(deliver=posting(app_server), **FAST)
        emptied(other)
        assert order_of(app_server.stored) == {"one": [0, 1], "two": [2]}
