"""The way in under gevent: what arrives at a socket is read in the hub, at the moment it arrives."""

from __future__ import annotations

import socket
import sys
from typing import Any

_READ = 1  # libev's event: readable


class Inlet:
    """Reads a plain socket of gevent's for one greenlet at a time.

    gevent's own `recv` tries in vain, starts a watcher, waits, stops it and tries again, for each piece. This watcher
    stays on while its greenlet comes back for more, and hands it the bytes with the switch that wakes it; bytes for
    which nobody waits stay in the kernel.
    """

    def __init__(self, sock: socket.socket, *, size: int) -> None:
        gevent = sys.modules["gevent"]
        self._hub = gevent.get_hub()
        self._current = gevent.getcurrent
        self._recv = sock._sock.recv  # type: ignore[attr-defined]  # the socket inside: it does not wait
        self._watcher: Any = self._hub.loop.io(sock.fileno(), _READ)
        self._watching = False
        self._waiter: Any = None
        self._size = size
        self._more = False  # the last read filled its room: there is more already

    def receive(self) -> bytes:
        """What has arrived, once something has; empty at the peer's end. Raises OSError."""
        if self._more:
            try:
                return self._taken(self._recv(self._size))
            except BlockingIOError:
                pass
        if not self._watching:
            self._watching = True
            self._watcher.start(self._readable)
        self._waiter = self._current()
        try:
            data: bytes | OSError = self._hub.switch()
        finally:
            self._waiter = None
        if isinstance(data, OSError):
            raise data
        return self._taken(data)

    def rest(self) -> None:
        """Nobody will come back for a while."""
        if self._watching:
            self._watching = False
            self._watcher.stop()

    def close(self) -> None:
        """Let go of the socket's descriptor, which must still be open."""
        self.rest()
        self._watcher.close()

    def _taken(self, data: bytes) -> bytes:
        self._more = len(data) == self._size
        return data

    def _readable(self) -> None:
        # In the hub: nothing here may wait.
        waiter = self._waiter
        if waiter is None:
            self.rest()
            return
        try:
            outcome: bytes | OSError = self._recv(self._size)
        except BlockingIOError:
            return
        except OSError as error:
            outcome = error
        self._waiter = None
        waiter.switch(outcome)
