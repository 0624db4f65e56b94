"""Server-Sent Events, sans I/O: frames as bytes.

LF only; the id stands after the data (WIRE.md); every frame is a block of its own, ended by a blank line, and is written whole.
Data must be one line: JSON is, and `lines` splits raw text where the WHATWG rules would.
"""

from __future__ import annotations

import re

# A browser ends a line at CR, LF or CRLF and nowhere else; str.splitlines also cuts at U+2028 and others.
_LINE_END = re.compile(r"\r\n|\r|\n")


def frame(data: bytes, *, event: bytes = b"", id: bytes | None = None) -> bytes:
    """One event with one line of data."""
    head = b"event: %b\n" % event if event else b""
    tail = b"id: %b\n\n" % id if id is not None else b"\n"
    return b"%bdata: %b\n%b" % (head, data, tail)


def comment(text: bytes, *, id: bytes | None = None) -> bytes:
    """A comment block: invisible to EventSource, but for the id, which moves its Last-Event-ID."""
    return b": %b\nid: %b\n\n" % (text, id) if id is not None else b": %b\n\n" % text


def lone_id(id: bytes) -> bytes:
    """A block of an id alone: nothing is dispatched, but an EventSource goes on after it."""
    return b"id: %b\n\n" % id


def retry(seconds: float) -> bytes:
    """How long an EventSource waits before it connects again."""
    return b"retry: %d\n\n" % int(seconds * 1000)


def lines(text: str) -> list[str]:
    """The text cut at CRLF, CR and LF, as a browser would cut it."""
    return _LINE_END.split(text)


HEARTBEAT = comment(b"heartbeat")
PING = frame(b"{}", event=b"ping")
