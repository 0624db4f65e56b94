"""Sora itself, as it runs in production: gunicorn with its own settings."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import process
from tests.support.client import JWT_SECRET, request
from tests.support.migrated import bring_up_to_date
from tests.support.waiting import wait_until

ENCRYPTION_KEYS = "test:" + base64.b64encode(bytes(range(32))).decode()


class Server:
    """A gunicorn with `workers` processes. A context manager: ready on entry, gone on exit.

    Servers that share a `database_url` are machines of one deployment. `env` goes last, so it may replace any
    setting; a value of None takes one away. What it writes is in a directory of its own, `instance`, removed
    on exit.
    """

    def __init__(
        self,
        database_url: str,
        upstream_url: str,
        *,
        workers: int = 1,
        env: Mapping[str, str | None] | None = None,
    ) -> None:
        self.port = process.free_port()
        self.workers = workers
        self._directory = tempfile.TemporaryDirectory(prefix="sora-server-")
        self.instance = Path(self._directory.name) / "instance"
        self.instance.mkdir(mode=0o700)
        self.log = Path(self._directory.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None
        settings: dict[str, str | None] = {
            "SORA_DATABASE_URL": database_url,
            "SORA_OPENAI_BASE_URL": upstream_url,
            "SORA_OPENAI_API_KEY": "a-key-of-the-tests",
            "SORA_MODEL": "sim",
            "SORA_AUTH": "required",
            "SORA_JWT_SECRET": JWT_SECRET,
            "SORA_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
            "SORA_INSTANCE_PATH": str(self.instance),
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self.env = {key: value for key, value in {**os.environ, **settings}.items() if value is not None}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The master's process id."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            bring_up_to_date(self.env["SORA_DATABASE_URL"], lambda: self.flask("db", "upgrade"))
            self.start()
        except BaseException:
            self._directory.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                error.add_note(f"The server's log:\n{self.log_text()[-6000:]}")
            self.stop(signal.SIGQUIT, timeout=3)
        finally:
            self._directory.cleanup()

    def flask(self, *command: str) -> str:
        """Runs `flask --app wsgi …` with the server's settings; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", *command],
            cwd=process.ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"flask {' '.join(command)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self) -> None:
        """Starts gunicorn on the same port and waits for /readyz; on entry this is done already."""
        assert self._process is None
        self._process = process.start(
            [
                *(sys.executable, "-m", "gunicorn", "-c", "python:sora.serving", "wsgi:app"),
                *("--bind", f"127.0.0.1:{self.port}", "--workers", str(self.workers)),
            ],
            log=self.log,
            env=self.env,
            death_signal=signal.SIGQUIT,
        )
        wait_until(self._ready, timeout=30, what="/readyz")

    def stop(self, sig: signal.Signals = signal.SIGTERM, *, timeout: float = 60.0) -> int:
        """Ends the server with `sig`, by force after `timeout` seconds; the master's exit code."""
        if self._process is None:
            return 0
        for pid in self.worker_pids():
            process.signal_quietly(pid, signal.SIGCONT)
        code = process.stop(self._process, sig=sig, timeout=timeout)
        self._process = None
        return code

    def kill(self) -> None:
        """The machine loses its power: master and workers die at once, without a word."""
        assert self._process is not None
        for pid in [self.pid, *self.worker_pids()]:
            process.signal_quietly(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def worker_pids(self) -> list[int]:
        """The workers alive, oldest first."""
        return process.children(self.pid)

    def kill_worker(self, sig: signal.Signals = signal.SIGKILL) -> int:
        """Sends `sig` to the oldest worker; its process id. The master replaces one that dies."""
        pid = self.worker_pids()[0]
        os.kill(pid, sig)
        return pid

    def log_text(self) -> str:
        """All that master and workers have written."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log_text()
        try:
            return (
                request(self.url, "/readyz", timeout=5).status == 200
                and len(self.worker_pids()) >= self.workers
            )
        except OSError:
            return False
