"""Answers that are made in the background: over several connections, by several callers, by polling."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.config import Config
from sora.engine.generation import Call, CallCancelled, Finished, Generate, Message, Piece, Upstream
from sora.errors import Interrupted, RunError, UpstreamError, UpstreamTimeout
from sora.events import Progress, Reasoning, Source, Usage
from sora.providers.background import Background, BackgroundAnswer
from sora.providers.background_response import Whole, beyond, decode_whole
from sora.providers.openai_provider import OpenAIProvider
from tests.support.client import request
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

KEY = {"Authorization": "Bearer any"}


@dataclass
class Told:
    """What came of a call."""

    pieces: list[Piece] = field(default_factory=list)
    noted: list[Upstream] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def text(self) -> str:
        return "".join(piece for piece in self.pieces if isinstance(piece, str))

    @property
    def others(self) -> list[Piece]:
        return [piece for piece in self.pieces if not isinstance(piece, str)]


def ask(*models: str, search: bool = False) -> Generate:
    return Generate(
        messages=(Message("user", "비가 오면 무엇을 할까?"),),
        models=models,
        max_tokens=500,
        temperature=0.5,
        top_p=0.9,
        web_search=search,
    )


def provider(url: str, **settings: Any) -> Background:
    return Background(
        Config(**{"openai_base_url": url, "openai_api_key": "k", "provider_retries": 1} | settings)
    )


def run(
    background: Background,
    asked: Generate,
    *,
    known: Upstream | None = None,
    begun: bool = False,
    stop: Callable[[Told], bool] = lambda told: False,
    **deadlines: float,
) -> Told:
    """Reads the answer, until `stop`: then it is left as a worker leaves it that dies."""
    told = Told()
    seconds = {"connect": 5.0, "first_token": 5.0, "gap": 5.0, "total": 10.0} | deadlines
    call = Call(**seconds, note=told.noted.append, known=known)
    call.begun = begun
    pieces = background.stream(asked, call)
    try:
        for batch in pieces:
            told.pieces += batch
            if stop(told):
                break
    except RunError as error:
        told.error = error
    finally:
        pieces.close()  # type: ignore[attr-defined]
    return told


@pytest.fixture
def background(simulator: Simulator) -> Background:
    return provider(simulator.url)


def asked_again(simulator: Simulator) -> list[dict[str, str]]:
    return [entry["parameters"] for entry in simulator.requests() if entry["path"].count("/") == 3]


@pytest.mark.parametrize("options", ["", "-reasoning", "-utf8-crlf", "-comments-null", "-b7", "-surrogate"])
@pytest.mark.parametrize("restream", [True, False])
def test_another_goes_on_with_an_answer(background: Background, options: str, restream: bool) -> None:
    model = f"sim-n40-d5{options}" + ("" if restream else "-nostream")
    usual = run(background, ask(model, search=True))
    begun = run(background, ask(model, search=True), stop=lambda told: len(told.text) > 20)
    (known,) = begun.noted

    rest = run(background, ask("sim-other", model, search=True), known=known, begun=True)

    assert known.model == model and known.id.startswith("resp_")
    assert rest.error is None and not rest.noted
    joined = rest.text.encode("utf-16", "surrogatepass"), usual.text.encode("utf-16", "surrogatepass")
    assert joined[0] == joined[1]
    assert rest.pieces[-1] == Finished("stop", model)
    kinds: tuple[type, ...] = (Source, Usage, Finished)
    assert [p for p in rest.others if isinstance(p, kinds)] == [
        p for p in usual.others if isinstance(p, kinds)
    ]
    thoughts = ["".join(p.text for p in told.others if isinstance(p, Reasoning)) for told in (rest, usual)]
    assert thoughts[0] == thoughts[1]
    if restream:
        assert rest.pieces == usual.pieces


@pytest.mark.parametrize("fault", ["cut5", "reset5", "badjson5", "cut0", "cut5-nostream", "reset5-utf8"])
def test_a_broken_connection_costs_nothing(background: Background, simulator: Simulator, fault: str) -> None:
    usual = run(background, ask("sim-n30-d5"))
    told = run(background, ask(f"sim-n30-d5-{fault}"))

    assert told.error is None and told.text == usual.text
    assert len(told.noted) == 1 and not [p for p in told.others if isinstance(p, Progress)]
    again = asked_again(simulator)
    assert again[0]["stream"] == "true" and int(again[0]["starting_after"]) >= 1
    if "nostream" not in fault:
        assert len(again) == 1


def test_an_answer_that_is_forgotten_is_interrupted(background: Background, simulator: Simulator) -> None:
    for model in ("sim-n40-d5", "sim-n40-d5-nostream"):
        (known,) = run(background, ask(model), stop=lambda told: bool(told.text)).noted
        assert request(simulator.url, f"/v1/responses/{known.id}", method="DELETE", headers=KEY).status == 200
        told = run(background, ask(model), known=known, begun=True)
        assert isinstance(told.error, Interrupted) and not told.pieces


@pytest.mark.parametrize("restream", ["", "-nostream"])
def test_an_answer_that_has_failed_meanwhile(
    background: Background, simulator: Simulator, restream: str
) -> None:
    model = f"sim-n40-d5-failed9{restream}"
    (known,) = run(background, ask(model), stop=lambda told: bool(told.text)).noted
    told = run(background, ask(model, "sim"), known=known, begun=True)
    assert isinstance(told.error, UpstreamError) and not told.noted

    # With nothing said of it another is asked for, as before.
    (known,) = run(background, ask(f"sim-d5-failed0{restream}"), stop=lambda told: True).noted
    told = run(background, ask(f"sim-d5-failed0{restream}", "sim-n3-d0"), known=known)
    assert told.error is None and told.pieces[-1] == Finished("stop", "sim-n3-d0")
    assert [noted.model for noted in told.noted] == [f"sim-d5-failed0{restream}", "sim-n3-d0"]
    assert not any(entry["stopped"] for entry in simulator.requests())


def test_a_cancelled_answer_is_a_failed_one(background: Background, simulator: Simulator) -> None:
    (known,) = run(background, ask("sim-n40-d5-stall3"), stop=lambda told: bool(told.text)).noted
    background.abandon(known)
    wait_until(lambda: simulator.requests()[0]["stopped"], what="the cancel")
    told = run(background, ask("sim-n40-d5-stall3"), known=known, begun=True)
    assert isinstance(told.error, UpstreamError)


@pytest.mark.parametrize(
    ("deadlines", "script"),
    [
        ({"gap": 0.3}, "stall3"),
        ({"total": 0.5}, "d10"),
        ({"first_token": 0.3}, "stall0"),
        ({"total": 0.5}, "d50-nostream"),
    ],
)
def test_deadlines_hold_for_another_and_stop_it_upstream(
    background: Background, simulator: Simulator, deadlines: dict[str, float], script: str
) -> None:
    model = f"sim-n400-{script}"
    (known,) = run(background, ask(model), total=5.0, stop=lambda told: True).noted or [None]
    told = run(background, ask(model), known=known, **deadlines)
    assert isinstance(told.error, UpstreamTimeout)
    wait_until(lambda: simulator.requests()[0]["stopped"], what="the cancel")


def test_who_leaves_does_not_stop_it_and_a_cancel_ends_every_wait(simulator: Simulator) -> None:
    background = provider(simulator.url)
    for model in ("sim-n9-d5-stall3", "sim-n9-d5-stall3-nostream"):
        (known,) = run(background, ask(model), stop=lambda told: bool(told.text)).noted
        call = Call(connect=5, first_token=30, gap=30, total=60, note=lambda _: None, known=known)
        threading.Timer(0.3, call.cancel).start()
        with pytest.raises(CallCancelled):
            for _ in background.stream(ask(model), call):
                pass
    assert not any(entry["stopped"] for entry in simulator.requests())


def test_it_is_in_the_background_only_if_somebody_could_go_on(simulator: Simulator) -> None:
    def made(config: dict[str, Any], *, search: bool, note: bool) -> object:
        simulator.clear()
        openai = OpenAIProvider(Config(openai_base_url=simulator.url, openai_api_key="k", **config))
        call = Call(connect=5, first_token=5, gap=5, total=9, note=(lambda _: None) if note else None)
        assert list(openai.stream(ask("sim-n3-d0", search=search), call))
        return simulator.requests()[0]["parameters"].get("background")

    always = {"openai_api": "responses", "background": True}
    assert made(always, search=False, note=True) is True
    assert made(always, search=False, note=False) is None
    assert made({"background": True}, search=True, note=True) is True
    assert made({"background": True}, search=False, note=True) is None
    assert made({"openai_api": "responses"}, search=False, note=True) is None


def event(kind: str, number: int | None = None, **fields: Any) -> bytes:
    numbered = {} if number is None else {"sequence_number": number}
    return json.dumps({"type": kind, **numbered, **fields}).encode()


def delta(text: str, number: int | None = None) -> bytes:
    return event("response.output_text.delta", number, delta=text)


def whole(text: str, status: str = "completed", **fields: Any) -> Whole:
    part = {"type": "output_text", "text": text, "annotations": []}
    output = [{"type": "reasoning", "summary": [{"text": "a"}, {"text": "b"}]}]
    output.append({"type": "message", "content": [part]})
    return decode_whole(json.dumps({"id": "resp_1", "status": status, "output": output} | fields).encode())


def test_no_event_is_taken_twice() -> None:
    answer = BackgroundAnswer("ko")
    names: list[str] = []
    answer.named = names.append
    created = event("response.created", 0, response={"id": "resp_1", "status": "queued"})
    first = [created, event("response.queued", 1), delta("a", 2), delta("b", 3)]
    assert answer.take(first) == ["a", "b"] and answer.number == 3
    assert answer.take([delta("b", 3), delta("c", 4)]) == ["c"]
    assert answer.take(first) == [] and names == ["resp_1"] == [answer.id]


def test_an_id_that_is_no_part_of_a_path_is_none() -> None:
    answer = BackgroundAnswer("ko")
    answer.take([event("response.created", 0, response={"id": "../files/1"})])
    assert answer.id == ""


def test_what_is_whole_is_told_once() -> None:
    answer = BackgroundAnswer("ko")
    answer.take([delta("비가 "), event("response.reasoning_summary_text.delta", delta="a")])
    assert answer.take_whole(whole("비가 온다")) == [Reasoning("\n\nb"), "온다"]
    assert (answer.finish_reason, answer.done) == ("stop", True)


@pytest.mark.parametrize("text", ["비", "눈이 온다", ""])
def test_another_text_is_no_rest(text: str) -> None:
    answer = BackgroundAnswer("ko")
    answer.take([delta("비가 ")])
    with pytest.raises(Interrupted):
        answer.take_whole(whole(text))


def test_a_failure_keeps_what_was_said() -> None:
    answer = BackgroundAnswer("ko")
    answer.take([delta("비가 ")])
    assert answer.take_whole(whole("", "failed", error={"code": "server_error"})) != ["온다"]
    assert answer.failure is not None and answer.over


@given(st.text(st.characters()), st.integers(0, 200))
def test_beyond_what_was_said_is_the_rest(text: str, place: int) -> None:
    units = text.encode("utf-16-le", "surrogatepass")
    cut = min(place * 2, len(units))
    said = units[:cut].decode("utf-16-le", "surrogatepass")
    rest = beyond(said, text)
    assert rest is not None
    assert rest.encode("utf-16-le", "surrogatepass") == units[cut:]
    assert beyond(text + "x", text) is None


@given(st.binary(max_size=60) | st.from_regex(rb'\{"status": ?"[a-z]*", "output": \[.{0,40}\]\}'))
def test_what_is_no_response_is_an_error(content: bytes) -> None:
    try:
        response = decode_whole(content)
    except ValueError:
        return
    assert isinstance(response, msgspec.Struct) and isinstance(response.text, str)
