"""The tables, for the terminal and for RESULTS.md."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from bench.plot import cost
from bench.relays import NGINX
from bench.results import Results
from bench.scenarios import SCENARIOS, Scenario
from bench.verdicts import verdicts
from bench.workspace import HERE

_VERSIONS = ("gunicorn", "gevent", "Flask", "openai", "SQLAlchemy")


def table(results: Results, scenario: Scenario) -> Iterator[str]:
    """A scenario as a Markdown table: medians, spread in brackets, and CPU per token as a multiple of nginx's."""
    raw = results.get(scenario.name, NGINX, "cpu_us")
    headings = [heading for _, heading in scenario.columns]
    if raw:
        headings.insert(1, "× nginx")
    yield from _row(["", *headings])
    yield "|---" * (len(headings) + 1) + "|"
    for case in scenario.cases:
        cells = [results.get(scenario.name, case.label, figure).text() for figure, _ in scenario.columns]
        if raw:
            ours = results.get(scenario.name, case.label, "cpu_us")
            cells.insert(1, ours.over(raw).text(2) if len(ours) == len(raw) else "-")
        yield from _row([case.label, *cells])


def judgement(results: Results) -> Iterator[str]:
    """The bounds as a Markdown table."""
    yield from _row(["", "bound", "", "measured", "holds"])
    yield "|---|---|---|---|---|"
    for verdict in verdicts(results):
        yield from _row(
            [verdict.line, verdict.what, verdict.shown_bound, verdict.measured.text(), verdict.word]
        )


def write(results: Results, load_average: float) -> Path:
    """RESULTS.md and its plot, anew."""
    (HERE / "results.svg").write_text(cost(results))
    lines = [
        "# Results",
        "",
        "Made by `make bench`; README.md says how. Medians, with the smallest and largest round in brackets. Ratios are taken",
        "round by round, so that what slowed the whole machine down cancels out.",
        "",
        *_machine(results, load_average),
        "",
        "![CPU per token](results.svg)",
        "",
        "## Bounds",
        "",
        *judgement(results),
    ]
    for scenario in SCENARIOS:
        lines += ["", f"## {scenario.title}", "", *table(results, scenario)]
    path = HERE / "RESULTS.md"
    path.write_text("\n".join(lines) + "\n")
    return path


def _machine(results: Results, load_average: float) -> Iterator[str]:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    versions = ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
    yield (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {results.rounds} rounds, {model}, Linux {platform.release().split('-')[0]},"
        f" Python {platform.python_version()}, {versions}. Load average before: {load_average:.2f}."
    )


def _row(cells: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"
