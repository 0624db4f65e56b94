"""Sora with a simulator for tests that are no Python: commands come in as lines of JSON, answers go out so.

`python -m tests.support.frontend '{"env": {…}, "workers": 2}'` prints `{"url", "simulator"}` when all is up, then answers each
command, and ends, with all that it started, at the end of its input:

    {"do": "cutter", "after": [100, 700]}    {"port"}: a way to the server whose first connections are cut after so many bytes
    {"do": "cuts"}                           {"cuts"}: how many were cut by the last cutter
    {"do": "kill"}                           {}: the workers were killed, all of them; their successors are up
    {"do": "stop"}, {"do": "start"}          {}: the server is down, is up again
    {"do": "requests"}                       {"requests"}: what the simulator was asked
    {"do": "clear"}                          {}: the simulator has forgotten that
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from contextlib import ExitStack
from typing import Any

from tests.support.cutter import cutting
from tests.support.process import signal_quietly
from tests.support.server import Server
from tests.support.simulator import Simulator, simulator
from tests.support.waiting import wait_until


class Stage:
    """What the commands work on."""

    def __init__(self, server: Server, upstream: Simulator, stack: ExitStack) -> None:
        self._server = server
        self._upstream = upstream
        self._stack = stack
        self._cuts: list[int] = []

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["do"]:
            case "cutter":
                port, self._cuts = self._stack.enter_context(cutting(self._server.port, command["after"]))
                return {"port": port}
            case "cuts":
                return {"cuts": len(self._cuts)}
            case "kill":
                killed = self._server.worker_pids()
                for pid in killed:
                    signal_quietly(pid, signal.SIGKILL)
                wait_until(lambda: self._whole(killed), timeout=30, what="other workers")
            case "stop":
                self._server.kill()
            case "start":
                self._server.start()
            case "requests":
                return {"requests": self._upstream.requests()}
            case "clear":
                self._upstream.clear()
            case unknown:
                raise ValueError(f"no such command: {unknown}")
        return {}

    def _whole(self, killed: list[int]) -> bool:
        there = self._server.worker_pids()
        return len(there) >= self._server.workers and not set(there) & set(killed)


def main() -> None:
    wanted = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    with ExitStack() as stack:
        upstream = stack.enter_context(simulator())
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="sora-frontend-"))
        env = {"SORA_AUTH": "guest", **wanted.get("env", {})}
        database = f"sqlite:///{directory}/sora.sqlite3"
        server = stack.enter_context(
            Server(database, upstream.url, workers=wanted.get("workers", 2), env=env)
        )
        stage = Stage(server, upstream, stack)
        _say({"url": server.url, "simulator": upstream.url})
        for line in sys.stdin:
            _say(stage.do(json.loads(line)))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
