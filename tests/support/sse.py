"""Server-sent events as the WHATWG specification reads them (HTML, 9.2.6), for any line ends and any cuts."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Frame:
    """One dispatched event. `id` is the last event id as of now, `at` the monotonic time of its last byte."""

    event: str
    data: str
    id: str
    at: float

    def json(self) -> Any:
        return json.loads(self.data)


@dataclass(slots=True)
class Parser:
    """Bytes in, frames out. An unfinished block at the end is never dispatched.

    `last_event_id` is what an EventSource would send on reconnecting: a block with an id alone moves it.
    `comments` are the comment lines without their colon, `retry` the last valid reconnection time (ms).
    """

    last_event_id: str = ""
    retry: int | None = None
    comments: list[str] = field(default_factory=list)
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    _rest: str = ""
    _started: bool = False
    _after_cr: bool = False
    _event: str = ""
    _data: list[str] = field(default_factory=list)
    _id: str = ""

    def feed(self, chunk: bytes, at: float = 0.0) -> list[Frame]:
        """The frames that `chunk` completes."""
        frames = []
        for line in self._lines(self._decoder.decode(chunk)):
            frame = self._line(line, at)
            if frame is not None:
                frames.append(frame)
        return frames

    def _lines(self, text: str) -> list[str]:
        if text and not self._started:
            self._started = True
            text = text.removeprefix("\ufeff")
        if text and self._after_cr:  # a CR ended its line at once; an LF that follows belongs to it
            text = text.removeprefix("\n")
            self._after_cr = False
        self._after_cr = self._after_cr or text.endswith("\r")
        *lines, self._rest = (self._rest + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return lines

    def _line(self, line: str, at: float) -> Frame | None:
        if not line:
            return self._dispatch(at)
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)
        return None

    def _dispatch(self, at: float) -> Frame | None:
        self.last_event_id = self._id
        data, event = "\n".join(self._data), self._event
        had_data = bool(self._data)
        self._data, self._event = [], ""
        # `data:` alone is an event with empty data: the specification's buffer then holds a line feed.
        return Frame(event or "message", data, self._id, at) if had_data else None
