"""Strangers' files are read in a process of its own: `extract_all`.

A hostile PDF can burn a processor, take all the memory or crash its reader. Here it does so to a process that has limits
(memory, processor time, no files to write, no core dump), knows no secret of ours (its environment is empty), stands back
behind the streams (nice), and is killed when its time is over. It lives for one request and is started for it: about 0.1 s.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import msgspec

from sora.errors import Overloaded, UnreadableFile
from sora.knowledge import extraction_process
from sora.knowledge.extract import Extracted, Limits, Table, extract, file_name
from sora.knowledge.extraction_process import (
    LARGEST,
    LENGTH,
    Answer,
    Head,
    Refused,
    Request,
    Rows,
    Sheet,
    Whole,
    message,
)
from sora.knowledge.filetype import IMAGES, signature

# More would only take the processors from each other, and from the streams.
_AT_ONCE = threading.BoundedSemaphore(2)
_CODE = str(Path(__file__).resolve().parents[2])


def extract_all(files: Sequence[tuple[str, bytes]], *, limits: Limits) -> list[Extracted]:
    """Read a request's files, (name, content), each as `extract` does, in their order.

    Waits cooperatively (under gevent the other greenlets go on), for at most `limits.seconds` plus as long until it is its
    turn: two requests' files are read at a time. Raises UnreadableFile for the first that cannot be read or too many, and
    Overloaded when it was not its turn in that time.
    """
    check(files, limits=limits)  # before the work on the first
    if not files:
        return []
    if not _AT_ONCE.acquire(timeout=limits.seconds):
        raise Overloaded
    try:
        ends = time.monotonic() + limits.seconds
        with Extraction(limits) as extraction:
            return [
                extraction.extract(name, content, seconds=max(0.05, ends - time.monotonic()))
                for name, content in files
            ]
    finally:
        _AT_ONCE.release()


def check(files: Sequence[tuple[str, bytes]], *, limits: Limits) -> None:
    """Raises UnreadableFile for more files, or a larger one, than a request may have."""
    if len(files) > limits.files:
        raise UnreadableFile("file_count", high=limits.files)
    for name, content in files:
        if len(content) > limits.size:
            raise UnreadableFile("file_size", name=file_name(name), high=limits.size)


class Extraction:
    """The process that reads files, one after the other; for one thread (greenlet). It is started when a file needs it, and
    anew after one that it did not survive; leaving the block ends it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._child: _Child | None = None

    def __enter__(self) -> Extraction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def extract(self, name: str, content: bytes, *, seconds: float | None = None) -> Extracted:
        """`extract` in that process, within `seconds`; None: those of the limits. Raises UnreadableFile, and nothing else."""
        if len(content) > self._limits.size or signature(content) in IMAGES:
            return extract(name, content, limits=self._limits)  # a look at a few bytes
        seconds = self._limits.seconds if seconds is None else seconds
        child = self._child = self._child or _Child()
        child.ends = time.monotonic() + seconds
        try:
            return _asked(child, Request(name, seconds, self._limits), content)
        except (OSError, EOFError, msgspec.DecodeError):
            self.close()
            raise UnreadableFile("file_costly", name=file_name(name)) from None
        except UnreadableFile:
            raise
        except BaseException:
            self.close()  # it may be in the middle of an answer
            raise

    def close(self) -> None:
        """End the process. May be called again."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()


class _Child:
    """The process and the socket to it. `ends` is the monotonic moment after which sending and receiving raise TimeoutError."""

    def __init__(self) -> None:
        self.ends = 0.0
        ours, theirs = socket.socketpair()
        with theirs:
            os.set_blocking(theirs.fileno(), True)  # gevent's are not
            known = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
            # Not a fork, which would copy a large worker's page tables while all its streams wait.
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-m", extraction_process.__name__],
                {**known, "PYTHONPATH": _CODE, "LC_ALL": "C.UTF-8"},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),  # complaints may hold what was read
                ],
            )
        self._socket = ours

    def send(self, data: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(LENGTH.pack(len(data)))
        self._socket.sendall(data)  # not as one: a copy of 20 MB is a wait

    def received(self, *, most: int) -> bytes:
        """A message. Raises EOFError where there is none, or a larger one."""
        return message(self._read, most=most)

    def kill(self) -> None:
        self._socket.close()
        while not self._gone():
            os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.002)

    def _gone(self) -> bool:
        """Whether it has ended. While it has not been waited for, no other process has its number."""
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] != 0
        except ChildProcessError:  # gevent's loop may wait for all children there are
            return True

    def _read(self, size: int) -> bytes:
        self._socket.settimeout(self._left())
        return self._socket.recv(size)

    def _left(self) -> float:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _asked(child: _Child, request: Request, content: bytes) -> Extracted:
    child.send(msgspec.msgpack.encode(request))
    child.send(content)
    head: Head | None = None
    tables: list[Table] = []
    left = LARGEST
    while True:
        data = child.received(most=left)
        left -= len(data)
        match msgspec.msgpack.decode(data, type=Answer):
            case Refused(why, values):
                raise UnreadableFile(why, name=file_name(request.name), **values)
            case Head() as head:
                pass
            case Sheet(name, columns):
                tables.append(Table(name, columns, []))
            case Rows(rows) if tables:
                tables[-1].rows.extend(rows)
                time.sleep(0)  # the next is there already: receiving it would let nobody else in
            case Whole() if head is not None:
                return Extracted(head.name, head.media_type, head.kind, head.text, tuple(tables))
            case _:
                raise EOFError
