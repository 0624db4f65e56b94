"""An HTTP client that sees every byte of a stream, and can cut it anywhere."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import jwt

from tests.support.sse import Frame, Parser

JWT_SECRET = "a secret of the tests alone, long enough for HS256"


def make_token(name: str, *, secret: str = JWT_SECRET, **claims: Any) -> str:
    """An access token for the user `name`, good for an hour; always the same uuid for the same name.

    `claims` replace the usual ones; a claim given as None is left out.
    """
    now = int(time.time())
    owner = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    usual = {"sub": owner, "uuid": owner, "username": name, "role": "ROLE_USER", "category": "access"}
    merged = {**usual, "iat": now, "exp": now + 3600, **claims}
    return jwt.encode({key: value for key, value in merged.items() if value is not None}, secret, "HS256")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Stream:
    """One request on a connection of its own, its response read as it arrives. Use it as a context manager.

    The method is POST when there is a body, else GET. Every wait on the socket lasts at most `timeout`
    seconds (TimeoutError). `frames` are all the frames so far, `raw` the bytes of the body, `started` the
    monotonic time of the request. `ended` is None while the body goes on, then "clean" after its proper end
    (the last chunk, or the length) or "cut"; one without framing (HTTP/1.0) can't tell and counts as clean.
    """

    def __init__(
        self,
        url: str,
        path: str,
        *,
        method: str | None = None,
        payload: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        last_event_id: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        fields = dict(headers or {})
        if payload is not None:
            body = json.dumps(payload, ensure_ascii=False).encode()
            fields.setdefault("Content-Type", "application/json")
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        if last_event_id is not None:
            fields["Last-Event-ID"] = last_event_id
        address = urlsplit(url)
        assert address.hostname and address.port
        self.raw = b""
        self.frames: list[Frame] = []
        self.ended: Literal["clean", "cut"] | None = None
        self.parser = Parser()
        self._given = 0
        self.started = time.monotonic()
        self.socket = socket.create_connection((address.hostname, address.port), timeout=timeout)
        self._connection = http.client.HTTPConnection(address.hostname, address.port)
        self._connection.sock = self.socket.dup()  # its own: it closes it when the body is not framed
        try:
            self._connection.request(method or ("GET" if body is None else "POST"), path, body, fields)
            self._response = self._connection.getresponse()
        except BaseException:
            self._connection.close()
            self.socket.close()
            raise
        self.status = self._response.status
        self.headers = self._response.headers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def last_event_id(self) -> str:
        """What an EventSource would send on reconnecting."""
        return self.parser.last_event_id

    def read(self, limit: int = 65536) -> bytes:
        """The next bytes of the body, as soon as there are any; b"" at its end, see `ended`."""
        if self.ended:
            return b""
        try:
            chunk = self._response.read1(limit)
        except (http.client.IncompleteRead, ConnectionError):
            self.ended = "cut"
            return b""
        if not chunk:
            self.ended = "cut" if self._response.length else "clean"
        self.raw += chunk
        self.frames += self.parser.feed(chunk, time.monotonic())
        return chunk

    def next(self) -> Frame | None:
        """Reads until there is a frame that `next` and iteration have not given yet; None at the end."""
        while len(self.frames) <= self._given and self.read():
            pass
        if len(self.frames) <= self._given:
            return None
        self._given += 1
        return self.frames[self._given - 1]

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.next()) is not None:
            yield frame

    def take(self, count: int) -> list[Frame]:
        """The next `count` frames; AssertionError when the body ends before."""
        frames = []
        for _ in range(count):
            frame = self.next()
            assert frame is not None, f"{self.ended} end after {len(self.frames)} frames: {self.raw[-300:]!r}"
            frames.append(frame)
        return frames

    def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The first coming frame that is `wanted`; AssertionError when the body ends before."""
        for frame in self:
            if wanted(frame):
                return frame
        raise AssertionError(f"{self.ended} end after {len(self.frames)} frames: {self.raw[-300:]!r}")

    def rest(self) -> list[Frame]:
        """All coming frames, to the end of the body."""
        return list(self)

    def read_and_cut(self, count: int) -> bytes:
        """Reads the body up to its byte `count` (or its end), then resets the connection; all its bytes."""
        while len(self.raw) < count and self.read(count - len(self.raw)):
            pass
        self.reset()
        return self.raw

    def reset(self) -> None:
        """Ends the connection with a RST, as a crash of this side would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Ends the connection, as a browser's close does."""
        self._response.close()
        self._connection.close()
        self.socket.close()


def request(url: str, path: str, **how: Any) -> Answer:
    """One request answered whole; the arguments are those of `Stream`."""
    with Stream(url, path, **how) as stream:
        while stream.read():
            pass
        return Answer(stream.status, stream.headers, stream.raw)
