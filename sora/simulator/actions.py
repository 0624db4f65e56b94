"""What a script does, step by step, as plain data: bytes, pauses, faults. Nothing here touches a socket."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gevent.event import Event

from sora.simulator.scripts import Script
from sora.simulator.text import Answer


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes for the body, in one write; `tokens` is how many tokens they carry."""

    data: bytes
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds after the moment the step before was due, so that a pace does not drift."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Flush:
    """Send the headers although there is no body yet."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing more until the client leaves."""


@dataclass(frozen=True, slots=True)
class Cut:
    """End the TCP connection here, without the last chunk; `reset`: by RST instead of FIN."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class Until:
    """Wait for something that happens elsewhere, however long that takes."""

    event: Event


Action = Write | Pause | Flush | Silence | Cut | Until

_SPLIT_PAUSE = Pause(0.002)
"""Between the halves of a split UTF-8 sequence, so that a client on the same machine reads them apart."""


class Wire(ABC):
    """How one API words one answer: frames of a stream, or one body. Asked in the order of the methods."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.eol = b"\r\n" if script.crlf else b"\n"

    @abstractmethod
    def greeting(self) -> bytes:
        """What is sent at once, long before the first token."""

    @abstractmethod
    def opening(self) -> bytes:
        """What comes right before the first token."""

    @abstractmethod
    def parts(self, thought: Sequence[str], shown: Iterable[str]) -> Iterator[tuple[Iterator[bytes], int]]:
        """The frames of each part of the answer, made one by one, and how many text tokens each frame has."""

    @abstractmethod
    def bad(self) -> bytes:
        """A frame that is not JSON."""

    @abstractmethod
    def error(self) -> bytes:
        """The frame that tells of an error."""

    @abstractmethod
    def ending(self, tokens: int, thought: Sequence[str]) -> Iterator[bytes]:
        """The frames after the last of `tokens` text tokens."""

    @abstractmethod
    def whole(self, shown: Sequence[str], thought: Sequence[str]) -> dict[str, Any]:
        """The answer as one body."""

    @abstractmethod
    def whole_error(self) -> dict[str, Any]:
        """The body in the place of one, when it fails."""

    def block(self, data: bytes) -> bytes:
        return b"data: " + data + self.eol * 2

    def saying(self, pieces: Iterable[str], like: bytes, *, empty: Callable[[], bytes]) -> Iterator[bytes]:
        """One frame for each piece, `like` the one of the piece "@": all but the piece is the same, and encoded once. `empty`
        makes what says nothing, for a script that wants such frames in between."""
        head, tail = like.rsplit(b'"@"', 1)
        for index, piece in enumerate(pieces):
            frame = self.commented(head + encode(piece) + tail)
            yield frame + empty() if self.script.null and index % 3 == 1 else frame

    def commented(self, frame: bytes) -> bytes:
        """The frame, after comments where the script wants them."""
        if not self.script.comments:
            return frame
        return b": between" + self.eol * 2 + b": inside" + self.eol + frame


def streamed(script: Script, answer: Answer, wire: Wire) -> Iterator[Action]:
    """The actions of a streamed answer."""
    return split(_streamed(script, answer, wire)) if script.utf8 else _streamed(script, answer, wire)


def whole(script: Script, answer: Answer, wire: Wire) -> Iterator[Action]:
    """The actions of an answer that is not streamed: a pause as long as its tokens take, then one body."""
    shown = list(answer.text())
    if script.filter is not None:
        shown = shown[: script.filter]
    data = encode(wire.whole(shown, answer.reasoning()))

    yield Pause(script.headers + script.first + script.delay * len(shown))
    if script.stall is not None or script.drip:
        yield Silence()
    elif script.cut is not None or script.reset is not None:
        yield Write(data[: len(data) // 2])
        yield Cut(reset=script.reset is not None)
    elif script.badjson is not None:
        yield Write(data[: len(data) // 2], len(shown))
    elif script.error is not None or script.failed is not None:
        yield Write(encode(wire.whole_error()))
    else:
        steps: Iterator[Action] = iter((Write(data, len(shown)),))
        yield from split(steps) if script.utf8 else steps


def encode(value: object) -> bytes:
    """Compact JSON in UTF-8; text that UTF-8 can't hold (a lone surrogate) is escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _streamed(script: Script, answer: Answer, wire: Wire) -> Iterator[Action]:
    if script.headers:
        yield Pause(script.headers)
    yield Flush()
    if greeting := wire.greeting():
        yield Write(greeting)
    while script.drip:
        yield Write(b": drip" + wire.eol * 2)
        yield Pause(max(script.delay, 0.001))
    if script.first:
        yield Pause(script.first)
    if opening := wire.opening():
        yield Write(opening)

    thought = answer.reasoning()
    endings = (script.stall, script.cut, script.reset, script.error, script.failed, script.filter)
    limit = min((k for k in endings if k is not None), default=None)
    parts = wire.parts(thought, islice(answer.text(), limit))
    sent = 0
    for index, write in enumerate(_writes(parts, script.burst)):
        if index:
            yield Pause(script.delay * script.burst)
        if script.badjson is not None and sent <= script.badjson < sent + write.tokens:
            yield Write(wire.bad())
        yield write
        sent += write.tokens
    if script.badjson is not None and script.badjson >= sent:
        yield Write(wire.bad())

    if script.stall is not None:
        yield Silence()
    elif script.cut is not None or script.reset is not None:
        yield Cut(reset=script.reset is not None)
    elif script.error is not None or script.failed is not None:
        yield Write(wire.error())
    else:
        for frame in wire.ending(sent, thought):
            yield Write(frame)


def _writes(parts: Iterator[tuple[Iterator[bytes], int]], burst: int) -> Iterator[Write]:
    for frames, tokens_per_frame in parts:
        while batch := list(islice(frames, burst)):
            yield Write(b"".join(batch), len(batch) * tokens_per_frame)


def split(actions: Iterator[Action]) -> Iterator[Action]:
    """The same actions, each write cut inside the first character that takes more than one byte."""
    for action in actions:
        if isinstance(action, Write):
            inside = next((i for i, byte in enumerate(action.data) if byte & 0xC0 == 0x80), None)
            if inside is not None:
                yield Write(action.data[:inside])
                yield _SPLIT_PAUSE
                yield Write(action.data[inside:], action.tokens)
                continue
        yield action
