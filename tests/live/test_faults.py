"""Whatever the model API does, a run ends as WIRE.md's table says, in every format, and keeps what it had."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from sora.errors import message
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.sse import Parser
from tests.support.user import DIARY, User

PATHS = {
    "native": "/stream/review?format=native",
    "review": "/stream/review",
    "text": "/test/api/request/review",
}
RETRYABLE = {"upstream_error", "upstream_timeout", "upstream_rate_limited"}
DEADLINE = {"SORA_PROVIDER_RETRIES": "0"}

NOBODY = {"SORA_OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}


@dataclass(frozen=True)
class Fault:
    """What the model does, and how that must look. `tokens` is None where their number is of no interest."""

    model: str
    code: str = ""  # of the error; empty: the run completes
    tokens: int | None = 0
    retries: int = 0  # that a native reader sees
    asked: int = 1  # requests to the model
    finish: str = "stop"
    within: float = 10.0  # seconds
    answered_by: str = ""  # the model, where it is not the first one
    env: dict[str, str] = field(default_factory=dict)


def deadline(name: str) -> dict[str, str]:
    return {**DEADLINE, f"SORA_{name}_TIMEOUT": "0.5"}


FAULTS = (
    # The upstream is odd, and the answer is whole.
    Fault("sim-n12-d0-crlf-comments-null-utf8-nodone", tokens=12),
    Fault("sim-n12-d0-b5-nousage-length", tokens=12, finish="length"),
    Fault("sim-n12-d0-surrogate", tokens=None),
    Fault("sim-d0-reasoning-refusal", tokens=None),
    Fault("sim-n12-d0-nofinish", tokens=12, finish="other"),
    Fault("sim-empty"),
    Fault("sim-million", tokens=4000),
    Fault("sim-n12-d0-first300-headers300", tokens=12),
    # It fails before the first token: tried again, for all to see, and then on another model.
    Fault("sim-n12-d0-fail2x500", tokens=12, retries=2, asked=3),
    Fault("sim-429r1", "upstream_rate_limited", finish="error", retries=1, asked=2, env={"SORA_PROVIDER_RETRIES": "1"}),
    Fault("sim", "upstream_error", finish="error", retries=2, asked=0, env=NOBODY),
    Fault("sim-500", "upstream_error", finish="error", retries=2, asked=3),
    Fault("sim-refuse", "upstream_error", finish="error", retries=1, asked=2, env={"SORA_PROVIDER_RETRIES": "1"}),
    Fault("sim-cut0", "upstream_error", finish="error", retries=1, asked=2, env={"SORA_PROVIDER_RETRIES": "1"}),
    Fault("sim-401", "upstream_error", finish="error"),
    Fault("sim-filter0", "content_filter", finish="content_filter"),
    Fault(
        "sim-503", tokens=12, retries=5, asked=6, answered_by="sim-n12-d0",
        env={"SORA_PROVIDER_RETRIES": "1", "SORA_FALLBACK_MODELS": "sim-unknown,sim-cut0,sim-n12-d0"},
    ),
    # It fails after the first token: what came is kept, nothing is tried again.
    Fault("sim-d0-cut3", "upstream_error", finish="error", tokens=3),
    Fault("sim-d0-reset3", "upstream_error", finish="error", tokens=3),
    Fault("sim-d0-error3", "upstream_error", finish="error", tokens=3, env={"SORA_FALLBACK_MODELS": "sim-n12-d0"}),
    Fault("sim-n12-d0-badjson3", "upstream_error", finish="error", tokens=3),
    Fault("sim-d0-filter3", "content_filter", tokens=3, finish="content_filter"),
    # It takes too long.
    Fault("sim-n12-first60000", "upstream_timeout", finish="error", within=3, env=deadline("FIRST_TOKEN")),
    Fault("sim-d1-drip", "upstream_timeout", finish="error", within=3, env=deadline("FIRST_TOKEN")),
    Fault("sim-d0-stall3", "upstream_timeout", finish="error", tokens=3, within=3, env=deadline("GAP")),
    Fault("sim-n999-d20", "upstream_timeout", finish="error", tokens=None, within=3, env=deadline("TOTAL")),
)  # fmt: skip


@pytest.fixture(scope="module")
def machine(_simulator: Simulator, module_url: str) -> Iterator[Server]:
    """One server, started anew with another model for each test."""
    with Server(module_url, _simulator.url, env={"SORA_MODEL": "sim"}) as server:
        yield server


@contextmanager
def facing(machine: Server, **settings: str) -> Iterator[None]:
    """The server with other settings."""
    usual = dict(machine.env)
    machine.kill()
    machine.env.update(settings)
    try:
        machine.start()
        yield
    finally:
        machine.env.clear()
        machine.env.update(usual)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.model)
def test_every_fault_ends_as_promised(machine: Server, simulator: Simulator, fault: Fault) -> None:
    with facing(machine, SORA_MODEL=fault.model, **fault.env), ThreadPoolExecutor(3) as pool:
        checks = [pool.submit(check, machine, fault, format) for format in PATHS]
        for each in checks:
            each.result()
        assert len(simulator.requests()) == 3 * fault.asked


def check(machine: Server, fault: Fault, format: str) -> None:
    """A run of its own, read in this format while it goes on, and in every format when it has ended."""
    locale = "en" if format == "review" else "ko"
    user = User(machine.url, f"{format} {fault.model}")
    started = time.monotonic()
    with user.open(
        PATHS[format],
        payload={**DIARY, "body": f"{DIARY['body']} {format}"},
        headers={"Accept-Language": locale},
        timeout=15,
    ) as stream:
        while stream.read():
            pass
        assert time.monotonic() - started < fault.within
        assert stream.ended == "clean"
        live = stream.raw
        run = user.ended(stream.headers["X-Sora-Run-Id"])
    assert run["status"] == ("failed" if fault.code else "completed")
    assert run["finish_reason"] == fault.finish
    assert run["model"] == (None if fault.code else fault.answered_by or fault.model)
    assert [review["feedback"] for review in user.reviews()] == ([] if fault.code else [run["text"]])

    shown = {name: user.request(f"/api/runs/{run['id']}/events?format={name}").body for name in PATHS}
    assert frames_of(live, format) == frames_of(shown[format], format), "live and later it is the same"
    native, review, text = (frames_of(body, name) for name, body in shown.items())

    if fault.code:
        words = message(fault.code, locale)
        problem = {"code": fault.code, "message": words, "retryable": fault.code in RETRYABLE}
        said = user.request(f"/api/runs/{run['id']}", headers={"Accept-Language": locale}).json()
        assert said["error"] == problem
        for frames in (native, review, text):
            event, data = frames.pop()
            assert (event, json.loads(data)) == ("error", problem)
    else:
        assert run["error"] is None
        event, data = native.pop()
        assert (event, json.loads(data)) == ("done", {"finish_reason": fault.finish})

    assert native[0] == ("started", '{"kind":"review"}')
    assert {event for event, _ in native[1:]} <= {"progress", "reasoning", "delta", "usage"}
    deltas = [json.loads(data) for event, data in native if event == "delta"]
    assert "".join(delta["text"] for delta in deltas) == run["text"]
    assert [delta["index"] for delta in deltas] == list(range(len(deltas)))
    assert len(deltas) == fault.tokens if fault.tokens is not None else run["text"]
    assert any(event == "reasoning" for event, _ in native) == ("reasoning" in fault.model)
    said = [json.loads(data)["message"] for event, data in native if event == "progress"]
    assert said == [message("retrying", locale)] * fault.retries

    assert {event for event, _ in (*review, *text)} <= {"message"}
    assert [json.loads(data) for _, data in review] == [
        {"seq": delta["index"], "value": delta["text"]} for delta in deltas
    ]
    assert [data for _, data in text] == [delta["text"] for delta in deltas]


ENDS = {"cancelled": ("cancelled", False, "cancelled"), "interrupted": ("error", True, "interrupted")}


@pytest.mark.parametrize("status", ENDS)
def test_what_stops_a_run_is_said_in_every_format(machine: Server, status: str) -> None:
    """Cancelled by its user, or interrupted because its process has to go before it is done."""
    event, retryable, code = ENDS[status]
    with facing(machine, SORA_MODEL="sim-n9999-d20", SORA_GRACEFUL_TIMEOUT="4"), ExitStack() as stack:
        users = {name: User(machine.url, f"{status} {name}") for name in PATHS}
        streams = {
            name: stack.enter_context(user.open(PATHS[name], payload=DIARY)) for name, user in users.items()
        }
        for stream in streams.values():
            stream.take(3)
        runs = {name: stream.headers["X-Sora-Run-Id"] for name, stream in streams.items()}
        if status == "cancelled":
            for name, user in users.items():
                assert user.request(f"/api/runs/{runs[name]}/cancel", method="POST").status == 200
        else:
            assert machine.stop() == 0
        for stream in streams.values():
            stream.rest()
            assert stream.ended == "clean"
        if status == "interrupted":
            machine.start()
        for name, user in users.items():
            run = user.run(runs[name])
            assert run["status"] == status and user.reviews() == []
            *shown, (last, data) = frames_of(streams[name].raw, name)
            problem = {"code": code, "message": message(code, "ko"), "retryable": retryable}
            if name == "native":
                assert (last, json.loads(data)) == (event, problem if event == "error" else {})
                shown = [frame for frame in shown if frame[0] == "delta"]
            else:
                assert (last, json.loads(data)) == ("error", problem)
            key = {"native": "text", "review": "value"}
            texts = [json.loads(data)[key[name]] if name in key else data for _, data in shown]
            assert "".join(texts) == run["text"]
            assert len(shown) >= 2
            again = user.request(f"/api/runs/{runs[name]}/events?format={name}").body
            assert frames_of(again, name) == frames_of(streams[name].raw, name)


def frames_of(body: bytes, format: str) -> list[tuple[str, str]]:
    """Event and data of each frame. The older review has no space after the colon: a text may begin with one."""
    text = body.decode()
    if format == "text":
        text = text.replace("\ndata:", "\ndata: ").replace("event: error\ndata:  ", "event: error\ndata: ")
    return [(frame.event, frame.data) for frame in Parser().feed(text.encode())]
