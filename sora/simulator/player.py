"""Plays actions on a connection: the body of every answer that takes time or goes wrong."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import gevent
from gevent.event import Event

from sora.simulator.actions import Action, Cut, Flush, Pause, Silence, Until, Write
from sora.simulator.recorder import Entry

HANDLER = "sora.simulator.handler"
"""The key of the WSGI environment under which the server gives its handler."""


class Player:
    """A WSGI body made of actions. A client that leaves is noticed at once, also while nothing is written.

    It needs the server's handler (server.py) for what WSGI can't say: headers without a body, a cut, a reset.
    `close()` is always called by the server; whether the actions had ended by then tells who cut the answer.
    """

    def __init__(self, actions: Iterator[Action], handler: Any, entry: Entry) -> None:
        self._actions = actions
        self._handler = handler
        self._entry = entry
        self._readable = Event()
        self._watcher: Any = None
        self._due = 0.0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._watcher is None:
            self._watch()
        for action in self._actions:
            if isinstance(action, Write):
                self._entry.tokens += action.tokens
                return action.data
            if isinstance(action, Pause):
                self._due += action.seconds
                waits = self._due - time.monotonic()
                if waits > 0:
                    self._readable.wait(waits)
                else:  # the others' turn: a write that fits the socket's buffer never waits
                    gevent.sleep(0)
            elif isinstance(action, Until):
                gevent.wait((action.event, self._readable), count=1)
            elif isinstance(action, Flush):
                self._handler.write(b"")
            elif isinstance(action, Silence):
                while not self._gone():
                    self._readable.wait()
            else:
                self._cut(action)
            if self._gone():
                raise StopIteration
        self._entry.finished = True
        raise StopIteration

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
        self._entry.cut_by_client = not self._entry.finished

    def _watch(self) -> None:
        self._due = time.monotonic()
        self._watcher = gevent.get_hub().loop.io(self._handler.socket.fileno(), 1)
        self._watcher.start(self._readable.set)

    def _gone(self) -> bool:
        """Whether the client has closed; bytes of a next request on the connection prove nothing."""
        if not self._readable.is_set():
            return False
        try:
            if self._handler.socket.recv(1, socket.MSG_PEEK) == b"":
                return True
        except OSError:
            return True
        self._watcher.stop()
        self._readable.clear()
        return False

    def _cut(self, cut: Cut) -> None:
        self._entry.finished = True
        if not self._handler.headers_sent:
            self._entry.status = None
        if cut.reset:
            self._handler.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise OSError(
            errno.EPIPE, "cut by the script"
        )  # the server closes without a last chunk and logs nothing
