"""The data lines of a server-sent event stream, from bytes that may be cut anywhere."""

from __future__ import annotations

MAX_LINE = 1_048_576


class LineTooLong(ValueError):
    """A line went on beyond its bound."""


class Splitter:
    """Cuts a stream's bytes into the values of its `data:` lines, as soon as each is whole.

    Lines end with CR, LF or CRLF (WHATWG HTML, 9.2.6). Comments, other fields and empty values are left out.
    Data lines are not joined into events: the model APIs send one JSON value per line. The same bytes give
    the same values however they were cut. A line has at most `max_line` bytes, and no more than that (and one
    block) is ever held.
    """

    def __init__(self, *, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, block: bytes) -> list[bytes]:
        """The values that this block completed. Raises LineTooLong."""
        if not block:
            return []
        check = self._size + len(block) > self._max_line
        # For bytes, splitlines knows CR, LF and CRLF only. A CRLF cut in two leaves an empty line, which says
        # nothing.
        lines = block.splitlines()
        rest = b"" if block[-1] in b"\r\n" else lines.pop()
        if lines and self._parts:
            lines[0] = b"".join([*self._parts, lines[0]])
            self._parts, self._size = [], 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        if check and max(self._size, *map(len, lines), 0) > self._max_line:
            raise LineTooLong(f"a line of more than {self._max_line} bytes")
        return _values(lines)

    def begins(self, block: bytes) -> bool:
        """Whether this block begins with a line, and is no longer than one may be."""
        return not self._size and len(block) <= self._max_line

    def end(self) -> list[bytes]:
        """The value of a last line that was never ended; some servers send it so."""
        last, self._parts, self._size = b"".join(self._parts), [], 0
        return _values([last])


def _values(lines: list[bytes]) -> list[bytes]:
    return [value for line in lines if line.startswith(b"data:") and (value := line[5:].strip(b" \t"))]
