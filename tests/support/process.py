"""Child processes that end when the tests end, however those end."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    """True when something accepts connections on 127.0.0.1:`port`. Blocks at most a second."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Starts `command` in a process group of its own; both its outputs are appended to `log`.

    The kernel sends it `death_signal` when the thread that called this ends (on Linux), so call it from a
    thread that lasts. `user` needs root.
    """

    def die_with_parent() -> None:  # after the change of user, which would clear the setting
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))

    account = pwd.getpwnam(user) if user else None
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(os.environ if env is None else env),
            start_new_session=True,
            preexec_fn=die_with_parent,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


def stop(
    process: subprocess.Popen[bytes], *, sig: signal.Signals = signal.SIGTERM, timeout: float = 10.0
) -> int:
    """Ends `process` with `sig`, by force after `timeout` seconds, and what is below it. The exit code."""
    family = [process.pid, *descendants(process.pid)]
    if process.poll() is None:
        process.send_signal(sig)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pid in family[1:]:
        signal_quietly(pid, signal.SIGCONT)
    try:
        wait_until(lambda: not any(map(alive, family[1:])), timeout=3, what="the children's end")
    except AssertionError:
        for pid in family[1:]:
            signal_quietly(pid, signal.SIGKILL)
    return process.returncode


def children(pid: int) -> list[int]:
    """The process ids of the living children of `pid`, zombies left out (Linux: /proc)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            state, parent = _state(int(entry.name))
            if parent == pid and state not in "ZX":
                found.append(int(entry.name))
    return sorted(found)


def descendants(pid: int) -> list[int]:
    """All living processes below `pid`."""
    below = children(pid)
    return below + [deeper for child in below for deeper in descendants(child)]


def alive(pid: int) -> bool:
    """True while `pid` runs or is stopped; a zombie is not alive."""
    return _state(pid)[0] not in "ZX"


def signal_quietly(pid: int, sig: signal.Signals) -> None:
    """Sends `sig`; a process that is gone already is no error."""
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def _state(pid: int) -> tuple[str, int]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return fields[0], int(fields[1])
