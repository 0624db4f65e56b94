"""What the events of a Dify app become, and what Dify is told of an answer that nobody waits for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.config import Config
from sora.engine.generation import Call, CallCancelled, Finished, Generate, Message, Piece, Provider
from sora.errors import ContentFilter, RunError, UpstreamError, UpstreamRateLimited, UpstreamTimeout
from sora.events import Usage
from sora.providers import dify_event
from sora.providers.choice import Choice
from sora.providers.dialect import Answer
from sora.providers.dify import Dify
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

REQUEST = Generate(
    messages=(Message("user", "오늘은 비가 왔다."),),
    models=("dify-feeling",),
    max_tokens=500,
    temperature=0.5,
    top_p=0.9,
    provider="dify",
    variables={"name": "보라"},
)
TASK = "900bbd43-dc0b-4383-a372-aa6e6c414227"


def answer() -> Answer:
    return Dify(Config())._answer(REQUEST)


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"event": kind, "task_id": TASK, "created_at": 1, **fields}).encode()


def provider(simulator: Simulator, script: str) -> Dify:
    return Dify(Config(dify_base_url=simulator.url, dify_key_f=f"app-{script}", provider_retries=1))


def patient(**less: float) -> Call:
    return Call(**{"connect": 5.0, "first_token": 5.0, "gap": 5.0, "total": 10.0, **less})


def asked(provider: Provider, call: Call | None = None) -> list[Piece]:
    return [piece for batch in provider.stream(REQUEST, call or patient()) for piece in batch]


def test_only_the_answer_is_text() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "total_price": "0.1"}
    taken = answer()
    pieces = taken.take(
        [
            event("workflow_started", data={"id": "w"}),
            event("node_started", data={"title": "LLM"}),
            event("agent_thought", thought="hm", answer=None),
            event("message", answer=""),
            event("message", answer="비가 "),
            event("ping"),
            event("agent_message", answer="왔네요."),
            event("message_file", url="https://a.example/x.png"),
            event("tts_message", audio="//uQ"),
            event("node_finished", data={"outputs": {"answer": "비가 왔네요."}}),
            event("message_end", metadata={"usage": usage, "retriever_resources": []}),
            event("tts_message_end", audio=""),
        ]
    )
    assert pieces == ["비가 ", "왔네요.", Usage(3, 2, 5)]
    assert (taken.done, taken.finish_reason, taken.failure) == (True, "stop", None)


def test_what_is_out_is_not_replaced() -> None:
    early, late = answer(), answer()
    assert early.take([event("message_replace", answer="안녕"), event("message_end")]) == ["안녕"]
    assert early.finish_reason == "stop"
    said = [
        event("message", answer="가"),
        event("message_replace", answer="나"),
        event("message", answer="다"),
    ]
    assert late.take([*said, event("message_end", metadata={})]) == ["가"]
    assert (late.done, late.finish_reason) == (True, "content_filter")


@pytest.mark.parametrize(
    ("code", "status", "kind", "again"),
    [
        ("completion_request_error", 400, UpstreamError, True),
        ("internal_server_error", 500, UpstreamError, True),
        ("invalid_param", 400, UpstreamError, False),
        ("provider_quota_exceeded", 400, UpstreamError, False),
        ("rate_limit_error", 429, UpstreamRateLimited, True),
        ("too_many_requests", 429, UpstreamRateLimited, True),
        ({"odd": 1}, None, UpstreamError, True),
    ],
)
def test_an_error_of_dify(code: object, status: object, kind: type[RunError], again: bool) -> None:
    taken = answer()
    assert taken.take([event("message", answer="가"), event("error", code=code, status=status)]) == ["가"]
    assert taken.failure is not None
    assert (type(taken.failure.error), taken.failure.again) == (kind, again)


@given(st.lists(st.one_of(st.binary(max_size=60), st.builds(event, st.text(max_size=20)))))
def test_any_lines_are_an_answer_or_a_failure(lines: list[bytes]) -> None:
    taken = answer()
    taken.take(lines)
    assert taken.failure is None or isinstance(taken.failure.error, UpstreamError)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda each: st.lists(each, max_size=3)))
def test_any_json_is_an_event_or_refused(value: Any) -> None:
    for said in (value, {"event": value}, {"event": "message", "answer": value}, {"metadata": value}):
        try:
            dify_event.decode(json.dumps(said).encode())
        except ValueError:
            continue


def test_the_app_is_asked_with_its_own_key(simulator: Simulator) -> None:
    pieces = asked(provider(simulator, "sim-echo-d0"))
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == "오늘은 비가 왔다."
    assert pieces[-1] == Finished("stop", "dify-feeling")
    [seen] = simulator.requests()
    assert (seen["path"], seen["model"], seen["stream"]) == ("/v1/chat-messages", "sim-echo-d0", True)
    assert seen["parameters"]["inputs"] == {"name": "보라"}
    assert "app-sim" not in json.dumps(seen), "a key is not recorded"
    assert not seen["stopped"]


@pytest.mark.parametrize("script", ["sim-n5000-d20", "sim-stall3"])
def test_a_cancelled_answer_is_stopped_at_dify(simulator: Simulator, script: str) -> None:
    call = patient()
    answers = provider(simulator, script).stream(REQUEST, call)
    texts = 0
    while texts < 3:
        texts += sum(isinstance(piece, str) for piece in next(answers))
    call.cancel()
    with pytest.raises(CallCancelled):
        next(answers)
    wait_until(lambda: simulator.requests()[0]["stopped"], what="the stop")
    assert len(simulator.requests()) == 1


@pytest.mark.parametrize(
    ("script", "kind", "stopped"),
    [
        ("sim-n5-d0", None, False),
        ("sim-d0-error3", UpstreamError, False),
        ("sim-d0-filter3", ContentFilter, False),
        ("sim-d0-stall3", UpstreamTimeout, True),
        ("sim-d0-cut3", UpstreamError, True),
        ("sim-d0-n9-badjson3", UpstreamError, True),
    ],
)
def test_only_an_answer_that_goes_on_is_stopped(
    simulator: Simulator, script: str, kind: type[RunError] | None, stopped: bool
) -> None:
    dify = provider(simulator, script)
    if kind is None:
        asked(dify)
    else:
        with pytest.raises(kind):
            asked(dify, patient(gap=0.3))
    if stopped:
        wait_until(lambda: simulator.requests()[0]["stopped"], what="the stop")
    else:
        assert not [entry for entry in simulator.requests() if entry["stopped"]]


def test_an_app_without_a_key_is_not_asked(simulator: Simulator) -> None:
    with pytest.raises(UpstreamError):
        asked(Dify(Config(dify_base_url=simulator.url)))
    assert simulator.requests() == []


def test_a_provider_that_is_not_there_is_an_error_of_the_run(simulator: Simulator) -> None:
    usual = provider(simulator, "sim-n3-d0")
    with pytest.raises(UpstreamError):
        asked(Choice(usual, {}))
    assert asked(Choice(usual, {"dify": usual}))[-1] == Finished("stop", "dify-feeling")
