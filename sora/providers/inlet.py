"""The way in under gevent: what arrives at a socket is read in the hub, at the moment it arrives."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from sora.providers.tls import Tls

_READ = 1  # libev's event: readable


class Inlet:
    """Reads a plain socket of gevent's for one greenlet at a time.

    gevent's own `recv` tries in vain, starts a watcher, waits, stops it and tries again, for each piece. This watcher
    stays on while its greenlet comes back for more, and hands it the bytes with the switch that wakes it; bytes for
    which nobody waits stay in the kernel. With `absorb` even that switch is left out, as long as the greenlet is not needed.
    """

    def __init__(self, sock: socket.socket, *, size: int, tls: Tls | None = None) -> None:
        gevent = sys.modules["gevent"]
        self._hub = gevent.get_hub()
        self._current = gevent.getcurrent
        self._recv = sock._sock.recv  # type: ignore[attr-defined]  # the socket inside: it does not wait
        self._watcher: Any = self._hub.loop.io(sock.fileno(), _READ)
        self._watching = False
        self._waiter: Any = None
        self._tls = tls
        self._size = size
        self._more = False  # the last read filled its room: there is more already
        #: Asked in the hub, where nothing may wait, with what has arrived for a waiting greenlet: what that is to be woken with;
        #: None: it has all of it, and the greenlet sleeps on.
        self.absorb: Callable[[bytes], bytes | None] | None = None

    def receive(self) -> bytes:
        """What has arrived, once something has (by TLS its content, empty while no record is whole); empty at the peer's end.
        Raises OSError, and what `absorb` raised."""
        if self._more:
            try:
                return self._arrived()
            except BlockingIOError:
                pass
        if not self._watching:
            self._watching = True
            self._watcher.start(self._readable)
        self._waiter = self._current()
        try:
            outcome: bytes | Exception = self._hub.switch()
        finally:
            self._waiter = None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def rest(self) -> None:
        """Nobody will come back for a while."""
        self.absorb = None
        if self._watching:
            self._watching = False
            self._watcher.stop()

    def close(self) -> None:
        """Let go of the socket's descriptor, which must still be open."""
        self.rest()
        self._watcher.close()

    def _arrived(self) -> bytes:
        data: bytes = self._recv(self._size)
        self._more = len(data) == self._size
        return data if self._tls is None else self._tls.open(data)

    def _readable(self) -> None:
        # In the hub: nothing here may wait.
        waiter = self._waiter
        if waiter is None:
            self.rest()
            return
        outcome: bytes | Exception | None
        try:
            outcome = self._arrived()
        except BlockingIOError:
            return
        except OSError as error:
            outcome = error
        if self.absorb is not None and isinstance(outcome, bytes) and outcome:
            try:
                outcome = self.absorb(outcome)
            except Exception as error:
                outcome = error
            if outcome is None:
                return
        self._waiter = None
        waiter.switch(outcome)
