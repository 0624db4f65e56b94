"""A TCP or TLS connection whose every blocking step keeps a call's deadlines and can be cancelled."""

from __future__ import annotations

import errno
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import httpx2

from sora.aside import cooperative
from sora.errors import UpstreamTimeout
from sora.providers.inlet import Inlet
from sora.providers.tls import Tls
from sora.providers.waiting import Waiting

READ_SIZE = 65_536
SEND_SIZE = 262_144

_Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


class Origin(NamedTuple):
    """Whom a connection talks to. tls: with TLS, and the certificate must be for `host`."""

    host: str
    port: int
    tls: bool


class Connection:
    """An open connection. One call uses it at a time; between two calls it may rest in a pool.

    Errors of the network are httpx2's (their words are class names only: no address, no content).
    """

    def __init__(self, origin: Origin, sock: socket.socket, tls: Tls | None) -> None:
        self.origin = origin
        self.socket = sock
        self.idle_since = 0.0
        self._tls = tls
        self._inlet = Inlet(sock, size=READ_SIZE, tls=tls) if cooperative() else None

    def send(self, data: bytes, waiting: Waiting) -> None:
        """Write all of it. Raises httpx2.WriteError, UpstreamTimeout, CallCancelled."""
        rest = memoryview(data)
        try:
            while rest:
                piece, rest = rest[:SEND_SIZE], rest[SEND_SIZE:]
                self.socket.settimeout(max(waiting.remaining(), 0.001))
                self.socket.sendall(piece if self._tls is None else self._tls.seal(piece))
                if rest:
                    # A peer that reads fast never makes us wait; others have their turn all the same.
                    time.sleep(0)
        except OSError as error:
            waiting.check(timed_out=_timed_out(error))
            raise httpx2.WriteError(type(error).__name__) from None

    def receive(self, waiting: Waiting) -> bytes:
        """What has arrived, at most READ_SIZE bytes; empty: the peer has ended. What is there already is read
        however late the caller comes for it. Raises httpx2.ReadError, UpstreamTimeout, CallCancelled."""
        tls = self._tls
        try:
            if tls is None:
                data = self._arrived(waiting)
            else:
                data = b""
                while not data and not tls.ended:
                    data = self._arrived(waiting)
        except OSError as error:
            waiting.check(timed_out=_timed_out(error) or waiting.remaining() <= 0)
            raise httpx2.ReadError(type(error).__name__) from None
        waiting.check(timed_out=not data and waiting.remaining() <= 0)
        return data

    def _arrived(self, waiting: Waiting) -> bytes:
        watched = waiting.watched()
        if watched and self._inlet is not None:
            return self._inlet.receive()
        self.socket.settimeout(None if watched else max(waiting.remaining(), 0.0))
        data = self.socket.recv(READ_SIZE)
        return data if self._tls is None else self._tls.open(data)

    def absorb(self, take: Callable[[bytes], bytes | None] | None) -> None:
        """Have `take` asked first, in gevent's hub, with what arrives for whoever waits in `receive` (Inlet.absorb), until the
        connection rests. Without gevent nobody is asked."""
        if self._inlet is not None:
            self._inlet.absorb = take

    def rest(self) -> None:
        """The call is over, the connection stays."""
        if self._inlet is not None:
            self._inlet.rest()

    def is_quiet(self) -> bool:
        """Whether the peer has neither closed nor said anything unasked: then it can be used again. Does not
        block."""
        try:
            self.socket.settimeout(0.0)
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close at once. Does not block; again does nothing."""
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            inlet.close()
        self.socket.close()


def connect(origin: Origin, waiting: Waiting, *, tls: ssl.SSLContext) -> Connection:
    """A new connection, within the call's connect deadline for name, TCP and TLS together.

    The addresses of the name are tried in turn, each with its share of the time left.
    Raises httpx2.ConnectError, UpstreamTimeout, CallCancelled.
    """
    ends = time.monotonic() + min(waiting.call.connect, waiting.remaining())
    addresses = _resolve(origin, waiting, ends)
    failure: Exception = httpx2.ConnectError("no address")
    for index, address in enumerate(addresses):
        left = ends - time.monotonic()
        try:
            sock = _dial(address, waiting, time.monotonic() + left / (len(addresses) - index))
        except (httpx2.ConnectError, UpstreamTimeout) as error:
            failure = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(origin, sock, _secure(sock, origin, waiting, tls, ends) if origin.tls else None)
    raise failure


def _resolve(origin: Origin, waiting: Waiting, ends: float) -> list[_Address]:
    """The addresses of a name. The resolver cannot be interrupted, so that a thread waits for it and we wait
    for the thread."""

    def ask(flags: int) -> list[_Address]:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, flags=flags)
        return [(family, address) for family, _, _, _, address in found]

    try:
        return ask(socket.AI_NUMERICHOST)
    except OSError:
        pass
    answers: list[list[_Address]] = []

    def work() -> None:
        try:
            answers.append(ask(0))
        except (OSError, UnicodeError):
            answers.append([])
        waiting.wake()

    threading.Thread(target=work, name="resolve", daemon=True).start()
    while not answers:
        left = ends - time.monotonic()
        waiting.check(timed_out=left <= 0)
        waiting.pause(left)
    return answers[0]


def _dial(address: _Address, waiting: Waiting, ends: float) -> socket.socket:
    family, target = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Under way first, held then: a shutdown reaches a connection that is being made, not one that is
        # still to be.
        sock.setblocking(False)
        code = sock.connect_ex(target)
        if code not in (0, errno.EINPROGRESS):
            raise httpx2.ConnectError(type(OSError(code, "")).__name__)
        waiting.hold(sock)
        poller = select.poll()
        poller.register(sock.fileno(), select.POLLOUT)
        ready = poller.poll(max(ends - time.monotonic(), 0.0) * 1000)
        waiting.check(timed_out=not ready)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise httpx2.ConnectError(type(OSError(code, "")).__name__)
        return sock
    except BaseException:
        waiting.release()
        sock.close()
        raise


def _secure(
    sock: socket.socket, origin: Origin, waiting: Waiting, context: ssl.SSLContext, ends: float
) -> Tls:
    """The handshake, over a socket that is held already."""
    try:
        tls = Tls(context, origin.host)
        done = tls.handshake()
        while True:
            sock.settimeout(max(ends - time.monotonic(), 0.001))
            sock.sendall(tls.seal())
            if done:
                return tls
            sock.settimeout(max(ends - time.monotonic(), 0.001))
            done = tls.handshake(sock.recv(READ_SIZE))
    except BaseException as error:
        waiting.release()
        sock.close()
        if not isinstance(error, OSError | ValueError):
            raise
        waiting.check(timed_out=isinstance(error, OSError) and _timed_out(error))
        raise httpx2.ConnectError(type(error).__name__) from None


def _timed_out(error: OSError) -> bool:
    return isinstance(error, TimeoutError | BlockingIOError)
