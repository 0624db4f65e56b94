"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import getpass
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.support import process
from tests.support.waiting import wait_until

_OPTIONS = (
    *("-c", "listen_addresses=127.0.0.1"),
    *("-c", "unix_socket_directories="),
    *("-c", "max_connections=200"),
)
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


def binaries() -> Path | None:
    """Where `postgres` and `initdb` are: on the PATH, else the newest where Debian puts them; or None."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    return found[0].parent if found else None


class Postgres:
    """One cluster in a directory of its own, on a free port of 127.0.0.1, without a password.

    fsync is on, as it is in life. `stop` and `start` keep the port and the data; `pause` freezes all
    processes of the server, so that clients hang instead of being refused, until `resume`.
    """

    def __init__(self, directory: Path, user: str | None) -> None:
        found = binaries()
        assert found is not None, "PostgreSQL is not installed"
        self.port = process.free_port()
        self._bin, self._user, self.directory = found, user, directory
        self._data, self._log = directory / "data", directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[int] = []
        self._names = itertools.count(1)
        initdb = process.start(
            [
                found / "initdb",
                "-D",
                self._data,
                "-U",
                "sora",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
            ],
            log=self._log,
            cwd=directory,
            user=user,
        )
        assert initdb.wait() == 0, self.log_text()

    @property
    def url(self) -> str:
        """The maintenance database, as `postgresql://…`."""
        return self._url("postgres")

    def create_database(self) -> str:
        """A new empty database; its URL."""
        name = f"sora_{os.getpid()}_{next(self._names)}"
        subprocess.run(
            [self._bin / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "sora", name],
            check=True,
            timeout=30,
        )
        return self._url(name)

    def start(self) -> None:
        """Starts the server and returns when it takes connections."""
        assert self._process is None
        self._process = process.start(
            [self._bin / "postgres", "-D", self._data, "-p", str(self.port), *_OPTIONS],
            log=self._log,
            cwd=self.directory,
            user=self._user,
            death_signal=signal.SIGINT,
        )
        wait_until(self._ready, timeout=90, what="PostgreSQL")

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stops the server as `pg_ctl stop -m mode` does; "immediate" is a crash. Nothing if stopped."""
        if self._process is None:
            return
        self.resume()
        process.stop(self._process, sig=_SIGNALS[mode], timeout=20)
        self._process = None

    def pause(self) -> None:
        """Freezes the server: what is connected hangs, what connects is not answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # first, so that nothing more is forked
        self._frozen = [self._process.pid, *process.descendants(self._process.pid)]
        for pid in self._frozen:
            process.signal_quietly(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Ends `pause`; harmless without one."""
        for pid in self._frozen:
            process.signal_quietly(pid, signal.SIGCONT)
        self._frozen = []

    def log_text(self) -> str:
        """All the server has logged."""
        return self._log.read_text(errors="replace")

    def _url(self, database: str) -> str:
        return f"postgresql://sora@127.0.0.1:{self.port}/{database}"

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log_text()
        try:  # the last line of the file, as pg_ctl reads it
            return (self._data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        except (FileNotFoundError, IndexError):
            return False


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL with an empty cluster; started in about two seconds, removed at the end."""
    user = _unprivileged() if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="sora-postgres-"))
    if user:
        shutil.chown(directory, user)
    try:
        server = Postgres(directory, user)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _unprivileged() -> str:
    """PostgreSQL refuses to run as root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise AssertionError(f"no unprivileged user to run PostgreSQL as, only {getpass.getuser()}")
