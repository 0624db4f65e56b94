"""The scenarios: which relays bear which load, and what stands in the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bench.loads import Load, beside_agents, first_token, held_open, long_answers, paced, resumed, saturated
from bench.relays import BARE, FASTAPI, NGINX, READING, SORA, TUTORIAL

FINISHED_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a scenario's table: a relay under a load. `finished_runs`: in Sora's database beforehand."""

    label: str
    relay: str
    load: Load
    scheme: str = "http"
    finished_runs: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Cases measured right after one another, in every round. `columns`: figure, heading."""

    name: str
    title: str
    cases: Sequence[Case]
    columns: Sequence[tuple[str, str]]
    quick: bool = False


_CPU = ("cpu_us", "CPU µs/token")
_WHOLE = ("whole", "whole")
_SATURATED = (_CPU, ("per_second", "tokens/s"), _WHOLE)
_PACED = (
    _CPU,
    ("core", "of a core"),
    ("received", "received"),
    ("added_p50_ms", "added p50 ms"),
    ("added_p99_ms", "added p99 ms"),
    ("ttft_p50_ms", "first token p50 ms"),
    ("run_cpu_us", "CPU µs/token, whole run"),
    _WHOLE,
)
_FIRST = (
    ("ttft_p50_ms", "first token p50 ms"),
    ("ttft_p99_ms", "p99 ms"),
    ("request_ms", "CPU ms/request"),
    _WHOLE,
)
_ALL = (NGINX, SORA, TUTORIAL, FASTAPI)
_FLOOR = (NGINX, BARE, READING, SORA, TUTORIAL, FASTAPI)
# Six turns of a conversation: what a person says, and what is answered.
_HISTORY = 6 * (
    {"role": "user", "content": "남은 연차는 다음 해로 이월되나요? 작년에 다섯 날을 쓰지 못했습니다."},
    {
        "role": "assistant",
        "content": "쓰지 않은 연차는 다섯 날까지 다음 해 3월 말까지 쓸 수 있습니다. 팀장에게 알려 주세요.",
    },
)
_PACED_200 = partial(paced, streams=200, ramp=2.0, window=(3.0, 9.0))
_PACED_1000 = partial(paced, streams=1000, ramp=8.0, window=(9.0, 15.0))

SCENARIOS = (
    Scenario(
        "saturated",
        "Saturated: 32 streams × 1000 tokens, no delay",
        [Case(name, name, saturated) for name in _FLOOR],
        _SATURATED,
        quick=True,
    ),
    Scenario(
        "paced200",
        "Paced: 200 streams × 20 tokens/s",
        [Case(name, name, _PACED_200) for name in _FLOOR],
        _PACED,
        quick=True,
    ),
    Scenario(
        "paced1000",
        "Paced: 1000 streams × 20 tokens/s",
        [Case(name, name, _PACED_1000) for name in (NGINX, BARE, READING, SORA)],
        _PACED,
    ),
    Scenario(
        "ttft",
        "Time to first token, idle: one request after the other",
        [Case(name, name, first_token) for name in _ALL],
        _FIRST,
        quick=True,
    ),
    Scenario(
        "history",
        "Time to first token, idle, with 12 messages of history",
        [Case(name, name, partial(first_token, history=_HISTORY)) for name in _ALL],
        _FIRST,
        quick=True,
    ),
    Scenario(
        "slow9000",
        "9,000 open slow streams",
        [Case(SORA, SORA, partial(held_open, streams=9_000, ramp=60.0))],
        (
            ("kib", "KiB/stream"),
            ("open", "open at once"),
            ("idle_ttft_p99_ms", "first token p99 ms, idle"),
            ("beside_ttft_p50_ms", "beside: p50 ms"),
            ("beside_ttft_p99_ms", "beside: p99 ms"),
            _WHOLE,
        ),
    ),
    Scenario(
        "agents",
        "200 streams × 20 tokens/s, while 500 agents begin in two seconds",
        [Case(SORA, SORA, partial(beside_agents, agents=500, ramp=2.0))],
        (
            ("alone_p50_ms", "added p50 ms, without them"),
            ("alone_p99_ms", "p99 ms"),
            ("beside_p50_ms", "added p50 ms, beside them"),
            ("beside_p99_ms", "p99 ms"),
            ("kib", "KiB/agent"),
            _WHOLE,
        ),
    ),
    Scenario(
        "resume",
        "Resume of a 10,000-token answer from the middle",
        [Case(SORA, SORA, resumed)],
        (
            ("relayed_paced_ms", "relayed at a model's pace, CPU ms"),
            ("relayed_burst_ms", "relayed as fast as it goes, CPU ms"),
            ("running_ms", "resumed while it runs, CPU ms"),
            ("finished_ms", "resumed after its end, CPU ms"),
            _WHOLE,
        ),
    ),
    Scenario(
        "length",
        "Answers of 1,000 and of 100,000 tokens",
        [Case(SORA, SORA, long_answers)],
        (
            ("short_us", "1,000: CPU µs/token"),
            ("long_us", "100,000: CPU µs/token"),
            ("short_token_us", "1,000 without the request"),
            ("long_token_us", "100,000 without the request"),
            _WHOLE,
        ),
    ),
    Scenario(
        "database",
        "Saturated, with finished runs in the database",
        [Case(f"Sora, {count:,} runs", SORA, saturated, finished_runs=count) for count in (0, FINISHED_RUNS)],
        _SATURATED,
    ),
    Scenario(
        "foreign-saturated",
        "Saturated, by TLS, Korean and emoji",
        [Case(name, name, partial(saturated, words=True), "https") for name in _ALL],
        _SATURATED,
    ),
    Scenario(
        "foreign-paced200",
        "Paced, 200 streams × 20 tokens/s, by TLS, Korean and emoji",
        [Case(name, name, partial(_PACED_200, words=True), "https") for name in _ALL],
        _PACED,
    ),
)
