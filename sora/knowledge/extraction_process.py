"""The process that reads files for `sora.knowledge.extraction`, and what the two say to each other: messages of MessagePack,
each after its length.

A request is answered with a Refused, or with a Head, each table as a Sheet with its Rows in portions, and Whole.
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from typing import Literal

import msgspec

from sora.errors import UnreadableFile
from sora.knowledge.extract import Limits, extract

LENGTH = struct.Struct(">Q")
LARGEST = 64 * 2**20
_PIECE = 65_536
_ROWS = 500  # of a message: about a millisecond to decode


class Request(msgspec.Struct, frozen=True):
    """A file to be read in so many seconds; its content is the next message."""

    name: str
    seconds: float
    limits: Limits


class Head(msgspec.Struct, frozen=True, tag=True):
    """The beginning of what was read: all but its tables."""

    name: str
    media_type: str
    kind: Literal["text", "table", "image"]
    text: str


class Sheet(msgspec.Struct, frozen=True, tag=True):
    """A table begins."""

    name: str
    columns: tuple[str, ...]


class Rows(msgspec.Struct, frozen=True, tag=True):
    """The next rows of the table that began last."""

    rows: list[dict[str, str]]


class Whole(msgspec.Struct, frozen=True, tag=True):
    """Nothing follows."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The file is not read: an UnreadableFile with this code and these values, and nothing follows."""

    why: str
    values: dict[str, int]


Answer = Head | Sheet | Rows | Whole | Refused


def message(read: Callable[[int], bytes], *, most: int) -> bytes:
    """The next message of what `read` reads. Raises EOFError where there is none, or one of more than `most` bytes."""

    def exactly(size: int) -> bytes:
        pieces = []
        while size:
            piece = read(min(size, _PIECE))
            if not piece:
                raise EOFError
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    (length,) = LENGTH.unpack(exactly(LENGTH.size))
    if length > most:
        raise EOFError
    return exactly(length)


def _main() -> None:
    """The process: reads requests until there are no more."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal sends it to all; when to end is for the parent to say
    os.nice(5)
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer

    def say(answer: Answer) -> None:
        data = msgspec.msgpack.encode(answer)
        stdout.write(LENGTH.pack(len(data)) + data)
        stdout.flush()

    while True:
        try:
            data = message(stdin.read, most=LARGEST)
        except EOFError:
            return
        request = msgspec.msgpack.decode(data, type=Request)
        _confine(request)
        try:
            content = message(stdin.read, most=request.limits.size)
            found = extract(request.name, content, limits=request.limits)
        except UnreadableFile as error:
            say(Refused(error.why, error.values))
            continue
        say(Head(found.name, found.media_type, found.kind, found.text))
        for table in found.tables:
            say(Sheet(table.name, table.columns))
            for start in range(0, len(table.rows), _ROWS):
                say(Rows(table.rows[start : start + _ROWS]))
        say(Whole())


def _confine(request: Request) -> None:
    """The memory, and the processor time: the parent kills in time, but it may be gone itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (request.limits.memory, hard))
    used = resource.getrusage(resource.RUSAGE_SELF)
    ends = int(used.ru_utime + used.ru_stime + request.seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (ends, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    _main()
