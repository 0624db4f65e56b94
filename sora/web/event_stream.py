"""An event stream as a response, and as the body that the server iterates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from flask import Response

from sora.engine.reader import Reader

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger(__name__)

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
    another class of it gets what they ask for; only an untouched one reaches the server as a Body.

    It has no whole body: a hook that asks for it gets an empty one, and a line in the log. Werkzeug would read the stream to
    its end first, and the client would see nothing until then.
    """

    implicit_sequence_conversion = False

    def __init__(self, reader: Reader, **how: Any) -> None:
        def generate() -> Iterator[bytes]:
            try:
                yield from reader
            finally:
                reader.close()  # a middleware may forget to close what it has read

        self._reader = reader
        self._pieces = generate()
        self._asked = False
        super().__init__(self._pieces, mimetype="text/event-stream", **how)
        self.call_on_close(reader.close)  # a generator that never started skips its own end

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        if self.response is not self._pieces or environ["REQUEST_METHOD"] == "HEAD":
            return super().get_app_iter(environ)
        body = environ[BODY] = Body(self._reader, self._pieces, self.close)
        return body

    @overload
    def get_data(self, as_text: Literal[False] = False) -> bytes: ...
    @overload
    def get_data(self, as_text: Literal[True]) -> str: ...
    def get_data(self, as_text: bool = False) -> bytes | str:
        """Nothing, while it is a stream."""
        if self.is_sequence:
            return super().get_data(as_text=as_text)  # type: ignore[call-overload,no-any-return]
        self._asked = True
        logger.warning(
            "an event stream was asked for its whole body and gave none: a hook should look at response.is_streamed first"
        )
        return "" if as_text else b""

    def set_data(self, value: bytes | str) -> None:
        """Answer this instead. Raises RuntimeError after `get_data`: what is made of nothing would replace the answer."""
        if self._asked:
            self.close()
            raise RuntimeError("a hook read and replaced the body of an event stream")
        super().set_data(value)

    data = property(get_data, set_data)

    def make_sequence(self) -> None:
        """Raises RuntimeError: a stream is not to be read here."""
        self.close()
        raise RuntimeError("a hook reads the whole of an event stream")

    freeze = make_sequence
