"""A worker is killed with -9 in mid-answer: in the background the answer goes on elsewhere; else one call starts it again."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests.support.client import Stream, request
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.sse import Frame
from tests.support.user import DIARY, User, text_of
from tests.support.waiting import wait_until

LEASE = 2.0
SLACK = 5.0  # seconds that an end may come after the lease
RUNS = 3
KILLS = 3
ENV = {"SORA_LEASE": str(LEASE), "SORA_MODEL": "sim-n400-d10"}
BACKGROUND = {**ENV, "SORA_OPENAI_API": "responses", "SORA_BACKGROUND": "1"}
KEY = {"Authorization": "Bearer any"}
ENDS = ("done", "error", "cancelled")

pytestmark = pytest.mark.timeout(240)  # a busy machine takes long to start two servers


def answers(url: str) -> bool:
    try:
        return request(url, "/readyz").status == 200
    except OSError:
        return False


def texts(simulator: Simulator) -> set[str]:
    """What the upstream holds of all the answers that were asked for."""
    found = set()
    for response_id in {seen["response"] for seen in simulator.requests()}:
        response = request(simulator.url, f"/v1/responses/{response_id}", headers=KEY).json()
        assert response["status"] == "completed"
        found.add(response["output"][-1]["content"][0]["text"])
    return found


def events(user: User, run_id: str, *, at: str, last: str | None = None) -> Stream:
    return user.open(f"/api/runs/{run_id}/events?format=native", at=at, last_event_id=last, timeout=30)


def kept(seen: list[Frame], rest: list[Frame]) -> list[Frame]:
    """What a reader has that came back: a reset takes back what was not written."""
    frames = list(seen)
    for frame in rest:
        if frame.event == "reset":
            frames = [old for old in frames if int(old.id.rpartition("-")[2]) <= frame.json()["seq"]]
        else:
            frames.append(frame)
    return frames


def whole(frames: list[Frame], text: str) -> bool:
    """All of it, once, and that it is."""
    assert [frame.event for frame in frames if frame.event in ENDS] == ["done"] == [frames[-1].event]
    numbers = [int(frame.id.rpartition("-")[2]) for frame in frames]
    assert numbers == list(range(1, len(numbers) + 1))
    return text_of(frames) == text


def test_answers_in_the_background_go_on_elsewhere(database_url: str, simulator: Simulator) -> None:
    chances = random.Random()
    with (
        Server(database_url, simulator.url, env=BACKGROUND) as one,
        Server(database_url, simulator.url, env=BACKGROUND) as two,
    ):
        user = User(one.url)
        for _ in range(KILLS):
            wait_until(lambda: answers(one.url), what="the worker that takes its place")
            simulator.clear()
            local = [
                user.open("/stream/review?format=native", payload=DIARY, timeout=30) for _ in range(RUNS)
            ]
            run_ids = [stream.headers["X-Sora-Run-Id"] for stream in local]
            remote = [events(user, run_id, at=two.url) for run_id in run_ids]
            for stream in remote:
                stream.take(2)
            count = chances.randrange(3, 350)
            for stream in local:
                stream.take(count)
            one.kill_worker()
            killed = time.monotonic()

            for stream in local:
                stream.rest()
                assert stream.ended == "cut"
            back = [
                events(user, run_id, at=two.url, last=stream.frames[-1].id)
                for run_id, stream in zip(run_ids, local, strict=True)
            ]
            for stream in (*remote, *back):
                stream.rest()
                assert stream.ended == "clean", f"killed after {count} frames"
            assert time.monotonic() - killed < LEASE + SLACK + 400 * 0.01
            (text,) = texts(simulator)
            posted = [seen for seen in simulator.requests() if seen["path"] == "/v1/responses"]
            assert len(posted) == RUNS, "no answer was asked for twice"
            for run_id, cut, far, rest in zip(run_ids, local, remote, back, strict=True):
                assert whole(far.frames, text) and "reset" not in [frame.event for frame in far.frames]
                assert whole(kept(cut.frames, rest.frames), text), f"killed after {count} frames"
                run = user.run(run_id, at=two.url)
                assert (run["status"], run["text"]) == ("completed", text)
            for stream in (*local, *remote, *back):
                stream.close()
        reviews = user.request("/api/reviews", at=two.url).json()["items"]
        assert len(reviews) == RUNS * KILLS


def test_an_ask_goes_on_with_its_sources(database_url: str, simulator: Simulator) -> None:
    """A web search is made in the background whatever API the settings name; the steps after it are made once."""
    env = {**BACKGROUND, "SORA_OPENAI_API": "chat", "SORA_ORPHAN_GRACE": "60"}
    with (
        Server(database_url, simulator.url, env=env) as one,
        Server(database_url, simulator.url, env=env) as two,
    ):
        user = User(one.url)
        asked = {"question": "비 오는 날 어디에 갈까?", "sessionId": "s", "isWebSearch": True}
        with user.open("/api/ask", payload=asked, timeout=30) as stream:
            run_id = stream.headers["X-Sora-Run-Id"]
            with events(user, run_id, at=two.url) as remote:
                wait_until(lambda: remote.take(1) and remote.frames[-1].event == "delta", what="a delta")
                one.kill_worker()
                remote.rest()
        (text,) = texts(simulator)
        assert whole(remote.frames, text)
        kinds = [frame.event for frame in remote.frames]
        assert kinds.count("metadata") == 1 and kinds.count("source") == 3 == len(
            {frame.json()["url"] for frame in remote.frames if frame.event == "source"}
        )
        stages = [frame.data for frame in remote.frames if frame.event == "progress"]
        assert len(stages) == len(set(stages))
        told = user.request("/api/conversations/s/messages", at=two.url).json()["items"]
        assert [(one["role"], one["status"]) for one in told] == [
            ("user", "completed"),
            ("assistant", "completed"),
        ]
        assert told[1]["content"] == text


def test_without_it_a_chat_is_tried_again_in_its_conversation(
    database_url: str, simulator: Simulator
) -> None:
    with (
        Server(database_url, simulator.url, env=ENV) as one,
        Server(database_url, simulator.url, env=ENV) as two,
    ):
        user = User(two.url)
        chat: dict[str, Any] = {"kind": "chat", "input": {"message": "안녕", "conversation_id": "c"}}
        run_id = user.request("/api/runs", at=one.url, payload=chat).json()["id"]
        with events(user, run_id, at=two.url) as remote:
            remote.take(60)
            one.kill_worker()
            killed = time.monotonic()
            remote.rest()
        run = user.ended(run_id)
        assert time.monotonic() - killed < LEASE + SLACK
        assert (run["status"], run["error"]["retryable"]) == ("interrupted", True)
        assert run["text"] == text_of(remote.frames) != ""
        assert remote.frames[-1].event == "error" and remote.ended == "clean"

        def told() -> list[tuple[str, str, str]]:
            items = user.request("/api/conversations/c/messages").json()["items"]
            return [(item["role"], item["status"], item["content"]) for item in items]

        assert told() == [("user", "completed", "안녕"), ("assistant", "interrupted", run["text"])]
        again = user.request(f"/api/runs/{run_id}/retry", body=b"")
        assert again.status == 201
        with events(user, again.json()["id"], at=two.url) as stream:
            frames = stream.rest()
        assert frames[-1].event == "done" and text_of(frames).startswith(run["text"])
        assert told() == [("user", "completed", "안녕"), ("assistant", "completed", text_of(frames))]
        assert user.run(run_id)["text"] == run["text"], "the partial answer is the run's still"
