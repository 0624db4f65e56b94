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
# A part owns the samples whose stack has its mark anywhere; parts overlap (journal and saving both use SQLAlchemy).
_PARTS = {
    "upstream: read": "Connection.receive (",
    "upstream: take apart and decode": "(sora/providers/sse.py)|(sora/providers/chunk.py)",
    "upstream: the request": "OpenAI.post (|SyncAPIClient.post (|_open (",
    "event log": "(sora/engine/log/memory.py)|.append (sora/engine/log",
    "readers: frames": "Reader._next (|(sora/wire/",
    "readers: wait": "Signal.wait (|(sora/engine/signal.py)",
    "gunicorn: write": "Response.write (",
    "send, all of it": ".send (|sendall (",
    "run row": "Engine.begin (",
    "journal": "DatabaseLog.flush (",
    "final save": "Producer._end (",
    "SQLAlchemy, all of it": "(sqlalchemy/",
    "request: gunicorn parses": "(gunicorn/http/parser.py)|(gunicorn/http/message.py)",
    "request: Flask": "Flask.full_dispatch_request (",
    "gevent Timeout": "(gevent/timeout.py)",
    "metrics": "(prometheus_client/",
}


def profile(program: Path, relay: Running, load: Load) -> Iterator[str]:
    """Two Markdown tables of the relay's worker under the load."""
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
    load(program, relay)
    spy.send_signal(2)
    error = spy.communicate()[1]
    if not stacks.exists():
        raise MissingError(f"py-spy: {error[-500:]}")
    yield from _tables(stacks.read_text().splitlines())


def _tables(lines: list[str]) -> Iterator[str]:
    parts: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    total = 0
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if "threadpool" in stack:  # gevent's idle helper
            continue
        frames = [_frame(frame) for frame in stack.split(";")]
        seen = int(count)
        total += seen
        functions[frames[-1]] += seen
        for part, marks in _PARTS.items():
            if any(mark in frame for mark in marks.split("|") for frame in frames):
                parts[part] += seen
    for heading, counter in (("part, with all below it", parts), ("function, by itself", functions)):
        yield f"| {heading} | % |"
        yield "|---|---|"
        for name, seen in counter.most_common(25):
            yield f"| {name} | {100 * seen / max(total, 1):.1f} |"
        yield ""


def _frame(text: str) -> str:
    """`function (file)`, without line and without where things are installed."""
    text = re.sub(r"\(.*?/(?:site-packages|lib/python3\.\d+)/", "(", text)
    text = re.sub(r"\([^)]*?/(sora/[^)]*)\)", r"(\1)", text)
    return re.sub(r":\d+\)$", ")", text)
