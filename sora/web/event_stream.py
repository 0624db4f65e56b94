"""An event stream as a response, and as the body that the server iterates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from flask import Response

from sora.engine.readers import Reader

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Where the environ holds the body, so that a server can see whether the body it got is still this one.
BODY = "sora.body"


class Body:
    """The frames of a reader, one piece a step. `close` ends the reader, also when no step was ever made."""

    def __init__(self, reader: Reader, pieces: Iterator[bytes], close: Callable[[], None]) -> None:
        self.reader = reader
        self._pieces = pieces
        self._close = close

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self._close()


class EventStream(Response):
    """`Response(generate(), mimetype="text/event-stream")` for a reader. Whoever replaces its iterable, wraps its body or makes
    another class of it gets what they ask for; only an untouched one reaches the server as a Body."""

    def __init__(self, reader: Reader, **how: Any) -> None:
        def generate() -> Iterator[bytes]:
            yield from reader

        self._reader = reader
        self._pieces = generate()
        super().__init__(self._pieces, mimetype="text/event-stream", **how)
        self.call_on_close(reader.close)  # a generator that never started skips its own end

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        if self.response is not self._pieces or environ["REQUEST_METHOD"] == "HEAD":
            return super().get_app_iter(environ)
        body = environ[BODY] = Body(self._reader, self._pieces, self.close)
        return body
