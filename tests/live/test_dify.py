"""Reviews by a Dify app, from outside: as they are written, cancelled, and left behind by a worker that dies."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import DIARY, User, text_of
from tests.support.waiting import wait_until

PATH = "/stream/review/dify"
KEYS = {"SORA_DIFY_KEY_F": "app-sim-n40-d20", "SORA_DIFY_KEY_T": "app-sim-n9000-d20"}


@pytest.fixture(scope="module")
def server(_simulator: Simulator, module_url: str) -> Iterator[Server]:
    env = {"SORA_DIFY_BASE_URL": _simulator.url, "SORA_LEASE": "2", "SORA_JOURNAL_INTERVAL": "0.05", **KEYS}
    with Server(module_url, _simulator.url, env=env) as running:
        yield running


def test_the_text_grows_and_is_saved(server: Server, simulator: Simulator) -> None:
    user = User(server.url, "자라는 글")
    with user.open(PATH, payload=DIARY) as stream:
        stream.take(3)
        first = time.monotonic()
        assert simulator.requests()[0]["tokens"] < 30, "the app is still writing"
        stream.rest()
        assert time.monotonic() - first > 0.3
        assert stream.ended == "clean"
        [review] = user.reviews()
        assert review["feedback"] == text_of(stream.frames)
    assert [entry["tokens"] for entry in simulator.requests()] == [40]


def test_a_cancel_reaches_dify(server: Server, simulator: Simulator) -> None:
    user = User(server.url, "그만")
    with user.open(PATH, payload={**DIARY, "type": "T"}) as stream:
        stream.take(3)
        run_id = stream.headers["X-Sora-Run-Id"]
        assert user.request(f"/api/runs/{run_id}/cancel", method="POST").status == 200
        stream.rest()
        assert stream.frames[-1].json()["code"] == "cancelled"
    wait_until(lambda: simulator.requests()[0]["stopped"], what="the stop at Dify")
    assert user.run(run_id)["status"] == "cancelled" and user.reviews() == []


def test_what_a_dead_worker_leaves_is_kept_and_tried_again(server: Server, simulator: Simulator) -> None:
    user = User(server.url, "다시")
    with user.open(PATH, payload={**DIARY, "type": "T"}) as stream:
        stream.take(20)
        run_id = stream.headers["X-Sora-Run-Id"]
        server.kill()
    server.start()
    left = user.ended(run_id)
    assert left["status"] == "interrupted" and left["text"]
    again = user.request(f"/api/runs/{run_id}/retry", method="POST").json()["id"]
    wait_until(lambda: user.run(again)["text"], what="the next try's text")
    user.request(f"/api/runs/{again}/cancel", method="POST")
    assert user.ended(again)["status"] == "cancelled"
    assert {entry["path"] for entry in simulator.requests()} == {"/v1/chat-messages"}
