"""Two Soras: one streams, and posts what is finished to the other, past everything that goes wrong between them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from sora.config import Config
from sora.store.database import Database
from sora.store.models import OutboxRow, WorkerRow
from tests.support.app_server import Action, AppServer, Post
from tests.support.client import make_token
from tests.support.metrics import metrics
from tests.support.postgres import Postgres
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import User
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

NAMES = ("가온", "나래", "다솜", "라온")
EACH = 4


@dataclass(frozen=True, slots=True)
class Split:
    """The streaming server, the app server behind it, and what stands between the two."""

    streaming: Server
    between: AppServer
    keeping: Server

    def write(self, name: str, body: str) -> str:
        """A review, streamed to its end; its run's id."""
        payload = {"body": body, "type": "F", "reviewDate": "2026-01-20"}
        answer = User(self.streaming.url, name).request("/stream/review", payload=payload)
        assert answer.status == 200 and b"event: error" not in answer.body
        return str(answer.headers["X-Sora-Run-Id"])

    def kept(self, name: str) -> list[tuple[str, str]]:
        """(diary, answer) of the reviews at the app server, oldest first."""
        return [
            (review["body"], review["feedback"]) for review in User(self.keeping.url, name).reviews()[::-1]
        ]

    def depth(self) -> float:
        return metrics(self.streaming.url)["sora_outbox_depth"]

    def tried(self, outcome: str) -> float:
        return metrics(self.streaming.url).get(f'sora_outbox_deliveries_total{{outcome="{outcome}"}}', 0)

    def outbox(self) -> list[list[str]]:
        """The lines of `flask sora outbox list`, without its head."""
        return [line.split() for line in self.streaming.flask("sora", "outbox", "list").splitlines()[1:]]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def split(
    request: pytest.FixtureRequest, _simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Split]:
    folder = tmp_path_factory.mktemp("split")
    url = f"sqlite:///{folder / 'streaming.sqlite3'}"
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create_database()
    kept = f"sqlite:///{folder / 'keeping.sqlite3'}"
    with Server(kept, _simulator.url) as keeping:
        between = AppServer(upstream=f"{keeping.url}/api/reviews")
        env = {
            "SORA_SAVE_TO": "http",
            "SORA_APP_SERVER_URL": between.url,
            "SORA_APP_SERVER_TIMEOUT": "1",
            "SORA_OUTBOX_BACKOFF_MAX": "0.5",
            "SORA_MODEL": "sim-n8-d0",
            "SORA_LEASE": "2",
        }
        with Server(url, _simulator.url, workers=2, env=env) as streaming:
            yield Split(streaming, between, keeping)


@pytest.fixture
def between(split: Split) -> Iterator[AppServer]:
    with split.between as between:
        yield between


def test_every_review_arrives_once_and_in_order_whatever_happens_between(
    split: Split, between: AppServer
) -> None:
    diaries = {name: [f"{name}의 {number}번째 일기" for number in range(EACH)] for name in NAMES}
    refused = diaries[NAMES[0]][1]

    # Away.
    between.stop()
    with ThreadPoolExecutor(len(NAMES)) as pool:
        ids = dict(
            zip(
                NAMES,
                pool.map(lambda name: [split.write(name, body) for body in diaries[name]], NAMES),
                strict=True,
            )
        )
    wait_until(lambda: split.tried("retry") >= 2 * len(NAMES), what="tries in vain", interval=0.1)
    wait_until(lambda: split.depth() == len(NAMES) * EACH, what="the depth", interval=0.1)
    # Answering 500.
    between.decide = lambda post: 500
    between.start()
    wait_until(lambda: len(between.posts) >= 2 * len(NAMES), what="refusals", interval=0.1)
    assert not between.stored

    # Storing each review and then not saying so: the connection breaks, or nothing comes. One of them is refused for good.
    def decide(post: Post) -> Action:
        if post.content["body"] == refused:
            return 400
        stored = any(other.key == post.key for other in between.stored)
        return "answer" if stored else "hold" if post.content["body"] == diaries[NAMES[1]][0] else "lose"

    between.decide = decide
    wait_until(lambda: split.depth() == 0, timeout=40, what="an empty outbox", interval=0.1)

    def whole(name: str) -> list[tuple[str, str]]:
        user = User(split.streaming.url, name)
        answers = [user.run(run_id)["text"] for run_id in ids[name]]
        return list(zip(diaries[name], answers, strict=True))

    for name in NAMES:
        assert split.kept(name) == [pair for pair in whole(name) if pair[0] != refused]
        assert User(split.streaming.url, name).reviews() == [], "what is kept there is not kept here"
    assert {post.key for post in between.stored} == {run_id for of in ids.values() for run_id in of} - {
        ids[NAMES[0]][1]
    }
    claims = between.stored[0].claims
    asked = User(split.keeping.url, claims["username"]).request("/api/session").json()
    assert asked["id"] == claims["uuid"] == claims["sub"] and claims["role"] == "ROLE_USER"

    # The dead letter is listed without a word of it; mended, it goes the way of the others, to the end of the shelf.
    ((listed, state, _, _, answer, owner),) = split.outbox()
    assert (listed, state, answer) == (ids[NAMES[0]][1], "dead", "400")
    assert owner == User(split.streaming.url, NAMES[0]).request("/api/session").json()["id"]
    assert metrics(split.streaming.url)["sora_outbox_dead"] == 1
    between.decide = lambda post: "answer"
    assert split.streaming.flask("sora", "outbox", "retry", listed) == "1\n"
    wait_until(lambda: len(split.kept(NAMES[0])) == EACH, what="the mended letter", interval=0.1)
    wait_until(lambda: not split.outbox(), what="an empty list", interval=0.1)
    assert sorted(split.kept(NAMES[0])) == sorted(whole(NAMES[0]))

    # Another one is given up.
    between.decide = lambda post: 422
    dropped = split.write(NAMES[0], refused)
    wait_until(lambda: split.tried("dead") == 2, what="the refusal", interval=0.1)
    assert split.outbox()[0][0] == dropped
    split.streaming.flask("sora", "outbox", "drop", dropped)
    assert not split.outbox() and len(split.kept(NAMES[0])) == EACH

    for server in (split.streaming, split.keeping):
        log = server.log_text()
        assert "일기" not in log and make_token(NAMES[0]).split(".")[1][:40] not in log and "eyJ" not in log


def test_a_worker_that_is_killed_as_it_delivers_leaves_that_to_another(
    split: Split, between: AppServer
) -> None:
    name = "마루"
    between.stop()
    diaries = [f"{number}번째" for number in range(3)]
    ids = [split.write(name, body) for body in diaries]
    between.decide = lambda post: "hold"
    between.start()
    wait_until(lambda: between.stored, what="the delivery")
    os.kill(wait_until(lambda: _delivering(split.streaming), what="the claim"), signal.SIGKILL)
    between.decide = lambda post: "answer"

    wait_until(lambda: len(split.kept(name)) == 3, timeout=20, what="all of it", interval=0.1)
    wait_until(lambda: split.depth() == 0, what="an empty outbox", interval=0.1)
    assert [body for body, _ in split.kept(name)] == diaries
    posts = [post.key for post in between.posts]
    assert posts[0] == ids[0] and posts.count(ids[0]) >= 2
    assert list(dict.fromkeys(posts)) == ids


def _delivering(server: Server) -> int | None:
    """The process id of the worker that has claimed an entry."""
    database = Database(Config(database_url=server.env["SORA_DATABASE_URL"]).database)
    query = sa.select(WorkerRow.pid).join(OutboxRow, OutboxRow.worker == WorkerRow.id)
    try:
        with database.read() as session:
            return session.scalar(query)
    finally:
        database.close()
