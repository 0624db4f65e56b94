"""One run at a time in a conversation, with two servers on one database: who sends at once, and who leaves and sends again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import User

pytestmark = pytest.mark.timeout(180)  # a busy machine takes long to start two servers
ENV = {"SORA_MODEL": "sim-n400-d20", "SORA_ORPHAN_GRACE": "60"}


@pytest.fixture(scope="module")
def urls(module_url: str, _simulator: Simulator) -> Iterator[list[str]]:
    with (
        Server(module_url, _simulator.url, env=ENV) as one,
        Server(module_url, _simulator.url, env=ENV) as two,
    ):
        yield [one.url, two.url]


def payload(question: str, conversation: str, **more: str) -> dict[str, object]:
    return {"kind": "chat", "input": {"message": question, "conversation_id": conversation}, **more}


def test_of_twenty_at_once_one_is_answered(urls: list[str], simulator: Simulator) -> None:
    user = User(urls[0])

    def send(number: int) -> tuple[int, str]:
        answer = user.request("/api/runs", at=urls[number % 2], payload=payload(f"질문 {number}", "c"))
        return answer.status, answer.json().get("code", "")

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(send, range(20)))
    assert sorted(outcomes) == [(201, ""), *[(409, "conversation_busy")] * 19]
    [run] = user.runs()
    assert user.request(f"/api/runs/{run['id']}/cancel", body=b"").status == 200
    assert user.ended(run["id"])["status"] == "cancelled"
    assert len(simulator.requests()) <= 1
    told = user.request("/api/conversations/c/messages").json()["items"]
    assert [one["status"] for one in told] == ["completed", "cancelled"]


@pytest.mark.parametrize("same", [True, False], ids=["the-same-server", "another-server"])
def test_who_leaves_can_send_again(urls: list[str], same: bool) -> None:
    user, session = User(urls[0], "떠나는 이"), f"s{int(same)}"
    first = {"question": "처음", "sessionId": session}
    with user.open("/api/ask", payload=first) as stream:
        stream.take(3)
        run_id = stream.headers["X-Sora-Run-Id"]
    before = time.monotonic()
    at = urls[0] if same else urls[1]
    with user.open("/api/ask", at=at, payload={"question": "다시", "sessionId": session}) as stream:
        assert stream.status == 200
        assert time.monotonic() - before < 2.5
        stream.take(3)
        told = user.request(f"/api/conversations/{session}/messages").json()["items"]
    assert [(one["role"], one["status"]) for one in told] == [
        ("user", "completed"), ("assistant", "cancelled"), ("user", "completed"),
    ]  # fmt: skip
    assert told[1]["runId"] == run_id and told[1]["content"] == user.run(run_id)["text"] != ""
