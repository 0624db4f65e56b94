"""What every provider promises (sora.engine.generation.Provider), against the simulator and dead addresses."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from sora.aside import cooperative
from sora.config import Config
from sora.engine.generation import Call, CallCancelled, Finished, Generate, Image, Message, Piece, Provider
from sora.errors import ContentFilter, RunError, UpstreamError, UpstreamRateLimited, UpstreamTimeout
from sora.events import Progress, Reasoning, Usage
from sora.providers.background import Background
from sora.providers.chat_completions import ChatCompletions
from sora.providers.dify import Dify
from sora.providers.responses import Responses
from tests.support.process import free_port
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until


class AnyApp(dict[str, str]):
    """Each model is a Dify app; its key tells the simulator the script."""

    def get(self, model: str, default: object = None) -> str:  # type: ignore[override]
        return f"app-{model}"


def dify(config: Config) -> Dify:
    return Dify(replace(config, dify_base_url=config.openai_base_url), keys=AnyApp())


PROVIDERS: dict[str, Callable[[Config], Provider]] = {
    "chat_completions": ChatCompletions,
    "responses": Responses,
    "background": Background,
    "dify": dify,
}

PROMPT = "오늘은 비가 왔다 🌧️. The tram was late, and nobody minded."
SECRET = "sk-very-secret"
LATE = 1.0
"""Seconds that a deadline or a cancel may be late on a busy machine; what would be waited for without it takes longer."""


@pytest.fixture(params=PROVIDERS)
def make(request: pytest.FixtureRequest) -> Callable[..., Provider]:
    def provider(url: str, *, retries: int = 0) -> Provider:
        config = Config(openai_base_url=url, openai_api_key=SECRET, provider_retries=retries)
        return PROVIDERS[request.param](config)

    return provider


@pytest.fixture
def provider(make: Callable[..., Provider], simulator: Simulator) -> Provider:
    return make(simulator.url)


@pytest.fixture
def stubborn(make: Callable[..., Provider], simulator: Simulator) -> Provider:
    """Tries each model three times."""
    return make(simulator.url, retries=2)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A base URL where connecting takes for ever: nobody accepts, and the backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@dataclass
class Outcome:
    batches: list[list[Piece]] = field(default_factory=list)
    absorbed: int = 0  # batches of text taken where they arrived
    error: BaseException | None = None
    seconds: float = 0.0

    @property
    def pieces(self) -> list[Piece]:
        return [piece for batch in self.batches for piece in batch]

    @property
    def text(self) -> str:
        return "".join(piece for piece in self.pieces if isinstance(piece, str))

    def of(self, kind: type) -> list[Piece]:
        return [piece for piece in self.pieces if type(piece) is kind]


def ask(*models: str, prompt: str = PROMPT, locale: str = "ko") -> Generate:
    return Generate(
        messages=(Message("system", "You answer."), Message("user", prompt)),
        models=models,
        max_tokens=500,
        temperature=0.5,
        top_p=0.9,
        locale=locale,
    )


def patient() -> Call:
    return Call(connect=5, first_token=10, gap=10, total=30)


def run(
    provider: Provider, request: Generate, call: Call | None = None, outcome: Outcome | None = None
) -> Outcome:
    """What a call brings; from its first piece on it takes text wherever it is offered, but for every third time."""
    call, outcome, offers = call or patient(), outcome or Outcome(), itertools.count()

    def absorb(texts: list[str]) -> bool:
        if next(offers) % 3 == 2:
            return False
        outcome.batches.append(list(texts))
        outcome.absorbed += 1
        return True

    begun = time.monotonic()
    try:
        for batch in provider.stream(request, call):
            outcome.batches.append(list(batch))
            call.absorb = absorb
    except (RunError, CallCancelled) as error:
        outcome.error = error
    outcome.seconds = time.monotonic() - begun
    return outcome


def whole(outcome: Outcome, reason: str = "stop") -> bool:
    """Whether it ended well: Finished is the last piece, once."""
    reasons = [piece.finish_reason for piece in outcome.pieces if isinstance(piece, Finished)]
    return outcome.error is None and reasons == [reason] and isinstance(outcome.pieces[-1], Finished)


def outlives(provider: Provider, fault: str) -> bool:
    """Whether an answer goes on after this fault: it is one of the connection, and the answer does not depend on that."""
    return isinstance(provider, Background) and fault.startswith(("cut", "reset", "badjson"))


def connections(simulator: Simulator) -> int:
    return len({entry["connection"] for entry in simulator.requests()})


# The answer


@pytest.mark.parametrize(
    "option",
    ["d1", "d0", "crlf", "utf8", "comments", "null", "nodone", "nousage", "b7", "first50", "headers50"],
)
def test_the_text_is_whole(provider: Provider, option: str) -> None:
    outcome = run(provider, ask(f"sim-echo-d0-{option}"))
    assert outcome.text == PROMPT
    assert whole(outcome)
    assert outcome.of(Finished) == [Finished("stop", f"sim-echo-d0-{option}")]


def test_pieces_that_arrive_together_come_together(provider: Provider) -> None:
    outcome = run(provider, ask("sim-n60-d20-b20"))
    assert len(outcome.batches) < len(outcome.pieces) / 4
    assert len([piece for piece in outcome.pieces if isinstance(piece, str)]) == 60


def test_text_is_offered_where_it_arrives(provider: Provider) -> None:
    outcome = run(provider, ask("sim-n60-d5"))
    assert len([piece for piece in outcome.pieces if isinstance(piece, str)]) == 60
    assert whole(outcome)
    assert outcome.absorbed > 10 if cooperative() else outcome.absorbed == 0


def test_a_piece_does_not_wait_for_the_next(provider: Provider) -> None:
    arrivals = [
        time.monotonic()
        for batch in provider.stream(ask("sim-n8-d50"), patient())
        if any(isinstance(piece, str) for piece in batch)
    ]
    assert len(arrivals) == 8
    assert arrivals[-1] - arrivals[0] > 0.25


def test_usage_comes_before_the_end(provider: Provider) -> None:
    outcome = run(provider, ask("sim-n12-d0"))
    (usage,) = outcome.of(Usage)
    assert isinstance(usage, Usage)
    assert usage.output_tokens == 12
    assert usage.total_tokens == usage.input_tokens + 12
    assert [type(piece) for piece in outcome.pieces[-2:]] == [Usage, Finished]


@pytest.mark.parametrize(
    ("model", "reason"), [("sim-length", "length"), ("sim-empty", "stop"), ("sim-nofinish", "other")]
)
def test_finish_reasons(provider: Provider, model: str, reason: str) -> None:
    if isinstance(provider, Dify) and reason == "length":
        reason = "stop"  # it does not say
    assert whole(run(provider, ask(f"{model}-d0")), reason)


def test_a_content_filter_ends_the_answer_after_its_text(provider: Provider) -> None:
    outcome = run(provider, ask("sim-filter5-d0"))
    assert len([piece for piece in outcome.pieces if isinstance(piece, str)]) == 5
    assert isinstance(outcome.error, ContentFilter)
    assert not outcome.of(Finished)


def test_a_refusal_is_text(provider: Provider) -> None:
    outcome = run(provider, ask("sim-refusal-d0"))
    assert outcome.text
    assert whole(outcome)


def test_reasoning_is_not_text(provider: Provider) -> None:
    outcome = run(provider, ask("sim-reasoning-echo-d0"))
    assert outcome.text == PROMPT
    if isinstance(provider, Dify):
        assert not outcome.of(Reasoning), "what an app thinks may be its answer once more"
        return
    assert outcome.of(Reasoning)
    kinds = [type(piece) for piece in outcome.pieces]
    assert kinds.index(Reasoning) < kinds.index(str)


def test_text_comes_as_the_upstream_sent_it(provider: Provider) -> None:
    text = run(provider, ask("sim-surrogate-d0")).text
    assert "\x00" in text
    assert any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def test_a_million_characters(provider: Provider) -> None:
    outcome = run(provider, ask("sim-million"))
    assert len(outcome.text) == 1_000_000
    assert whole(outcome)


def test_the_request_says_what_was_asked_for(provider: Provider, simulator: Simulator) -> None:
    run(provider, ask("sim-n3-d0"))
    (seen,) = simulator.requests()
    if isinstance(provider, Dify):  # the prompt and the parameters are the app's own
        assert seen["messages"] == [{"role": "user", "content": PROMPT}]
        assert seen["parameters"] == {
            "inputs": {}, "response_mode": "streaming", "user": "sora", "auto_generate_name": False
        }  # fmt: skip
        return
    assert [(message["role"], message["content"]) for message in seen["messages"]] == [
        ("system", "You answer."),
        ("user", PROMPT),
    ]
    assert seen["parameters"]["temperature"] == 0.5
    assert seen["parameters"]["top_p"] == 0.9
    own: dict[type, dict[str, object]] = {
        ChatCompletions: {"max_tokens": 500, "stream_options": {"include_usage": True}},
        Responses: {"max_output_tokens": 500, "store": False},
        Background: {"max_output_tokens": 500, "store": True, "background": True},
    }
    assert seen["parameters"].items() >= own[type(provider)].items()


def test_pictures_go_along(provider: Provider, simulator: Simulator) -> None:
    if isinstance(provider, Dify):
        return  # nothing that has pictures is asked of it
    content = bytes(range(256)) * 4001  # more than is encoded, or sent, at once
    looked_at = Message("user", PROMPT, (Image("image/png", content), Image("image/jpeg", b"\xff")))
    request = msgspec.structs.replace(
        ask("sim-echo-d0"), messages=(looked_at, Message("assistant", "네."), Message("user", "둘 다?"))
    )
    assert run(provider, request).text == "둘 다?"
    (seen,) = simulator.requests()
    digests = [hashlib.sha256(each.content).hexdigest() for each in looked_at.images]
    assert seen["messages"][0]["content"] == [
        {"type": "text", "text": PROMPT},
        {"type": "image", "media_type": "image/png", "bytes": len(content), "sha256": digests[0]},
        {"type": "image", "media_type": "image/jpeg", "bytes": 1, "sha256": digests[1]},
    ]
    assert [each["content"] for each in seen["messages"][1:]] == ["네.", "둘 다?"]


# What goes wrong in mid-answer


@pytest.mark.parametrize("fault", ["cut5", "reset5", "badjson5", "error5", "failed5"])
def test_a_fault_in_mid_answer_keeps_what_came_before(
    stubborn: Provider, simulator: Simulator, fault: str
) -> None:
    outcome = run(stubborn, ask(f"sim-n9-d10-{fault}", "sim"))
    if outlives(stubborn, fault):
        assert len(outcome.of(str)) == 9 and whole(outcome)
        return
    assert len([piece for piece in outcome.pieces if isinstance(piece, str)]) == 5
    assert type(outcome.error) is UpstreamError
    assert not outcome.of(Progress)
    assert len(simulator.requests()) == 1


@pytest.mark.parametrize(
    ("model", "first_token", "gap", "total", "expected"),
    [
        ("sim-stall5-d10", 5.0, 0.5, 9.0, 0.55),
        ("sim-stall0", 0.5, 9.0, 9.0, 0.5),
        ("sim-headers9000", 0.5, 9.0, 9.0, 0.5),
        ("sim-first9000", 0.5, 9.0, 9.0, 0.5),
        ("sim-drip", 0.5, 0.2, 9.0, 0.5),
        ("sim-n5000-d10", 5.0, 5.0, 0.7, 0.7),
        ("sim-n5000-d10-comments", 5.0, 5.0, 0.7, 0.7),
    ],
)
def test_deadlines(
    stubborn: Provider, model: str, first_token: float, gap: float, total: float, expected: float
) -> None:
    call = Call(connect=5, first_token=first_token, gap=gap, total=total)
    outcome = run(stubborn, ask(model), call)
    assert isinstance(outcome.error, UpstreamTimeout)
    assert expected - 0.06 <= outcome.seconds <= expected + LATE


def test_the_connect_deadline(make: Callable[..., Provider], black_hole: str) -> None:
    outcome = run(make(black_hole), ask("sim"), Call(connect=0.5, first_token=9, gap=9, total=9))
    assert isinstance(outcome.error, UpstreamTimeout)
    assert 0.45 <= outcome.seconds <= 0.5 + LATE


def test_a_slow_reader_loses_nothing(provider: Provider) -> None:
    # Longer than the gap between two batches, while the upstream has long said all.
    call = Call(connect=5, first_token=5, gap=0.3, total=9)
    text = ""
    for count, batch in enumerate(provider.stream(ask("sim-echo-d5"), call)):
        if count == 0:
            wait_until(lambda: call.remaining() < 0, what="the gap's end")
        text += "".join(piece for piece in batch if isinstance(piece, str))
    assert text == PROMPT


# Tries


@pytest.mark.parametrize("fault", ["fail2x500", "fail2x503", "fail2x429", "fail2x408", "fail2x409"])
def test_a_passing_fault_is_retried_visibly(stubborn: Provider, simulator: Simulator, fault: str) -> None:
    outcome = run(stubborn, ask(f"sim-echo-d0-{fault}"))
    assert outcome.text == PROMPT
    assert whole(outcome)
    retry = Progress("provider", "retry", "in_progress", "다시 시도하는 중입니다.")
    assert outcome.pieces[:2] == [retry, retry]
    assert len(outcome.of(Progress)) == 2
    assert len(simulator.requests()) == 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("500", UpstreamError),
        ("429", UpstreamRateLimited),
        ("408", UpstreamTimeout),
        ("refuse", UpstreamError),
        ("cut0", UpstreamError),
        ("error0", UpstreamError),
        ("failed0", UpstreamError),
        ("badjson0", UpstreamError),
    ],
)
def test_a_lasting_fault_is_told_after_the_last_try(
    stubborn: Provider, simulator: Simulator, fault: str, kind: type
) -> None:
    outcome = run(stubborn, ask(f"sim-{fault}", locale="en"))
    if outlives(stubborn, fault):
        assert whole(outcome)
        return
    assert type(outcome.error) is kind
    assert outcome.pieces == [Progress("provider", "retry", "in_progress", "Trying again.")] * 2
    assert len(simulator.requests()) == 3


def test_a_refused_connection_is_retried(make: Callable[..., Provider]) -> None:
    outcome = run(make(f"http://127.0.0.1:{free_port()}/v1", retries=1), ask("sim"))
    assert type(outcome.error) is UpstreamError
    assert len(outcome.of(Progress)) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_retried(stubborn: Provider, simulator: Simulator, status: int) -> None:
    outcome = run(stubborn, ask(f"sim-{status}"))
    assert type(outcome.error) is UpstreamError
    assert outcome.pieces == []
    assert len(simulator.requests()) == 1


@pytest.mark.parametrize(("status", "tries"), [(400, 1), (404, 1), (500, 3), (429, 3)])
def test_the_next_model_is_tried(stubborn: Provider, simulator: Simulator, status: int, tries: int) -> None:
    outcome = run(stubborn, ask(f"sim-{status}", "sim-echo-d0"))
    assert outcome.text == PROMPT
    assert outcome.of(Finished) == [Finished("stop", "sim-echo-d0")]
    assert len(outcome.of(Progress)) == tries
    assert len(simulator.requests()) == tries + 1


def test_the_next_model_is_tried_after_a_silent_one(stubborn: Provider, simulator: Simulator) -> None:
    call = Call(connect=5, first_token=0.3, gap=5, total=9)
    outcome = run(stubborn, ask("sim-stall0", "sim-echo-d0"), call)
    assert outcome.text == PROMPT
    assert len(simulator.requests()) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_bad_key_is_bad_for_every_model(stubborn: Provider, simulator: Simulator, status: int) -> None:
    outcome = run(stubborn, ask(f"sim-{status}", "sim"))
    assert type(outcome.error) is UpstreamError
    assert len(simulator.requests()) == 1


def test_retry_after_is_honoured(stubborn: Provider) -> None:
    outcome = run(stubborn, ask("sim-echo-d0-fail1x429r1"))
    assert outcome.text == PROMPT
    assert 1.0 <= outcome.seconds <= 1.0 + LATE


def test_nobody_waits_for_a_try_that_cannot_be(stubborn: Provider) -> None:
    outcome = run(stubborn, ask("sim-429r60"), Call(connect=5, first_token=9, gap=9, total=2))
    assert isinstance(outcome.error, UpstreamRateLimited)
    assert outcome.seconds < LATE


# Stopping


def cancelled(provider: Provider, model: str, when: Callable[[Outcome], object]) -> tuple[Outcome, float]:
    """Runs in a thread, is cancelled here once `when` is true; the seconds are from the cancel to the end."""
    call, outcome = patient(), Outcome()
    thread = threading.Thread(target=run, args=(provider, ask(model), call, outcome))
    thread.start()
    try:
        wait_until(lambda: when(outcome) or outcome.error, what="the phase to cancel in")
    finally:
        begun = time.monotonic()
        call.cancel()
        thread.join(5)
    return outcome, time.monotonic() - begun


def test_cancel_while_connecting(make: Callable[..., Provider], black_hole: str) -> None:
    since = time.monotonic()
    outcome, seconds = cancelled(make(black_hole), "sim", lambda _: time.monotonic() - since > 0.2)
    assert isinstance(outcome.error, CallCancelled)
    assert seconds < LATE


@pytest.mark.parametrize("model", ["sim-headers9000", "sim-stall0", "sim-drip"])
def test_cancel_before_the_first_token(provider: Provider, simulator: Simulator, model: str) -> None:
    outcome, seconds = cancelled(provider, model, lambda _: simulator.requests())
    assert isinstance(outcome.error, CallCancelled)
    assert seconds < LATE
    if model != "sim-headers9000":
        wait_until(lambda: simulator.requests()[0]["cut_by_client"], what="the upstream to notice", timeout=3)


@pytest.mark.parametrize("model", ["sim-n5000-d20", "sim-stall3"])
def test_cancel_between_tokens(provider: Provider, simulator: Simulator, model: str) -> None:
    outcome, seconds = cancelled(provider, model, lambda outcome: outcome.text)
    assert isinstance(outcome.error, CallCancelled)
    assert seconds < LATE
    wait_until(lambda: simulator.requests()[0]["cut_by_client"], what="the upstream to notice", timeout=3)


def test_cancel_during_a_pause(stubborn: Provider) -> None:
    outcome, seconds = cancelled(stubborn, "sim-429r5", lambda outcome: outcome.of(Progress))
    assert isinstance(outcome.error, CallCancelled)
    assert seconds < LATE


def test_cancel_before_the_start(provider: Provider, simulator: Simulator) -> None:
    call = patient()
    call.cancel()
    assert isinstance(run(provider, ask("sim"), call).error, CallCancelled)
    assert simulator.requests() == []


def test_a_late_cancel_does_not_reach_the_next_call(provider: Provider, simulator: Simulator) -> None:
    first = patient()
    assert whole(run(provider, ask("sim-n3-d0"), first))
    answers = provider.stream(ask("sim-n20-d10"), patient())
    next(answers)
    first.cancel()
    assert isinstance([piece for batch in answers for piece in batch][-1], Finished)
    assert connections(simulator) == 1


def test_closing_the_iterator_closes_the_upstream(provider: Provider, simulator: Simulator) -> None:
    answers = provider.stream(ask("sim-n5000-d20"), patient())
    next(answers)
    begun = time.monotonic()
    answers.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begun < LATE
    wait_until(lambda: simulator.requests()[0]["cut_by_client"], what="the upstream to notice", timeout=3)
    assert whole(run(provider, ask("sim-n3-d0")))


# Connections


def test_connections_are_reused(provider: Provider, simulator: Simulator) -> None:
    for model in (
        "sim-n5-d0",
        "sim-echo-d0-crlf",
        "sim-filter2-d0",
        "sim-nodone-d0",
        "sim-500",
        "sim-404",
        "sim",
    ):
        run(provider, ask(model))
    assert len(simulator.requests()) == 7
    assert connections(simulator) == 1


def test_a_broken_connection_is_not_reused(provider: Provider, simulator: Simulator) -> None:
    run(provider, ask("sim-n5-d0"))
    run(provider, ask("sim-cut3-d0"))
    assert whole(run(provider, ask("sim-n5-d0")))
    assert connections(simulator) == 2


def test_many_calls_at_once(provider: Provider, simulator: Simulator) -> None:
    outcomes: list[Outcome] = []
    for _ in range(2):
        threads = [
            threading.Thread(target=lambda: outcomes.append(run(provider, ask("sim-echo-d5"))))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert [outcome.text for outcome in outcomes] == [PROMPT] * 40
    assert connections(simulator) <= 20


# What it must not tell


def test_nothing_of_the_upstream_is_told(
    stubborn: Provider, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="sora")
    told = ""
    for model in (
        "sim-401",
        "sim-404",
        "sim-429",
        "sim-error2-d0",
        "sim-badjson2-d0",
        "sim-cut2-d0",
        "sim-refuse",
    ):
        error = run(stubborn, ask(model)).error
        if outlives(stubborn, model.removeprefix("sim-")):
            continue
        assert error is not None
        told += "".join(traceback.format_exception(error))
    told += caplog.text
    frames = [line for line in told.splitlines() if not line.lstrip().startswith("File ")]
    for secret in (SECRET, "app-sim", "127.0.0.1", str(simulator.port), "tram", "simulated", "시뮬레이션"):
        assert not [line for line in frames if secret in line]
