"""The readers of this process, and who of them has left without a word."""

from __future__ import annotations

import select
import sys
import threading
from typing import Any

from sora import metrics
from sora.engine.reader import Reader
from sora.events import Event


class Readers:
    """The readers of this process: who reads which run, and who has left without a word."""

    def __init__(self, *, send_timeout: float) -> None:
        self._send_timeout = send_timeout
        self._readers: dict[str, list[Reader]] = {}
        self._lock = threading.Lock()
        # Made by the process that reads: one that is forked would hear of its parent's.
        self._hung_up: Any = None
        self._by_fd: dict[int, Reader] = {}

    def add(self, reader: Reader, *, socket: Any = None) -> None:
        """Register a reader; `socket` is its client's: watched for a hang-up, and one write to it gets a bound."""
        with self._lock:
            self._readers[reader.run.id] = [*self._readers.get(reader.run.id, ()), reader]
        metrics.active_readers.inc()
        if socket is not None and (fd := socket.fileno()) >= 0:
            socket.settimeout(self._send_timeout)
            reader.socket, reader.socket_fd = socket, fd
            self._by_fd[fd] = reader
            self._hung_up = self._hung_up or _epoll()
            self._hung_up.register(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)

    def remove(self, reader: Reader) -> None:
        """Unregister a reader."""
        with self._lock:
            left = [other for other in self._readers.get(reader.run.id, ()) if other is not reader]
            if left:
                self._readers[reader.run.id] = left
            else:
                self._readers.pop(reader.run.id, None)
            fd, reader.socket_fd = reader.socket_fd, None
            if fd is not None and self._by_fd.get(fd) is reader:
                del self._by_fd[fd]
                self._hung_up.unregister(fd)
                reader.socket.settimeout(None)  # the connection may live on, for another request
        metrics.active_readers.dec()

    def of(self, run_id: str) -> list[Reader]:
        return list(self._readers.get(run_id, ()))

    def all(self) -> list[Reader]:
        return [reader for readers in list(self._readers.values()) for reader in readers]

    def tell(self, run_id: str, event: Event) -> None:
        """Show a run's readers an event that is not in its log."""
        for reader in self.of(run_id):
            reader.tell(event)

    def sweep(self) -> None:
        """End the readers whose clients have hung up: one system call, which costs nothing for those who have not. A client that
        shut down only its sending side counts as gone; browsers and nginx do not do that."""
        for fd, _ in self._hung_up.poll(0) if self._hung_up is not None else ():
            with self._lock:
                reader = self._by_fd.get(fd)
            if reader is not None:
                reader.leave("gone")


def _epoll() -> Any:
    """A real `select.epoll`, which gevent takes away for those who would wait with it; we only look."""
    gevent = sys.modules.get("gevent.monkey")
    return gevent.get_original("select", "epoll")() if gevent is not None else select.epoll()
