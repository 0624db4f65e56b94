"""Where Sora's processor time goes: py-spy beside a load, by part and by function."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.loads import Load
from bench.relays import Running
from bench.workspace import HERE, LOAD_CORE, MissingError
from tests.support.process import children

_PY_SPY = HERE / ".venv" / "bin" / "py-spy"
_RATE = 250
# A sample belongs to the first of these pieces of work one of whose marks is anywhere in its stack, so that the shares add up.
_WORK = {
    "run row": ("Engine.begin (",),
    "final save": ("Producer._end (",),
    "journal": ("Worker.round (",),
    "engine's other rounds": ("(sora/engine/loop.py)",),
    "metrics": ("(prometheus_client/", "(sora/metrics.py)"),
    "model: the request": (".post (openai/", "._open ("),
}
# Else to the step on a token's way whose mark is in the innermost frame that has one.
_STEPS = {
    "model: read": ("(sora/providers/inlet.py)", "(sora/providers/connection.py)"),
    "model: take apart and decode": ("(sora/providers/",),
    "event log": ("(sora/engine/log/", "(sora/events.py)"),
    "readers: frames": ("(sora/wire/", "Reader._next ("),
    "readers: write": ("(sora/push.py)", "Response.write (", ".send (", ".sendall ("),
    "readers: the rest": ("(sora/engine/signal.py)", "(sora/engine/reader.py)", "(sora/engine/readers.py)"),
    "producer": ("(sora/engine/",),
    "Flask": ("(flask/", "(werkzeug/", "(sora/web/"),
    "gunicorn": ("(gunicorn/",),
    "event loop (some of it waiting)": ("(gevent/",),
}


def profile(program: Path, relay: Running, load: Load) -> Iterator[str]:
    """Two Markdown tables of the relay's worker under the load: by part, and by function."""
    stacks = relay.home / "stacks"
    (worker,) = children(relay.pid)
    command: list[str | Path] = [
        _PY_SPY,
        "record",
        "--pid",
        str(worker),
        "--duration",
        "600",
        "--rate",
        str(_RATE),
        "--nonblocking",
    ]
    spy = subprocess.Popen(
        ["taskset", "-c", str(LOAD_CORE), *command, "--format", "raw", "--output", stacks],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    figures = load(program, relay)
    spy.send_signal(2)
    error = spy.communicate()[1]
    if not stacks.exists():
        raise MissingError(f"py-spy: {error[-500:]}")
    per_token = figures.get("run_cpu_us") or figures.get("cpu_us")
    cost, unit = (per_token, "token") if per_token else (1e3 * figures["request_ms"], "request")
    yield from _tables(stacks.read_text().splitlines(), cost, unit)


def _tables(lines: list[str], cost: float, unit: str) -> Iterator[str]:
    parts: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    database = 0
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if not stack or "threadpool" in stack:  # nothing seen, or gevent's idle helper
            continue
        frames = [_frame(frame) for frame in stack.split(";")]
        seen = int(count)
        functions[frames[-1]] += seen
        database += seen if any("(sqlalchemy/" in frame for frame in frames) else 0
        parts[_part(frames)] += seen
    total = max(functions.total(), 1)
    for heading, counter in (("part, with all below it", parts), ("function, by itself", functions)):
        yield f"| {heading} | % | µs/{unit} |"
        yield "|---|---|---|"
        for name, seen in counter.most_common(25):
            yield f"| {name} | {100 * seen / total:.1f} | {cost * seen / total:.2f} |"
        yield ""
    yield f"Below SQLAlchemy, within the parts: {100 * database / total:.1f} %, {cost * database / total:.2f} µs/{unit}."
    yield ""


def _part(frames: list[str]) -> str:
    whole = ";".join(frames)
    for part, marks in _WORK.items():
        if any(mark in whole for mark in marks):
            return part
    for frame in reversed(frames):
        for part, marks in _STEPS.items():
            if any(mark in frame for mark in marks):
                return part
    return "other"


def _frame(text: str) -> str:
    """`function (file)`, without line and without where things are installed."""
    text = re.sub(r"\(.*?/(?:site-packages|lib/python3\.\d+)/", "(", text)
    text = re.sub(r"\([^)]*?/(sora/[^)]*)\)", r"(\1)", text)
    return re.sub(r":\d+\)$", ")", text)
