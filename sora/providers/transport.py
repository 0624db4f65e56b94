"""HTTP/1.1 for the model client, on sockets of our own.

The client's usual transport cannot keep a call's deadlines on a trickling stream, cannot be cancelled while
it connects, and hands out one HTTP chunk at a time. This one hands out what one read brought, and reuses a
connection in constant time.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial

import httptools
import httpx2

from sora.providers.connection import Connection, Origin, connect
from sora.providers.waiting import Waiting

# Whose call the request is that the client sends now: its interface has no place for it.
waiting_now: ContextVar[Waiting] = ContextVar("waiting_now")

#: Where a response's extensions hold its Body, for whoever wants the blocks as they are read.
BODY = "sora.body"

IDLE_SECONDS = 30.0
MAX_IDLE = 500
MAX_HEAD = 131_072
MAX_ERROR_BODY = 65_536
MAX_JOINED = 262_144


class Transport(httpx2.BaseTransport):
    """Sends each request of this thread for the call in `waiting_now`. Safe for many threads or greenlets.

    A connection whose answer was read to its end is kept for the next request, for IDLE_SECONDS. Blocks
    cooperatively under gevent, never beyond the call's deadlines. Raises httpx2's errors, UpstreamTimeout,
    CallCancelled. Does not know proxies.

    `coalesce`: once an answer's first token is there, its socket is read no sooner than so many seconds after the last time;
    what has arrived meanwhile is one block.
    """

    def __init__(self, *, coalesce: float = 0.0) -> None:
        self.coalesce = coalesce
        # Not httpx2's own: its trust store recurses without end under gevent outside Linux. SSL_CERT_FILE is
        # honoured.
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._lock = threading.Lock()
        self._idle: defaultdict[Origin, deque[Connection]] = defaultdict(deque)
        self._close = weakref.finalize(self, _close_all, self._idle)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        waiting = waiting_now.get()
        message = _message(request)
        tls = request.url.scheme == "https"
        origin = Origin(request.url.host, request.url.port or (443 if tls else 80), tls)
        connection = self._take(origin) or connect(origin, waiting, tls=self._tls)
        body = Body(self, connection, waiting)
        try:
            waiting.hold(connection.socket)
            # A server may refuse and close before it has read everything: its answer counts, not our broken
            # write.
            with contextlib.suppress(httpx2.WriteError):
                for part in message:
                    connection.send(part, waiting)
            body.read_head()
        except BaseException:
            body.close()
            raise
        headers, body.headers = body.headers, []
        return httpx2.Response(body.status, headers=headers, stream=body, extensions={BODY: body})

    def close(self) -> None:
        """Close the connections at rest; also done when nobody refers to the transport any more."""
        self._close()

    def keep(self, connection: Connection) -> None:
        """Let a connection rest until the next request. It must not be held by a call any more."""
        connection.rest()
        connection.idle_since = now = time.monotonic()
        stale: list[Connection] = []
        with self._lock:
            pool = self._idle[connection.origin]
            pool.append(connection)
            while len(pool) > MAX_IDLE or pool[0].idle_since < now - IDLE_SECONDS:
                stale.append(pool.popleft())
        for old in stale:
            old.close()

    def _take(self, origin: Origin) -> Connection | None:
        while True:
            with self._lock:
                pool = self._idle[origin]
                if not pool:
                    return None
                connection = pool.pop()
            if connection.idle_since >= time.monotonic() - IDLE_SECONDS and connection.is_quiet():
                return connection
            connection.close()


class Body(httpx2.SyncByteStream):
    """An answer under way, and its body: one block of bytes for each read of the socket."""

    def __init__(self, transport: Transport, connection: Connection, waiting: Waiting) -> None:
        self._transport = transport
        self._connection: Connection | None = connection
        self._waiting = waiting
        self._coalesce = transport.coalesce
        self._blocks: list[bytes] = []
        self.on_body = self._blocks.append  # what the parser calls most
        self._parser = httptools.HttpResponseParser(self)
        self._room = MAX_ERROR_BODY  # for more of an answer that is an error
        self._fed = False  # the parser has had, in the hub, what we are woken with
        self._headed = False
        self._framed = False
        self._reusable = False
        self._complete = False
        self._surplus = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []  # until they are asked for

    def read_head(self) -> None:
        """Wait for the status and the headers."""
        size = 0
        while not self._headed:
            size += self._read()
            if size > MAX_HEAD and not self._headed:
                raise httpx2.RemoteProtocolError("headers too long")

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self._blocks:
            if self._complete or self._room <= 0:
                raise StopIteration
            if self._coalesce and self._waiting.call.begun:
                self._waiting.pause(min(self._coalesce, self._waiting.remaining()))
            self._read()
        block = b"".join(self._blocks)
        self._blocks.clear()
        if self.status >= 400:
            self._room -= len(block)
        return block

    def absorb(self, take: Callable[[bytes], bool] | None) -> None:
        """From now on have blocks offered to `take` in gevent's hub, at the moment they arrive, while somebody waits for the next
        one; what it does not take is that. It must not wait. None: no more. Never asked without gevent, or with `coalesce`."""
        if self._connection is not None and not self._coalesce:
            self._connection.absorb(partial(self._absorbed, take) if take is not None else None)

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, close it at once if not."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        del self._parser  # it knows us: together we would wait for the collector
        self._waiting.release()
        if self._complete and self._reusable and not self._surplus:
            self._transport.keep(connection)
        else:
            connection.close()

    def _read(self) -> int:
        if self._connection is None:
            raise httpx2.StreamClosed
        try:
            data = self._connection.receive(self._waiting)
            if data and not self._fed:
                self._parser.feed_data(data)
        except httptools.HttpParserError as error:  # ours, or the one of `_absorbed`
            raise httpx2.RemoteProtocolError(type(error).__name__) from None
        self._fed = False
        if not data:
            if not self._headed:
                raise httpx2.ReadError("closed without an answer")
            if self._framed:
                raise httpx2.ReadError("closed in mid-answer")
            self._complete = True
        return len(data)

    def _absorbed(self, take: Callable[[bytes], bool], data: bytes) -> bytes | None:
        # In the hub, see Inlet.absorb.
        if self._waiting.call.cancelled:
            return data
        self._parser.feed_data(data)
        blocks = self._blocks
        if not self._complete and (not blocks or take(b"".join(blocks))):
            blocks.clear()
            return None
        self._fed = True
        return data

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._surplus = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._headed = True
            self._framed = any(
                name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers
            )

    def on_message_complete(self) -> None:
        if self._headed:
            # Now: once the message is over, the parser has forgotten.
            self._reusable = self._parser.should_keep_alive()
            self._complete = True
        else:  # an informational answer: the real one follows
            self.headers = []


def _close_all(idle: dict[Origin, deque[Connection]]) -> None:
    for pool in idle.values():
        while pool:
            pool.pop().close()


def _message(request: httpx2.Request) -> list[bytes]:
    """The request in one piece; a long body apart, because to copy it takes longer than a write."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise httpx2.LocalProtocolError("a line break in a header")
    body = request.read()
    if len(body) <= MAX_JOINED:
        return [b"\r\n".join([*lines, b"", body])]
    return [b"\r\n".join([*lines, b"", b""]), body]
