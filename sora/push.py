"""Push: under gunicorn's gevent worker a producer's new frames go straight to the sockets of caught-up readers.

Without it each token wakes a greenlet, which goes through Flask's and gunicorn's iteration to send one chunk. This
is an optimisation behind the reader: only a response that nobody wraps is pushed to, only while its reader waits, and one writer
writes to a socket at a time. Everything else goes the ordinary way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sora.web.event_stream import BODY, Body

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def pushing(application: Application) -> Application:
    """The application, whose untouched event streams are pushed to. It must be the outermost: what wraps it would miss frames."""

    def pushed(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = application(environ, start_response)
        if isinstance(body, Body) and body is environ.get(BODY):
            return _Pushed(body, Sink(environ["gunicorn.socket"], start_response.__self__))  # type: ignore[attr-defined]
        return body

    return pushed


class Sink:
    """A client's socket after the headers are out: frames are written to it as gunicorn would frame them."""

    def __init__(self, socket: Any, response: Any) -> None:
        self._socket = socket
        self._send = socket._sock.send  # gevent's socket waits; the one inside does not
        self._response = response
        self._chunked = False

    def open(self) -> None:
        """The first piece has gone out, and the headers with it."""
        self._chunked = self._response.is_chunked()

    def offer(self, piece: bytes) -> bytes:
        """Send without waiting; returns what did not go, which `finish` must send before anything else. Raises OSError."""
        self._response.sent += len(piece)
        data = b"%X\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece
        try:
            sent = self._send(data)
        except BlockingIOError:
            return data
        return b"" if sent == len(data) else data[sent:]

    def finish(self, rest: bytes) -> None:
        """Send the rest of what was offered. Blocks cooperatively, for the socket's timeout. Raises OSError."""
        self._socket.sendall(rest)


class _Pushed:
    """Hands the body to gunicorn; from the second step on the reader may also be pushed to while it waits."""

    def __init__(self, body: Body, sink: Sink) -> None:
        self._close = body.close
        self._reader = body.reader
        self._pieces = body.reader.steps()
        self._sink = sink
        self._begun = False

    def __iter__(self) -> _Pushed:
        return self

    def __next__(self) -> bytes:
        if not self._begun:
            self._begun = True
        elif self._reader.sink is None:
            self._sink.open()
            self._reader.sink = self._sink
        while (piece := next(self._pieces)) is None:
            self._reader.wait()
        return piece

    def close(self) -> None:
        self._reader.sink = None
        self._close()
