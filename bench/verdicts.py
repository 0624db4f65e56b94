"""The bounds that Sora is held to, each with what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.relays import FASTAPI, NGINX, SORA, TUTORIAL
from bench.results import Results, Series
from bench.scenarios import FINISHED_RUNS


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bound. It holds when the median keeps it, or when it lies within the spread; None: not measured.

    `always`: what no single round may miss, such as a stream that came whole.
    """

    line: str
    what: str
    bound: float
    measured: Series
    at_least: bool = False
    always: bool = False

    @property
    def holds(self) -> bool | None:
        if not self.measured:
            return None
        if self.always:
            return min(self.measured) >= self.bound
        return max(self.measured) >= self.bound if self.at_least else min(self.measured) <= self.bound

    @property
    def word(self) -> str:
        if self.holds is None:
            return "not measured"
        if not self.holds:
            return "**no**"
        middle = self.measured.middle
        kept = middle >= self.bound if self.at_least or self.always else middle <= self.bound
        return "yes" if kept else "yes, within the spread"

    @property
    def shown_bound(self) -> str:
        return f"{'≥' if self.at_least or self.always else '≤'} {self.bound:g}"


def verdicts(results: Results) -> list[Verdict]:
    """Every bound whose scenario was measured, in their order."""
    return [verdict for verdict in _all(results) if verdict.holds is not None]


def _all(results: Results) -> Iterator[Verdict]:
    get = results.get

    def ratio(scenario: str, figure: str, to: str) -> Series:
        ours, theirs = get(scenario, SORA, figure), get(scenario, to, figure)
        return ours.over(theirs) if len(ours) == len(theirs) else Series()

    yield Verdict("1", "saturated: CPU per token, of nginx's", 0.9, ratio("saturated", "cpu_us", NGINX))
    for relay in (TUTORIAL, FASTAPI):
        yield Verdict(
            "1", f"saturated: CPU per token, of the {relay}'s", 1 / 25, ratio("saturated", "cpu_us", relay)
        )
    yield Verdict("1", "saturated: streams whole", 1, get("saturated", SORA, "whole"), always=True)

    better = get("paced200", TUTORIAL, "cpu_us").least(get("paced200", FASTAPI, "cpu_us"))
    yield Verdict("2", "200 paced: CPU per token, of nginx's", 1.8, ratio("paced200", "cpu_us", NGINX))
    yield Verdict(
        "2",
        "200 paced: CPU per token, of the better relay's",
        0.25,
        get("paced200", SORA, "cpu_us").over(better),
    )
    yield Verdict(
        "2", "200 paced: added latency p50, of nginx's", 1.5, ratio("paced200", "added_p50_ms", NGINX)
    )
    yield Verdict("2", "200 paced: streams whole", 1, get("paced200", SORA, "whole"), always=True)

    yield Verdict(
        "3", "1000 paced: received of offered", 0.99, get("paced1000", SORA, "received"), at_least=True
    )
    yield Verdict("3", "1000 paced: streams whole", 1, get("paced1000", SORA, "whole"), always=True)
    yield Verdict("3", "1000 paced: CPU per token, of nginx's", 1.5, ratio("paced1000", "cpu_us", NGINX))
    yield Verdict(
        "3", "1000 paced: added latency p50, of nginx's", 1.2, ratio("paced1000", "added_p50_ms", NGINX)
    )
    yield Verdict("3", "1000 paced: added latency p99, ms", 20, get("paced1000", SORA, "added_p99_ms"))

    slow = {figure: get("slow9000", SORA, figure) for figure in ("kib", "open", "whole", "beside_whole")}
    yield Verdict("4", "9,000 slow: open at once", 1, slow["open"], always=True)
    yield Verdict("4", "9,000 slow: streams whole", 1, slow["whole"], always=True)
    yield Verdict("4", "9,000 slow: KiB each", 45, slow["kib"])
    beside = get("slow9000", SORA, "beside_ttft_p99_ms").over(get("slow9000", SORA, "idle_ttft_p99_ms"))
    yield Verdict("4", "9,000 slow: first token p99 beside them, of the idle server's", 3, beside)
    yield Verdict("4", "9,000 slow: streams beside them whole", 1, slow["beside_whole"], always=True)

    yield Verdict("5", "idle: first token p50, of the tutorial's", 1, ratio("ttft", "ttft_p50_ms", TUTORIAL))

    for case in ("running", "finished"):
        for pace in ("paced", "burst"):
            share = get("resume", SORA, f"{case}_ms").over(get("resume", SORA, f"relayed_{pace}_ms"))
            yield Verdict("6", f"resume, {case}: CPU, of relaying it ({pace})", 1 / 50, share)
    yield Verdict("6", "resume: streams whole", 1, get("resume", SORA, "whole"), always=True)

    longer = get("length", SORA, "long_token_us").over(get("length", SORA, "short_token_us"))
    yield Verdict("7", "CPU per token, 100,000-token answers to 1,000-token ones", 1, longer)
    fuller = get("database", f"Sora, {FINISHED_RUNS:,} runs", "cpu_us").over(
        get("database", "Sora, 0 runs", "cpu_us")
    )
    yield Verdict("7", f"CPU per token, {FINISHED_RUNS:,} finished runs to none", 1, fuller)

    for scenario in ("saturated", "paced200"):
        plain, foreign = _place(results, scenario), _place(results, f"foreign-{scenario}")
        moved = Series(there - here for here, there in zip(plain, foreign, strict=False))
        yield Verdict("8", f"{scenario} by TLS, Korean: places that Sora falls in the table", 0, moved)
        whole = get(f"foreign-{scenario}", SORA, "whole")
        yield Verdict("8", f"{scenario} by TLS, Korean: streams whole", 1, whole, always=True)

    sooner = get("history", SORA, "ttft_p50_ms").less(get("history", TUTORIAL, "ttft_p50_ms"))
    yield Verdict("9", "idle, 12 messages of history: first token p50 to the tutorial's, ms", -1, sooner)

    beside = get("agents", SORA, "beside_p99_ms")
    yield Verdict(
        "10", "beside 500 agents that begin: added latency p99, ms (a token comes each 50)", 50, beside
    )
    yield Verdict(
        "10",
        "beside 500 agents: all of them and all streams whole",
        1,
        get("agents", SORA, "whole"),
        always=True,
    )


def _place(results: Results, scenario: str) -> Series:
    """How many relays spend less on a token than Sora, round by round."""
    costs = [results.get(scenario, relay, "cpu_us") for relay in (SORA, NGINX, TUTORIAL, FASTAPI)]
    return Series(sum(other < sora for other in others) for sora, *others in zip(*costs, strict=True))
