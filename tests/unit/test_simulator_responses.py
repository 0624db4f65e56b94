"""The simulator's Responses API, as OpenAI's own client reads it and event by event."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.client import Stream, request
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

QUESTION = "비 오는 날 어디에 갈까?"
KEY = {"Authorization": "Bearer any"}
SEARCH = [{"type": "web_search", "search_context_size": "high"}]
PICTURE = b"\x89PNG pretended"


@pytest.fixture
def client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=simulator.url, api_key="any", max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, model: str, **more: Any) -> Any:
    return client.responses.create(**{"model": model, "input": QUESTION, **more})


def played(simulator: Simulator, model: str, **more: Any) -> Stream:
    """A streamed answer, read to its end."""
    payload = {"model": model, "input": QUESTION, "stream": True, **more}
    with Stream(simulator.url, "/v1/responses", payload=payload, headers=KEY) as answer:
        answer.rest()
        return answer


def events(answer: Stream) -> list[dict[str, Any]]:
    return [frame.json() for frame in answer.frames if frame.data != "[DONE]"]


def text(said: list[dict[str, Any]], kind: str = "output_text") -> str:
    return "".join(each["delta"] or "" for each in said if each["type"] == f"response.{kind}.delta")


def test_streamed_and_whole_answers_are_the_same(client: openai.OpenAI, simulator: Simulator) -> None:
    whole = ask(client, "sim-n12-d0", instructions="Be warm.", temperature=0.7)
    stream = list(ask(client, "sim-n12-d0", instructions="Be warm.", temperature=0.7, stream=True))
    assert [event.sequence_number for event in stream] == list(range(len(stream)))
    assert [event.type for event in stream if "delta" not in event.type] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    done = stream[-1].response
    assert "".join(event.delta for event in stream if "delta" in event.type) == whole.output_text
    assert (done.output_text, done.status, done.usage) == (whole.output_text, "completed", whole.usage)
    assert whole.usage.output_tokens == 12
    assert whole.usage.total_tokens == whole.usage.input_tokens + 12
    for entry, streaming in zip(simulator.requests(), (False, True), strict=True):
        assert entry["messages"] == [
            {"role": "system", "content": "Be warm."},
            {"role": "user", "content": QUESTION},
        ]
        assert entry["parameters"] == {"temperature": 0.7}
        assert (entry["stream"], entry["status"], entry["tokens"]) == (streaming, 200, 12)


def test_a_search_and_its_citations(client: openai.OpenAI) -> None:
    stream = list(ask(client, "sim-echo-d0", tools=SEARCH, stream=True))
    kinds = [event.type for event in stream]
    states = ["in_progress", "searching", "completed"]
    assert [kind for kind in kinds if "web_search" in kind] == [
        f"response.web_search_call.{state}" for state in states
    ]
    search, said = stream[-1].response.output
    assert (search.type, search.status, search.action.query) == (
        "web_search_call",
        "completed",
        "비 오는 날 어디에 갈까",
    )
    part = said.content[0]
    assert part.text.startswith(QUESTION)
    annotations = [event.annotation for event in stream if event.type.endswith("annotation.added")]
    assert [each.url for each in annotations] == [each.url for each in part.annotations]
    for each in part.annotations:
        assert part.text[each.start_index : each.end_index] == f"([{each.title}]({each.url}))"
    assert len({each.url for each in part.annotations}) == 3
    assert ask(client, "sim-echo-d0", tools=SEARCH).output_text == part.text
    assert ask(client, "sim-echo-d0", tools=[{"type": "function"}]).output_text == QUESTION
    assert len(ask(client, "sim-refusal-d0", tools=SEARCH).output[-1].content[0].refusal) < 100


def test_pictures_are_recorded_as_what_they_are(simulator: Simulator, client: openai.OpenAI) -> None:
    url = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    shown = {
        "type": "image",
        "media_type": "image/png",
        "bytes": len(PICTURE),
        "sha256": hashlib.sha256(PICTURE).hexdigest(),
    }
    far = {"type": "image", "url": "https://example.com/a.png"}
    parts = [
        {"type": "input_text", "text": QUESTION},
        {"type": "input_image", "image_url": url, "detail": "auto"},
        {"type": "input_image", "image_url": far["url"], "detail": "auto"},
    ]
    assert ask(client, "sim-echo-d0", input=[{"role": "user", "content": parts}]).output_text == QUESTION
    create: Any = client.chat.completions.create
    parts = [
        {"type": "text", "text": QUESTION},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": {"url": far["url"]}},
    ]
    answer = create(model="sim-echo-d0", messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content == QUESTION
    for entry in simulator.requests():
        assert entry["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": QUESTION}, shown, far]}
        ]


def test_reasoning_and_refusals(client: openai.OpenAI, simulator: Simulator) -> None:
    reasoned = events(played(simulator, "sim-reasoning-d0"))
    assert "추론" in text(reasoned, "reasoning_summary_text")
    done = reasoned[-1]["response"]
    assert [item["type"] for item in done["output"]] == ["reasoning", "message"]
    assert done["output"][0]["summary"][0]["text"] == text(reasoned, "reasoning_summary_text")
    assert done["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    assert [item.type for item in ask(client, "sim-reasoning-d0").output] == ["reasoning", "message"]
    refused = events(played(simulator, "sim-refusal-d0"))
    assert text(refused) == ""
    assert refused[-1]["response"]["output"][0]["content"][0]["refusal"] == text(refused, "refusal")


@pytest.mark.parametrize(
    ("script", "last", "reason"),
    [
        ("length", "response.incomplete", "max_output_tokens"),
        ("filter3", "response.incomplete", "content_filter"),
        ("nodone", "response.completed", None),
        ("empty", "response.completed", None),
        ("crlf", "response.completed", None),
    ],
)
def test_ends_of_all_kinds(
    simulator: Simulator, client: openai.OpenAI, script: str, last: str, reason: str | None
) -> None:
    answer = played(simulator, f"sim-d0-{script}")
    end = events(answer)[-1]
    assert (end["type"], answer.frames[-1].event, answer.ended) == (last, last, "clean")
    assert (end["response"]["incomplete_details"] or {}).get("reason") == reason
    assert ask(client, f"sim-d0-{script}").status == end["response"]["status"]


def test_answers_that_fail(simulator: Simulator, client: openai.OpenAI) -> None:
    flat = events(played(simulator, "sim-d0-error3"))
    assert (flat[-1]["type"], flat[-1]["code"]) == ("error", "server_error")
    failed = events(played(simulator, "sim-d0-failed3"))
    assert failed[-1]["type"] == "response.failed"
    assert failed[-1]["response"]["error"]["code"] == "server_error"
    assert len([each for each in failed if each["type"].endswith("text.delta")]) == 3
    assert ask(client, "sim-d0-failed3").status == "failed"
    completions = {"model": "sim-d0-failed3", "messages": [{"role": "user", "content": "a"}]}
    assert "error" in request(simulator.url, "/v1/chat/completions", payload=completions, headers=KEY).json()
    unfinished = played(simulator, "sim-d0-nofinish")
    assert unfinished.frames[-1].data == "[DONE]"
    assert events(unfinished)[-1]["type"] == "response.output_text.delta"
    assert events(played(simulator, "sim-d0-nousage"))[-1]["response"]["usage"] is None
    assert played(simulator, "sim-d0-cut3").ended == "cut"


def test_frames_of_all_kinds(simulator: Simulator) -> None:
    usual = text(events(played(simulator, "sim-d0")))
    odd = played(simulator, "sim-d0-b7-comments-null-crlf-utf8")
    assert text(events(odd)) == usual
    assert "inside" in odd.parser.comments
    assert any(each["type"] == "response.simulated" for each in events(odd))
    broken = played(simulator, "sim-n4-d0-badjson2")
    wrong = [frame for frame in broken.frames if not frame.data.endswith("}")]
    assert len(wrong) == 1
    assert [frame.event for frame in broken.frames].count("response.output_text.delta") == 4


@pytest.mark.parametrize("model", ["sim-d0-stall2", "sim-drip-d5"])
def test_a_client_that_leaves_is_noticed(simulator: Simulator, model: str) -> None:
    payload = {"model": model, "input": QUESTION, "stream": True}
    with Stream(simulator.url, "/v1/responses", payload=payload, headers=KEY) as answer:
        answer.take(2)
    wait_until(lambda: simulator.requests()[0]["cut_by_client"], timeout=2, what="the client's leaving")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"input": ""},
        {"input": []},
        {"input": ["a"]},
        {"input": QUESTION, "instructions": 1},
        {"input": QUESTION, "background": True, "store": False},
        {"input": [{"role": "user", "content": ["a"]}]},
        {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        {
            "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,%"}]}
            ]
        },
    ],
)
def test_wrong_requests_get_openais_error_body(simulator: Simulator, wrong: dict[str, Any]) -> None:
    answer = request(simulator.url, "/v1/responses", payload={"model": "sim", **wrong}, headers=KEY)
    assert answer.status == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
