"""GETs that generate, from outside: what they show, what starts, and what an EventSource is told instead of a refusal."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from flask import Flask

from tests.api.conftest import StartApp
from tests.support.golden import assert_original
from tests.support.simulator import Simulator
from tests.support.sse import Parser
from tests.support.waiting import wait_until
from tests.support.web import Api, frames

SOURCE = {"Accept": "text/event-stream"}


def asked(simulator: Simulator) -> list[str]:
    return [entry["messages"][-1]["content"] for entry in simulator.requests()]


@pytest.mark.parametrize(
    ("path", "model", "golden"),
    [
        ("/chat?query=", "sim-echo-d0", "chat.sse"),
        ("/chat?quote=raw&query=", "sim-echo-d0", "chat-raw.sse"),
        ("/chat?query=", "sim-echo-d0-error3", "chat-error.sse"),
        ("/api/chat/stream?message=", "sim-echo-d0", "chunks.sse"),
        ("/api/chat/stream?message=", "sim-echo-d0-error3", "chunks-error.sse"),
        ("/chat/stream?message=", "sim-echo-d0", "chunks.sse"),
    ],
)
def test_the_bytes_are_those_of_the_original(start_app: StartApp, path: str, model: str, golden: str) -> None:
    api = Api(start_app(model=model), "보라")
    assert_original(api.get(path + quote('비가 왔다.\n따옴표 "와" 줄바꿈 🌧️'), headers=SOURCE), golden)


@pytest.mark.parametrize(
    ("path", "begins"),
    [
        ("/chat?query=안녕", 'data: "'),
        ("/api/chat/stream?message=안녕", 'data: {"chunk": "'),
        ("/chat/stream?message=안녕&history=[]", 'data: {"chunk": "'),
        ("/chat?query=안녕&format=ask", 'data: {"type":"text","content":"'),
        ("/chat?query=안녕&format=native", "event: started\n"),
    ],
)
def test_each_has_its_format_with_ids(bora: Api, simulator: Simulator, path: str, begins: str) -> None:
    response = bora.get(path, headers=SOURCE)
    run_id = response.headers["X-Sora-Run-Id"]
    opening, first, *_ = response.text.split("\n\n")

    assert response.status_code == 200 and response.mimetype == "text/event-stream"
    assert opening == f": open\nid: {run_id}:1-0"
    assert first.startswith(begins.rstrip("\n")) and f"\nid: {run_id}:1-" in first
    parser = Parser()
    parser.feed(response.data)
    assert bora.get(path, headers={"Last-Event-ID": parser.last_event_id}).status_code == 204
    assert asked(simulator) == ["안녕"]
    assert bora.ended(run_id)["status"] == "completed"


def test_an_error_fires_the_original_hooks_onerror_and_is_not_done(
    start_app: StartApp, simulator: Simulator
) -> None:
    api = Api(start_app(model="sim-n9-d0-error4", provider_retries=0), "보라")
    for path, pieces in (("/chat?query=a", 4), ("/api/chat/stream?message=a", 4)):
        shown = frames(api.get(path, headers=SOURCE))
        assert [frame.event for frame in shown] == ["message"] * pieces + ["error"]
        assert shown[-1].json().keys() == {"code", "message", "retryable"}
        assert shown[-1].id.endswith(f":1-{pieces + 2}"), "the terminal id: it does not come again"


def test_too_many_runs_is_told_to_an_event_source_in_an_event(start_app: StartApp) -> None:
    api = Api(start_app(model="sim-stall2-d0", max_runs_per_principal=1), "보라")
    run_id = api.start()
    response = api.get("/chat?query=a", headers=SOURCE)
    parser = Parser()
    [frame] = parser.feed(response.data)

    assert response.status_code == 200
    assert frame.event == "error"
    assert frame.json()["code"] == "too_many_runs" and frame.json()["retryable"] is True
    assert parser.retry is not None and parser.retry >= 1000
    assert parser.last_event_id == "", "it comes again as it came"
    assert api.get("/chat?query=a").status_code == 429, "who does not ask by EventSource"
    api.post(f"/api/runs/{run_id}/cancel")
    api.ended(run_id)


def test_an_explicit_key_goes_first(bora: Api, simulator: Simulator) -> None:
    key = {"Idempotency-Key": "a-key"}
    first = bora.get("/chat?query=a", headers=key)
    again = bora.get("/chat?query=a", headers=key)

    assert again.headers["X-Sora-Run-Id"] == first.headers["X-Sora-Run-Id"] and again.data == first.data
    assert bora.get("/chat?query=b", headers=key).status_code == 409
    assert asked(simulator) == ["a"]


def test_how_a_query_is_spelled_does_not_make_it_another(start_app: StartApp, simulator: Simulator) -> None:
    api = Api(start_app(model="sim-n3-d0-stall2"), "보라")
    paths = (
        "/api/chat/stream?message=비%20옴&conversation_id=c",
        "/api/chat/stream?conversation_id=c&message=비+옴",
        "/api/chat/stream?message=%EB%B9%84+%EC%98%B4&conversation_id=c&last_event_id=",
    )
    streams = [api.open("GET", path) for path in paths]
    assert len({stream.headers["X-Sora-Run-Id"] for stream in streams}) == 1
    for stream in streams:
        stream.close()
    with api.open("GET", "/chat?query=비+옴") as other:
        assert other.headers["X-Sora-Run-Id"] != streams[0].headers["X-Sora-Run-Id"]
    wait_until(lambda: asked(simulator) == ["비 옴", "비 옴"], what="both questions")
    for run_id in (streams[0].headers["X-Sora-Run-Id"], other.headers["X-Sora-Run-Id"]):
        api.post(f"/api/runs/{run_id}/cancel")
        api.ended(run_id)
    assert len(asked(simulator)) == 2


def test_nobody_finds_the_run_of_another(app: Flask, bora: Api, dana: Api, simulator: Simulator) -> None:
    mine, theirs = (api.get("/chat?query=a").headers["X-Sora-Run-Id"] for api in (bora, dana))

    assert mine != theirs
    assert dana.get("/chat?query=a", headers={"Last-Event-ID": f"{mine}:1-0"}).status_code == 204
    assert Api(app, None).get("/chat?query=a").status_code == 401
    assert asked(simulator) == ["a", "a"]
