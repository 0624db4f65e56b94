"""`make bench`: QUICK=1 is one short round of the main scenarios, ONLY=name one scenario, PROFILE=1 shows where the time goes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from bench import report
from bench.finished_runs import many
from bench.hotspots import profile
from bench.relays import SORA, Relays
from bench.results import Results
from bench.scenarios import SCENARIOS, Case, Scenario
from bench.workspace import HERE, MissingError, Workspace, workspace

ROUNDS = 5
_PROFILED = ("saturated", "paced200", "ttft")


class Bench:
    """One run of the benchmark."""

    def __init__(self, place: Workspace) -> None:
        self._place = place
        self._relays = Relays(place)
        self._databases: dict[int, Path] = {}

    def measure(self, scenarios: list[Scenario], rounds: int) -> Results:
        """Every scenario and relay once in each round, so that all of them see the machine's moods."""
        results = Results()
        for round in range(1, rounds + 1):
            for scenario in scenarios:
                for case in scenario.cases:
                    started = time.monotonic()
                    results.add(scenario.name, case.label, self._measure(case))
                    figures = (
                        f"{heading} {results.get(scenario.name, case.label, figure)[-1]:.4g}"
                        for figure, heading in scenario.columns
                    )
                    took = time.monotonic() - started
                    _say(
                        f"{round}/{rounds} {scenario.name} · {case.label}: {', '.join(figures)} ({took:.0f} s)"
                    )
            results.rounds = round
        return results

    def profile(self, scenarios: list[Scenario]) -> None:
        """Writes PROFILE.md."""
        lines = [
            "# Where Sora's processor time goes",
            "",
            "Made by `make bench PROFILE=1` (py-spy, % of the worker's samples).",
            "",
        ]
        for scenario in scenarios:
            (case,) = (case for case in scenario.cases if case.label == SORA)
            with self._relays.start(SORA, scheme=case.scheme) as relay:
                section = [f"## {scenario.title}", "", *profile(self._place.client, relay, case.load)]
            _say("\n".join(section))
            lines += section
        (HERE / "PROFILE.md").write_text("\n".join(lines).rstrip() + "\n")

    def _measure(self, case: Case) -> dict[str, float]:
        database = self._database(case.finished_runs) if case.finished_runs else None
        with self._relays.start(case.relay, scheme=case.scheme, database=database) as relay:
            return case.load(self._place.client, relay)

    def _database(self, finished_runs: int) -> Path:
        if finished_runs not in self._databases:
            self._databases[finished_runs] = many(self._place, self._relays, finished_runs)
        return self._databases[finished_runs]


def main() -> int:
    quick, profiling = bool(os.environ.get("QUICK")), bool(os.environ.get("PROFILE"))
    only = [name for name in os.environ.get("ONLY", "").split(",") if name]
    rounds = int(os.environ.get("ROUNDS", 1 if quick else ROUNDS))
    names = {scenario.name: scenario for scenario in SCENARIOS}
    if unknown := set(only) - set(names):
        sys.stderr.write(f"ONLY={','.join(sorted(unknown))}? {', '.join(names)}\n")
        return 2
    default = _PROFILED if profiling else [name for name in names if names[name].quick or not quick]
    scenarios = [names[name] for name in only or default]
    load_average = os.getloadavg()[0]
    try:
        with workspace() as place:
            bench = Bench(place)
            if profiling:
                bench.profile(scenarios)
                return 0
            results = bench.measure(scenarios, rounds)
    except MissingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for scenario in scenarios:
        _say("\n".join(["", f"## {scenario.title}", "", *report.table(results, scenario)]))
    _say("\n".join(["", *report.judgement(results)]))
    if not quick and not only:
        _say(f"\n{report.write(results, load_average).relative_to(HERE.parent)}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
