"""The project's own simulator of a model API, as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import process
from tests.support.client import request
from tests.support.waiting import wait_until

_REQUESTS = "/v1/simulator/requests"


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator. `url` is the base URL for a client, `…/v1`."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def requests(self) -> list[dict[str, Any]]:
        """What it was asked since the last `clear`, oldest first (the last 1000)."""
        entries: list[dict[str, Any]] = request(self.url, _REQUESTS).json()["requests"]
        return entries

    def clear(self) -> None:
        """Forgets the requests."""
        request(self.url, _REQUESTS, method="DELETE")

    @contextmanager
    def held(self) -> Iterator[None]:
        """No answer goes on, and none ends, before the end of the block, however slow the machine is."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def simulator() -> Iterator[Simulator]:
    """Runs `python -m sora.simulator` and waits until it answers."""
    port = process.free_port()
    with tempfile.TemporaryDirectory(prefix="sora-simulator-") as directory:
        log = Path(directory) / "log"
        command = ["-m", "sora.simulator", "--host", "127.0.0.1", "--port", str(port), "--with-parent"]
        running = process.start([sys.executable, *command], log=log)
        server = Simulator(port, running)
        try:
            wait_until(
                lambda: running.poll() is not None or _healthy(server),
                timeout=20,
                what="the simulator's start",
            )
            assert running.poll() is None, log.read_text()
            yield server
        finally:
            process.stop(running, timeout=3)


def _healthy(server: Simulator) -> bool:
    try:
        return request(server.url, "/healthz", timeout=2).status == 200
    except OSError:
        return False
