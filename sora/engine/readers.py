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
        self._poll = _poll()
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
            self._poll.register(fd, select.POLLRDHUP)

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
                self._poll.unregister(fd)
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
        """End the readers whose clients have hung up: one system call, however many there are. A client that shut down only
        its sending side counts as gone; browsers and nginx do not do that."""
        for fd, _ in self._poll.poll(0):
            with self._lock:
                reader = self._by_fd.get(fd)
                if reader is not None:
                    self._poll.modify(fd, 0)  # told once
            if reader is not None:
                reader.leave("gone")


def _poll() -> Any:
    """A real `select.poll`: gevent's replacement starts a watcher for each descriptor, and we only look, never wait."""
    gevent = sys.modules.get("gevent.monkey")
    return gevent.get_original("select", "poll")() if gevent is not None else select.poll()
