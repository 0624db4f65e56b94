"""The project's own simulator of a model API, as a process."""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import process
from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator. `url` is the base URL for a client, `…/v1`."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def requests(self) -> list[dict[str, Any]]:
        """What it was asked since the last `clear`, oldest first (the last 1000)."""
        body = json.loads(self._call("GET"))
        return list(body["requests"] if isinstance(body, dict) else body)

    def clear(self) -> None:
        """Forgets the requests."""
        self._call("DELETE")

    def _call(self, method: str) -> bytes:
        request = urllib.request.Request(f"{self.url}/simulator/requests", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())


@contextmanager
def simulator() -> Iterator[Simulator]:
    """Runs `python -m sora.simulator` and waits until it answers."""
    port = process.free_port()
    with tempfile.TemporaryDirectory(prefix="sora-simulator-") as directory:
        log = Path(directory) / "log"
        running = process.start(
            [
                sys.executable,
                "-m",
                "sora.simulator",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--with-parent",
            ],
            log=log,
        )
        try:
            wait_until(
                lambda: running.poll() is not None or _healthy(port), timeout=20, what="the simulator's start"
            )
            assert running.poll() is None, log.read_text()
            yield Simulator(port)
        finally:
            process.stop(running, timeout=3)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
