"""The loads: what is asked of a running relay, and the figures that come of it, by name."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench.measure import Client, cpu_seconds, resident_bytes
from bench.relays import FASTAPI, TUTORIAL, Running, Turn

Figures = dict[str, float]
Load = Callable[[Path, Running], Figures]  # given the load client's program and a relay

_SLOW = (TUTORIAL, FASTAPI)  # a fifth of the streams says as much of them, in a tenth of the time


def saturated(program: Path, relay: Running, *, words: bool = False, streams: int = 320) -> Figures:
    """32 streams at a time of 1000 tokens each, as fast as they go: what a token costs when there is a backlog."""
    total = 64 if relay.name in _SLOW else streams
    return _burst(program, relay, at_once=32, total=total, tokens=1000, words=words)


def _burst(
    program: Path, relay: Running, *, at_once: int, total: int, tokens: int, words: bool = False
) -> Figures:
    _warm_up(program, relay)
    before = cpu_seconds(relay.pid)
    request = relay.request(f"sim-n{tokens}-d0{'-w' if words else ''}")
    client = Client(
        program, relay.port, request=request, at_once=at_once, total=total, last=tokens, words=words
    )
    seen = client.result()
    cpu = _settled(relay) - before
    return {
        "cpu_us": 1e6 * cpu / max(seen.tokens, 1),
        "per_second": seen.tokens / seen.seconds,
        "whole": seen.whole / seen.total,
    }


def paced(
    program: Path,
    relay: Running,
    *,
    streams: int,
    ramp: float,
    window: tuple[float, float],
    words: bool = False,
) -> Figures:
    """Streams of 20 tokens a second, which is a model's pace, all open throughout the window."""
    _warm_up(program, relay)
    gap = 0.05
    tokens = int((window[1] + 1.0) / gap)
    client = Client(
        program, relay.port, request=relay.request(f"sim-n{tokens}-d50{'-w' if words else ''}"),
        at_once=streams, total=streams, last=tokens, words=words,
        ramp=ramp, window=window, timeout=2 * tokens * gap + 20,
    )  # fmt: skip
    whole_before = cpu_seconds(relay.pid)
    client.sleep_until(window[0])
    before = cpu_seconds(relay.pid)
    client.sleep_until(window[1])
    cpu = cpu_seconds(relay.pid) - before
    seen = client.result()
    whole_cpu = _settled(relay) - whole_before
    length = window[1] - window[0]
    return {
        "cpu_us": 1e6 * cpu / max(seen.in_window, 1),
        "core": cpu / length,
        "received": seen.in_window / (streams / gap * length),
        "added_p50_ms": seen.added.p50 / 1e3,
        "added_p99_ms": seen.added.p99 / 1e3,
        "ttft_p50_ms": seen.to_first.p50 / 1e3,
        "ttft_p99_ms": seen.to_first.p99 / 1e3,
        "run_cpu_us": 1e6 * whole_cpu / max(seen.tokens, 1),
        "whole": seen.whole / seen.total,
    }


def held_open(program: Path, relay: Running, *, streams: int, ramp: float) -> Figures:
    """Many slow streams (a token every 2 s), and somebody who asks something short beside them."""
    idle = first_token(program, relay)
    before = resident_bytes(relay.pid)
    hold = ramp + 15.0  # enough for what is asked beside them
    tokens = int(hold / 2.0)
    client = Client(
        program, relay.port, request=relay.request(f"sim-n{tokens}-d2000"),
        at_once=streams, total=streams, last=tokens, ramp=ramp, timeout=3 * hold,
    )  # fmt: skip
    client.sleep_until(ramp + 5.0)
    held = resident_bytes(relay.pid)
    beside = first_token(program, relay)
    seen = client.result()
    return {
        "kib": (held - before) / streams / 1024,
        "open": seen.peak / streams,
        "whole": seen.whole / seen.total,
        "idle_ttft_p99_ms": idle["ttft_p99_ms"],
        "beside_ttft_p50_ms": beside["ttft_p50_ms"],
        "beside_ttft_p99_ms": beside["ttft_p99_ms"],
        "beside_whole": beside["whole"],
    }


def beside_agents(program: Path, relay: Running, *, agents: int, ramp: float) -> Figures:
    """200 streams at a model's pace, alone and then while `agents` runs of the agent begin in `ramp` seconds."""
    window, tokens = (3.0, 13.0), 280

    def streams() -> Client:
        _warm_up(program, relay)
        client = Client(
            program, relay.port, request=relay.request(f"sim-n{tokens}-d50"),
            at_once=200, total=200, last=tokens, ramp=2.0, window=window, timeout=60,
        )  # fmt: skip
        client.sleep_until(window[0])
        return client

    request = relay.agent("sim-n40-d50")
    Client(program, relay.port, request=request, at_once=1, total=2, last=40, timeout=60).result()
    alone = streams().result()
    beside = streams()
    before = resident_bytes(relay.pid)
    crowd = Client(
        program, relay.port, request=request, at_once=agents, total=agents, last=40, ramp=ramp, timeout=120
    )
    harmed, answered = beside.result(), crowd.result()
    return {
        "alone_p50_ms": alone.added.p50 / 1e3,
        "alone_p99_ms": alone.added.p99 / 1e3,
        "beside_p50_ms": harmed.added.p50 / 1e3,
        "beside_p99_ms": harmed.added.p99 / 1e3,
        "kib": (resident_bytes(relay.pid) - before) / agents / 1024,
        "whole": min(harmed.whole / harmed.total, answered.whole / answered.total),
    }


def first_token(program: Path, relay: Running, *, history: Sequence[Turn] = ()) -> Figures:
    """200 short answers, one after the other."""
    _warm_up(program, relay)
    before = cpu_seconds(relay.pid)
    request = relay.request("sim-n5-d1", history)
    client = Client(program, relay.port, request=request, at_once=1, total=200, last=5, timeout=60)
    seen = client.result()
    return {
        "ttft_p50_ms": seen.to_first.p50 / 1e3,
        "ttft_p99_ms": seen.to_first.p99 / 1e3,
        "request_ms": 1e3 * (_settled(relay) - before) / seen.total,
        "whole": seen.whole / seen.total,
    }


def resumed(program: Path, relay: Running) -> Figures:
    """A 10,000-token answer, read again from its middle: while its run is open, and after its end."""
    tokens = 10_000
    pace = paced(program, relay, streams=200, ramp=1.5, window=(2.0, 6.0))["cpu_us"]
    before = cpu_seconds(relay.pid)
    for _ in range(10):
        with _reading(relay, f"sim-n{tokens}-d0") as (run_id, answer):
            answer.read()
    relayed = (_settled(relay) - before) / 10
    finished, finished_whole = _resumes(program, relay, run_id, tokens)
    with _reading(relay, f"sim-n{tokens}-d0-h60000") as (run_id, answer):
        while f"[k:{tokens - 1}:".encode() not in answer.readline():
            pass
        running, running_whole = _resumes(program, relay, run_id, tokens)
    return {
        "relayed_burst_ms": 1e3 * relayed,
        "relayed_paced_ms": 1e-3 * pace * tokens,
        "finished_ms": 1e3 * finished,
        "running_ms": 1e3 * running,
        "whole": min(finished_whole, running_whole),
    }


def _resumes(program: Path, relay: Running, run_id: str, tokens: int) -> tuple[float, float]:
    """Processor time of one resume from the middle, and the share of them that was whole."""
    total, middle = 100, tokens // 2
    before = _settled(relay)
    # Event 1 is `started`, so that delta number n is event n + 2.
    request = relay.resume(run_id, middle + 1)
    seen = Client(
        program, relay.port, request=request, at_once=1, total=total, first=middle, last=tokens, enough=True
    ).result()
    return (_settled(relay) - before) / total, seen.whole / seen.total


def long_answers(program: Path, relay: Running) -> Figures:
    """The same number of tokens in answers of 1,000 and of 100,000; what a request costs by itself is taken off both."""
    requests = _burst(program, relay, at_once=4, total=400, tokens=1)
    short = _burst(program, relay, at_once=4, total=800, tokens=1_000)
    long = _burst(program, relay, at_once=4, total=8, tokens=100_000)
    return {
        "short_us": short["cpu_us"],
        "long_us": long["cpu_us"],
        "short_token_us": short["cpu_us"] - requests["cpu_us"] / 1_000,
        "long_token_us": long["cpu_us"] - requests["cpu_us"] / 100_000,
        "whole": min(short["whole"], long["whole"]),
    }


@contextmanager
def _reading(relay: Running, script: str) -> Iterator[tuple[str, IO[bytes]]]:
    """A run just started: its id, and the stream of its answer."""
    head, _, body = relay.request(script).partition(b"\r\n\r\n")
    lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
    request = urllib.request.Request(f"http://127.0.0.1:{relay.port}{relay.path}", body, dict(lines))
    with urllib.request.urlopen(request, timeout=60) as answer:
        yield answer.headers["X-Sora-Run-Id"], answer


def _warm_up(program: Path, relay: Running) -> None:
    Client(program, relay.port, request=relay.request("sim-n20-d0"), at_once=4, total=20, last=20).result()
    _settled(relay)


def _settled(relay: Running) -> float:
    """The relay's processor time once what the clients did not wait for is done: saving, closing, tidying."""
    spent = cpu_seconds(relay.pid)
    for _ in range(20):
        time.sleep(0.3)
        now = cpu_seconds(relay.pid)
        if now - spent < 0.03:
            return now
        spent = now
    return spent
