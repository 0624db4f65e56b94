"""What the events of a Responses stream become, and which API a request goes to."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.config import Config
from sora.engine.generation import Call, Finished, Generate, Message, Piece
from sora.errors import ContentFilter, RunError, UpstreamError, UpstreamRateLimited
from sora.events import Progress, Reasoning, Source, Usage
from sora.providers import chunk, response_event
from sora.providers.dialect import Answer
from sora.providers.openai_provider import OpenAIProvider
from sora.providers.responses import Responses
from tests.support.simulator import Simulator

REQUEST = Generate(
    messages=(Message("user", "비가 오면 무엇을 할까?"),),
    models=("sim-echo-d0",),
    max_tokens=500,
    temperature=0.5,
    top_p=0.9,
)
SEARCHING = msgspec.structs.replace(REQUEST, web_search=True)


def answer(locale: str = "ko") -> Answer:
    return Responses(Config())._answer(msgspec.structs.replace(REQUEST, locale=locale))


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "sequence_number": 1, **fields}).encode()


def text(delta: str) -> bytes:
    return event("response.output_text.delta", item_id="m", delta=delta, logprobs=[])


def cited(url: object, title: object = "t", kind: str = "url_citation") -> bytes:
    annotation = {"type": kind, "url": url, "title": title, "start_index": 0, "end_index": 1}
    return event("response.output_text.annotation.added", annotation_index=0, annotation=annotation)


def asked(provider: OpenAIProvider, request: Generate) -> list[Piece]:
    call = Call(connect=5, first_token=5, gap=5, total=10)
    return [piece for batch in provider.stream(request, call) for piece in batch]


@pytest.fixture(params=["chat", "responses"])
def provider(request: pytest.FixtureRequest, simulator: Simulator) -> OpenAIProvider:
    config = Config(openai_base_url=simulator.url, openai_api_key="k", openai_api=request.param)
    return OpenAIProvider(config)


# Events


def test_each_citation_is_a_source_once() -> None:
    taken = answer()
    lines = [
        text("a"),
        cited("https://a.example/", "A"),
        text("b"),
        cited("https://b.example/", None),
        cited("https://a.example/", "A again"),
        cited(None, "no URL", "file_citation"),
        cited("", "empty"),
        event("response.output_text.annotation.added", annotation=None),
    ]
    assert taken.take(lines) == ["a", "b"]
    assert list(taken.sources.values()) == [
        Source("https://a.example/", "A"),
        Source("https://b.example/", ""),
    ]


@pytest.mark.parametrize(("locale", "words"), [("ko", "웹 찾아보는 중입니다."), ("en", "Searching the web.")])
def test_a_web_search_is_progress(locale: str, words: str) -> None:
    item = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
    done = [
        event("response.output_item.added", item={**item, "status": "in_progress"}),
        *(event(f"response.web_search_call.{each}") for each in ("in_progress", "searching", "completed")),
        event("response.output_item.done", item=item),
    ]
    failed = [
        event("response.web_search_call.in_progress"),
        event("response.output_item.done", item={**item, "status": "failed"}),
    ]
    statuses = ["in_progress", "completed", "in_progress", "failed"]
    told = [Progress("web_search", "web_search", status, words) for status in statuses]
    assert answer(locale).take(done + failed) == told


def test_reasoning_summaries_are_paragraphs() -> None:
    kind = "response.reasoning_summary_text.delta"
    lines = [
        event("response.reasoning_summary_part.added", summary_index=0),
        event(kind, summary_index=0, delta="First."),
        event("response.reasoning_summary_part.added", summary_index=1),
        event(kind, summary_index=1, delta="Then."),
        event("response.reasoning_text.delta", delta=" Raw."),
    ]
    assert answer().take(lines) == [
        Reasoning("First."),
        Reasoning("\n\n"),
        Reasoning("Then."),
        Reasoning(" Raw."),
    ]


@pytest.mark.parametrize(
    ("kind", "details", "reason"),
    [
        ("completed", None, "stop"),
        ("incomplete", {"reason": "max_output_tokens"}, "length"),
        ("incomplete", {"reason": "content_filter"}, "content_filter"),
        ("incomplete", {"reason": "steered"}, "other"),
        ("incomplete", {}, "other"),
    ],
)
def test_the_end(kind: str, details: object, reason: str) -> None:
    taken = answer()
    response = {"incomplete_details": details, "usage": {"input_tokens": 3, "output_tokens": 4}}
    lines = [event(f"response.{kind}", response=response), text("after the end")]
    assert taken.take(lines) == [Usage(3, 4, 7)]
    assert (taken.finish_reason, taken.done, taken.failure) == (reason, True, None)


@pytest.mark.parametrize(
    ("error", "kind", "again", "final"),
    [
        ({"code": "server_error", "message": "secret"}, UpstreamError, True, False),
        ({"code": "rate_limit_exceeded", "message": "secret"}, UpstreamRateLimited, True, False),
        ({"code": "invalid_prompt", "message": "secret"}, ContentFilter, False, True),
        ({"code": "invalid_image_format", "message": "secret"}, UpstreamError, False, False),
        (None, UpstreamError, True, False),
    ],
)
def test_failures(error: dict[str, str] | None, kind: type[RunError], again: bool, final: bool) -> None:
    told = [
        event("response.failed", response={"status": "failed", "error": error}),
        event("error", error=error),
        event("error", **(error or {})),
        event("gateway.trouble", error=error or {}),
    ]
    for line in told:
        taken = answer()
        assert taken.take([text("a"), line, text("b")]) == ["a"]
        failure = taken.failure
        assert failure is not None and type(failure.error) is kind
        assert (failure.again, failure.final) == (again, final)
        assert "secret" not in str(failure.error)


def test_what_nobody_knows_is_passed_over() -> None:
    lines = [
        event("response.created", response={"status": "in_progress", "output": [], "tools": [{"a": 1}]}),
        event("keepalive"),
        event("response.output_text.delta", delta=None),
        event("response.output_text.delta", delta={"a": 1}),
        event("response.mcp_call.delta", delta={"a": [1]}),
        event("response.output_text.done", text="the whole again"),
        b"{}",
    ]
    taken = answer()
    assert taken.take(lines) == []
    assert (taken.done, taken.failure) == (False, None)


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
names = st.sampled_from(
    ["type", "url", "title", "status", "error", "code", "usage", "incomplete_details", "reason"]
)
values = (
    scalars
    | st.lists(scalars, max_size=2)
    | st.dictionaries(names, scalars | st.dictionaries(names, scalars))
)
kinds = st.sampled_from(
    [
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.completed",
        "response.failed",
        "response.web_search_call.in_progress",
        "response.output_item.done",
        "error",
    ]
)
fields = st.sampled_from(["delta", "annotation", "item", "response", "error", "code", "summary_index"])


@given(st.lists(st.tuples(kinds, st.dictionaries(fields, values, max_size=3)), max_size=4))
def test_no_event_raises(events: list[tuple[str, dict[str, Any]]]) -> None:
    answer().take([event(kind, **said) for kind, said in events])


@given(st.binary())
def test_no_line_raises(line: bytes) -> None:
    answer().take([line])


@pytest.mark.parametrize("decode", [chunk.decode, response_event.decode])
@pytest.mark.parametrize("said", ["", '"delta":"\\ud83d",'])
def test_what_is_too_deep_is_no_line(decode: Any, said: str) -> None:
    with pytest.raises(ValueError):
        decode(f'{{{said}"x":{"[" * 100_000}{"]" * 100_000}}}'.encode())


# Over HTTP


def test_the_settings_choose_the_api(provider: OpenAIProvider, simulator: Simulator) -> None:
    assert isinstance(asked(provider, REQUEST)[-1], Finished)
    asked(provider, SEARCHING)
    usual = "/v1/responses" if provider._usual is provider._responses else "/v1/chat/completions"
    first, second = simulator.requests()
    assert [first["path"], second["path"]] == [usual, "/v1/responses"]
    assert first["connection"] == second["connection"]
    assert "tools" not in first["parameters"]


def test_a_web_search_ends_with_its_sources(provider: OpenAIProvider, simulator: Simulator) -> None:
    pieces = asked(provider, SEARCHING)
    progress = [piece.status for piece in pieces if isinstance(piece, Progress)]
    assert progress == ["in_progress", "completed"]
    sources = [piece for piece in pieces if isinstance(piece, Source)]
    assert [source.url for source in sources] == [
        "https://example.com/articles/ko/rain?utm_source=openai",
        "https://www.youtube.com/watch?v=simulated01",
        "https://example.com/images/rain.jpg",
    ]
    said = "".join(piece for piece in pieces if isinstance(piece, str))
    assert said.startswith("비가 오면 무엇을 할까? ([")
    assert all(f"[{source.title}]({source.url})" in said for source in sources)
    kinds = [type(piece) for piece in pieces]
    assert kinds[-4:] == [Source, Source, Source, Finished]
    assert simulator.requests()[0]["parameters"]["tools"] == [
        {"type": "web_search", "search_context_size": "high"}
    ]


def test_a_search_told_of_does_not_forbid_another_try(simulator: Simulator) -> None:
    config = Config(openai_base_url=simulator.url, openai_api_key="k", provider_retries=1)
    request = msgspec.structs.replace(SEARCHING, models=("sim-cut0-d0", "sim-echo-d0"))
    pieces = asked(OpenAIProvider(config), request)
    assert pieces[-1] == Finished("stop", "sim-echo-d0")
    assert [piece.stage for piece in pieces if isinstance(piece, Progress)].count("retry") == 2
    assert len(simulator.requests()) == 3
