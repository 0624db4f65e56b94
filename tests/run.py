"""`make test`: the suite in its parts, each in a process of its own, and one line that sums them up."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

PYTEST = [sys.executable, "-m", "pytest"]
GEVENT = [sys.executable, "-m", "gevent.monkey", "--module", "pytest"]

# The parts of a lane follow one another; these lanes run side by side, for most of their time they wait.
LANES = [
    {"unit": [*PYTEST, "tests/unit"], "api": [*PYTEST, "tests/api"]},
    {"engine on threads": [*PYTEST, "tests/conformance", "tests/engine"]},
    {"engine on gevent": [*GEVENT, "tests/conformance", "tests/engine"]},
]
# Alone: what is measured there would be the others' load.
ALONE = {"live": [*PYTEST, "tests/live", "tests/browser"]}
FRONT_END = [
    "npm",
    "--prefix",
    "frontend",
    "test",
    "--silent",
    "--",
    "--reporter=default",
    "--reporter=junit",
]


class Outcome(NamedTuple):
    """What became of one part."""

    name: str
    failed: bool
    passed: int
    wrong: int
    skipped: int


def main() -> int:
    """Runs every part, whatever became of the one before; 1 when any failed. Arguments go to each pytest."""
    started = time.monotonic()
    with ThreadPoolExecutor(len(LANES)) as pool:
        outcomes = [outcome for lane in pool.map(_lane, LANES) for outcome in lane]
    outcomes += [*_lane(ALONE), _front_end()]
    broken = [outcome.name for outcome in outcomes if outcome.failed]
    if broken:
        print(f"\nfailed: {', '.join(broken)}", flush=True)
    passed, wrong, skipped = (sum(outcome[place] for outcome in outcomes) for place in (2, 3, 4))
    print(f"\n{passed} passed, {wrong} failed, {skipped} skipped in {time.monotonic() - started:.0f}s")
    return 1 if broken else 0


def _lane(parts: dict[str, list[str]]) -> list[Outcome]:
    return [_part(name, command) for name, command in parts.items()]


def _front_end() -> Outcome:
    """The client library's own tests, where there is npm; a skipped part where there is none."""
    name = "front end"
    if subprocess.run([".ci/npm"], check=False).returncode != 0:
        return Outcome(name, os.environ.get("CI") == "true", 0, 0, 1)
    if subprocess.run(["make", "-s", "frontend/node_modules/.installed"], check=False).returncode != 0:
        return Outcome(name, True, 0, 1, 0)
    return _part(name, FRONT_END, report="--outputFile.junit=", arguments=())


def _part(
    name: str, command: Sequence[str], *, report: str = "--junitxml=", arguments: Sequence[str] = sys.argv[1:]
) -> Outcome:
    """Runs one part; its output is shown in one piece, when it has ended."""
    with tempfile.TemporaryDirectory() as directory:
        written = Path(directory) / "report.xml"
        done = subprocess.run(
            [*command, f"{report}{written}", *arguments],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        sys.stdout.buffer.write(f"\n# {name}\n".encode() + done.stdout)
        sys.stdout.buffer.flush()
        suites = list(ET.parse(written).getroot().iter("testsuite")) if written.exists() else []
    tests, skipped, failures, errors = (
        sum(int(suite.get(what, 0)) for suite in suites)
        for what in ("tests", "skipped", "failures", "errors")
    )
    wrong = failures + errors
    return Outcome(name, done.returncode != 0, tests - wrong - skipped, wrong, skipped)


if __name__ == "__main__":
    sys.exit(main())
