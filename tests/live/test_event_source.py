"""Chat by EventSource: whatever happens to its connections, one question is one generation and one whole answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest

from tests.live.conftest import Deployment, two_machines
from tests.support.client import Stream
from tests.support.event_source import EventSource
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.sse import Frame, Parser
from tests.support.user import User
from tests.support.waiting import wait_until

TOKENS = 60
LEASE = 2.0
ENV = {
    "SORA_MODEL": f"sim-n{TOKENS}-d8",
    "SORA_JOURNAL_INTERVAL": "0.05",
    "SORA_LEASE": str(LEASE),
    "SORA_TRUSTED_PROXIES": "1",
}
TURNS = [
    {
        "role": ("user", "assistant")[number % 2],
        "content": f"{number}번째 이야기: " + "비가 와서 창밖을 오래 보았다. " * 5,
    }
    for number in range(30)
]


@dataclass(frozen=True)
class Endpoint:
    """A GET that generates: its URL for a question, and how its frames are read."""

    path: Callable[[str], str]
    piece: Callable[[Frame], str | None]
    closes: Callable[[Frame], bool]

    def text(self, frames: list[Frame]) -> str:
        return "".join(piece for frame in frames if (piece := self.piece(frame)) is not None)


def chunk(frame: Frame) -> str | None:
    piece: str | None = frame.json().get("chunk") if frame.event == "message" else None
    return piece


def done(frame: Frame) -> bool:
    return frame.event == "error" or frame.json() == {"done": True}


def with_history(question: str) -> str:
    history = json.dumps(TURNS, ensure_ascii=False)
    return "/api/chat/stream?" + urlencode({"message": question, "history": history})


ENDPOINTS = {
    "chat": Endpoint(
        lambda question: "/chat?" + urlencode({"query": question}),
        lambda frame: frame.json() if frame.event == "message" else None,
        lambda frame: frame.event == "error",
    ),
    "chat-raw": Endpoint(
        lambda question: "/chat?" + urlencode({"query": question, "quote": "raw"}),
        lambda frame: frame.data[1:-1] if frame.event == "message" else None,
        lambda frame: frame.event == "error",
    ),
    "chunks": Endpoint(with_history, chunk, done),
    "conversation": Endpoint(
        lambda question: (
            "/chat/stream?"
            + urlencode({"message": question, "conversation_id": question, "format": "chunks"})
        ),
        chunk,
        done,
    ),
}


@pytest.fixture(scope="module")
def deployment(module_url: str, _simulator: Simulator) -> Iterator[Deployment]:
    with two_machines(module_url, _simulator.url, ENV) as deployment:
        yield deployment


def questions(simulator: Simulator) -> Counter[str]:
    """What the model was asked, and how often."""
    return Counter(entry["messages"][-1]["content"] for entry in simulator.requests())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ENDPOINTS)
def test_cut_anywhere_it_has_the_whole_answer_of_one_generation(
    deployment: Deployment, simulator: Simulator, name: str
) -> None:
    endpoint = ENDPOINTS[name]
    user = User(deployment.proxy, f"끊김 {name}")
    size = 90 * TOKENS
    # Before the first event, within every part of a frame, and again and again. (Before the opening block has come, only the
    # same URL names the run: once its end went out, to whomever, that is a new question.)
    plans = [[n] for n in (*range(0, 120, 8), *range(120, size, size // 15))] + [
        [n] * 8 for n in (45, 97, 200, 901)
    ]

    def ask(number: int) -> EventSource:
        places = deployment.places[2:] if number % 2 else deployment.places
        source = EventSource(user, endpoint.path(f"질문 {number}"), places, endpoint.closes)
        return source.follow(plans[number])

    with ThreadPoolExecutor(6) as pool:
        sources = list(pool.map(ask, range(len(plans))))
    for source in sources:
        [run_id] = source.run_ids
        run = user.ended(run_id)
        assert run["status"] == "completed" and run["usage"]["output"] == TOKENS
        assert [frame for frame in source.frames if frame.event != "message"] == []
        assert endpoint.text(source.frames) == run["text"]
        assert source.status == (200 if source.closes is done else 204), (
            "what knows no end is told not to come again"
        )
    assert sum(source.cuts for source in sources) >= len(plans)
    assert questions(simulator) == Counter(f"질문 {number}" for number in range(len(plans)))


def test_a_long_history_reaches_the_model_whole(deployment: Deployment, simulator: Simulator) -> None:
    user = User(deployment.proxy, "긴 이야기")
    answer = user.request(with_history("그래서?"))
    assert answer.status == 200
    assert Parser().feed(answer.body)[-1].json() == {"done": True}
    [entry] = simulator.requests()
    assert [{"role": m["role"], "content": m["content"]} for m in entry["messages"][1:]] == [
        *TURNS,
        {"role": "user", "content": "그래서?"},
    ]


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_reload_finds_its_run_until_the_end_was_read(
    deployment: Deployment, simulator: Simulator, name: str
) -> None:
    endpoint, user = ENDPOINTS[name], User(deployment.proxy, f"새로고침 {name}")
    path = endpoint.path("다시")
    with user.open(path, at=deployment.one.url) as stream:
        stream.take(3)  # and the page is reloaded
    run_id = stream.headers["X-Sora-Run-Id"]
    with simulator.held():
        for place in deployment.places:
            with user.open(path, at=place) as stream:
                assert stream.headers["X-Sora-Run-Id"] == run_id
                assert stream.take(3)[0].id.endswith(":1-2"), "from the start"
    user.ended(run_id)
    with user.open(path, at=deployment.two.url) as stream:
        assert stream.headers["X-Sora-Run-Id"] == run_id, "nobody has read the end"
        assert endpoint.text(stream.rest()) == user.run(run_id)["text"]
    assert len(simulator.requests()) == 1
    with user.open(path, at=deployment.two.url) as stream:
        assert stream.headers["X-Sora-Run-Id"] != run_id, "the same question once more"
        stream.rest()

    def begun_elsewhere() -> bool:
        with user.open(path, at=deployment.one.url) as stream:
            stream.rest()
            return stream.headers["X-Sora-Run-Id"] not in (run_id, second)

    second = stream.headers["X-Sora-Run-Id"]
    wait_until(begun_elsewhere, what="a new generation on the other machine")
    assert len(user.runs()) == len(simulator.requests()) == 3


def test_simultaneous_gets_are_one_generation(deployment: Deployment, simulator: Simulator) -> None:
    user = User(deployment.proxy, "한꺼번에")
    for name, endpoint in ENDPOINTS.items():
        simulator.clear()
        path = endpoint.path(f"동시에 {name}")
        with ThreadPoolExecutor(6) as pool, ExitStack() as opened:
            with simulator.held():
                asked = pool.map(lambda at, path=path: user.open(path, at=at), deployment.places * 2)
                streams: list[Stream] = [opened.enter_context(stream) for stream in asked]
            frames = list(pool.map(Stream.rest, streams))
        assert {stream.status for stream in streams} == {200}
        assert len({stream.headers["X-Sora-Run-Id"] for stream in streams}) == 1
        assert len({endpoint.text(each) for each in frames}) == 1
        assert len(simulator.requests()) == 1


def test_what_comes_with_a_position_or_only_looks_starts_nothing(
    deployment: Deployment, simulator: Simulator
) -> None:
    user, other = User(deployment.proxy, "위치"), User(deployment.proxy, "남")
    path = ENDPOINTS["chat"].path("한 번")
    answer = user.request(path)
    run_id = answer.headers["X-Sora-Run-Id"]
    parser = Parser()
    parser.feed(answer.body)
    assert parser.last_event_id == f"{run_id}:1-{TOKENS + 3}", "the terminal id"
    assert len(simulator.requests()) == 1
    for name, endpoint in ENDPOINTS.items():
        path = endpoint.path("한 번 더")
        for last in (parser.last_event_id, f"{run_id}:end", "nobodys:1-5", "nobodys:end"):
            assert user.request(path, last_event_id=last).status == 204
            assert user.request(f"{path}&" + urlencode({"last_event_id": last})).status == 204
        assert other.request(path, last_event_id=f"{run_id}:1-0").status == 204, "somebody else's"
        assert user.request(path, method="HEAD").status in (200, 204)
        for header in ("Sec-Purpose", "Purpose"):
            assert user.request(path, headers={header: "prefetch;prerender"}).status == 204
        rest = user.request(path, last_event_id=f"{run_id}:1-5")
        assert rest.status == 200 and rest.headers["X-Sora-Run-Id"] == run_id, name
    assert len(user.runs()) == len(simulator.requests()) == 1
    assert other.runs() == []


def test_a_question_that_was_put_wrongly_starts_nothing(deployment: Deployment, simulator: Simulator) -> None:
    user = User(deployment.proxy, "틀림")
    wrong = [
        "/chat", "/chat?query=", "/chat?query=+%0A", "/chat?query=%00", "/chat?query=a&quote=b", "/chat?query=a&format=b",
        "/api/chat/stream", "/api/chat/stream?message=a&history=b", "/api/chat/stream?message=a&history={}",
        "/api/chat/stream?message=a&history=[1]", "/api/chat/stream?message=a&history=" + "[" * 5000,
        "/api/chat/stream?message=a&history=" + urlencode({"": '[{"role":"system","content":"x"}]'})[1:],
        "/chat?query=a&last_event_id=b", "/chat?query=%ff%fe", "/chat?query=%ea%b0",
    ]  # fmt: skip
    for path in wrong:
        answer = user.request(path, headers={"Accept": "text/event-stream"})
        assert answer.status == 400, (path[:60], answer.status, answer.text[:200])
        assert answer.json()["code"] == "invalid_request" and answer.json()["details"], path[:60]
    assert user.request("/chat?query=a", token=None).status == 401
    assert user.runs() == simulator.requests() == []


def test_an_answer_under_way_in_the_conversation_is_told_to_come_later(
    deployment: Deployment, simulator: Simulator
) -> None:
    user = User(deployment.proxy, "바쁨")

    def path(question: str) -> str:
        return "/chat?" + urlencode({"query": question, "conversation_id": "하나"})

    with user.open(path("처음")) as stream:
        stream.take(1)
        source = {"Accept": "text/event-stream"}
        with simulator.held():
            answer = user.request(path("둘째"), headers=source)
            refused = user.request(path("둘째"))
        assert answer.status == 200
        parser = Parser()
        [frame] = parser.feed(answer.body)
        assert frame.event == "error" and frame.json()["code"] == "conversation_busy"
        assert parser.retry and parser.retry >= 1000 and not parser.last_event_id
        assert refused.status == 409, "who does not ask by EventSource"
        stream.rest()
    assert user.request(path("둘째"), headers=source).headers["X-Sora-Run-Id"]


@pytest.mark.timeout(120)
def test_a_killed_worker(deployment: Deployment, simulator: Simulator) -> None:
    """The answer is lost, and everybody is told; the question asked again is answered."""
    user = User(deployment.two.url, "죽음")
    for name in ("chat", "conversation"):
        simulator.clear()
        endpoint = ENDPOINTS[name]
        path = endpoint.path(f"끝까지 {name}")
        source = EventSource(user, path, [deployment.one.url, deployment.two.url], endpoint.closes)
        with user.open(path, at=deployment.one.url) as stream:
            stream.take(2)
            deployment.one.kill_worker()
            stream.rest()
            assert stream.ended == "cut"
            source.last_event_id, run_id = stream.last_event_id, stream.headers["X-Sora-Run-Id"]
        source.places = [deployment.two.url]
        source.follow()
        assert source.frames[-1].event == "error" and source.frames[-1].json()["code"] == "interrupted"
        assert source.run_ids == {run_id}
        assert user.request(path, last_event_id=source.last_event_id).status == 204
        assert len(simulator.requests()) == 1
        answer = user.request(path)
        assert answer.headers["X-Sora-Run-Id"] != run_id and answer.status == 200
        assert endpoint.text(Parser().feed(answer.body)) == user.run(answer.headers["X-Sora-Run-Id"])["text"]
        wait_until(lambda: ready(deployment.one), what="the worker that takes its place")


def ready(server: Server) -> bool:
    try:
        return User(server.url).request("/readyz").status == 200
    except OSError:
        return False
