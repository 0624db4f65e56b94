"""What is measured: the load's own account, and the relay's processor time and memory from /proc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.workspace import LOAD_CORE
from tests.support.process import descendants

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_START = 0.05  # seconds from the client's start to its first request, roughly


@dataclass(frozen=True, slots=True)
class Delay:
    """Microseconds; -1 where nothing was counted."""

    p50: float
    p99: float

    @classmethod
    def of(cls, counted: dict[str, Any]) -> Delay:
        return cls(counted["p50"], counted["p99"])


@dataclass(frozen=True, slots=True)
class Load:
    """What the client saw. `in_window` counts the tokens that arrived in the window; `added` is their latency."""

    seconds: float
    total: int
    whole: int
    peak: int
    tokens: int
    in_window: int
    to_first: Delay
    added: Delay


class Client:
    """One run of the load client against a port, on the load's core. It is under way once this is made.

    `request` is sent as it is, `total` times, `at_once` at a time, the first ones over `ramp` seconds. Tokens `first` to
    `last` (exclusive) are expected. The window is in seconds after the start.
    """

    def __init__(
        self,
        program: Path,
        port: int,
        *,
        request: bytes,
        at_once: int,
        total: int,
        last: int,
        first: int = 0,
        ramp: float = 0.0,
        timeout: float = 120.0,
        words: bool = False,
        enough: bool = False,
        window: tuple[float, float] | None = None,
    ) -> None:
        self._request = tempfile.NamedTemporaryFile(prefix="sora-bench-request-")  # noqa: SIM115
        self._request.write(request)
        self._request.flush()
        self.started = time.monotonic() + _START
        opened, closed = window or (0.0, 1e6)
        moments = [str(int((self.started + at) * 1e6)) for at in (opened, closed)]
        arguments = [
            port,
            self._request.name,
            at_once,
            total,
            ramp,
            timeout,
            first,
            last,
            int(words),
            int(enough),
        ]
        self._process = subprocess.Popen(
            ["taskset", "-c", str(LOAD_CORE), program, *map(str, arguments), *moments],
            stdout=subprocess.PIPE,
            text=True,
        )

    def sleep_until(self, seconds: float) -> None:
        """Waits for a moment of the window's clock."""
        time.sleep(max(0.0, self.started + seconds - time.monotonic()))

    def result(self) -> Load:
        """Waits for the end of the load."""
        output = self._process.communicate()[0]
        self._request.close()
        if self._process.returncode != 0:
            raise RuntimeError(f"the load client ended with {self._process.returncode}")
        seen = json.loads(output)
        failed = {what: count for what, count in seen["failed"].items() if count}
        if failed:
            sys.stderr.write(f"not whole: {failed}\n")
        return Load(
            seen["seconds"], seen["total"], seen["whole"], seen["peak"], seen["tokens"], seen["in_window"],
            Delay.of(seen["to_first"]), Delay.of(seen["added"]),
        )  # fmt: skip


def cpu_seconds(pid: int) -> float:
    """Processor time, user and system, of a process and all below it so far. Resolution: one clock tick (10 ms)."""
    ticks = 0
    for each in [pid, *descendants(pid)]:
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def resident_bytes(pid: int) -> int:
    """Memory in RAM of a process and all below it; what they share counts for each, so take differences only."""
    pages = (Path(f"/proc/{each}/statm").read_text().split()[1] for each in [pid, *descendants(pid)])
    return sum(map(int, pages)) * _PAGE
