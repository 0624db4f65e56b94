"""The parser the tests read streams with, against a straightforward reading of the specification."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sse import Frame, Parser

Seen = list[tuple[str, str, str]]


def parse(body: bytes) -> Seen:
    return seen(Parser().feed(body))


def seen(frames: list[Frame]) -> Seen:
    return [(frame.event, frame.data, frame.id) for frame in frames]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\n", [("message", "a", "")]),
        (b"data:a\ndata: b\n\n", [("message", "a\nb", "")]),
        (b"data:  two\n\n", [("message", " two", "")]),
        (b"event: delta\ndata: x\nid: r:1-3\n\n", [("delta", "x", "r:1-3")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
        (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "")]),
        (b"id: a\0b\ndata: x\n\n", [("message", "x", "")]),
        (b": open\n\ndata: x\n\n", [("message", "x", "")]),
        (b"event: lost\n\ndata: x\n\n", [("message", "x", "")]),
        (b"data: unfinished\n", []),
        (b"data\n\n", [("message", "", "")]),
        (b"other: x\n\n", []),
        (b"\xef\xbb\xbfdata: x\n\n", [("message", "x", "")]),
        (b"data: \xe2\x80\xa8\n\n", [("message", "\u2028", "")]),
    ],
)
def test_fields(body: bytes, expected: Seen) -> None:
    assert parse(body) == expected
    assert parse(body.replace(b"\n", b"\r\n")) == expected
    assert parse(body.replace(b"\n", b"\r")) == expected


def test_id_alone_moves_the_last_event_id() -> None:
    parser = Parser()
    assert parser.feed(b": open\nid: run:1-0\n\n") == []
    assert parser.last_event_id == "run:1-0"
    assert parser.comments == ["open"]


def test_id_of_an_unfinished_block_does_not_count() -> None:
    parser = Parser()
    parser.feed(b"data: a\nid: 1\n\ndata: b\nid: 2\n")
    assert parser.last_event_id == "1"


def test_retry_takes_digits_only() -> None:
    parser = Parser()
    parser.feed(b"retry: 1e3\nretry: 3000\nretry: -1\n\n")
    assert parser.retry == 3000


@given(
    st.lists(
        st.text(st.sampled_from("a:\r\n \0한😀\u2028"))
        | st.sampled_from(["data: x\n\n", "id: 1\r\n", "event:e\r"])
    ),
    st.data(),
)
def test_any_cut_gives_the_same_frames(parts: list[str], data: st.DataObject) -> None:
    body = "".join(parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)))))
    parser = Parser()
    frames = [
        frame
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)
        for frame in parser.feed(body[start:end])
    ]
    assert seen(frames) == reference(body.decode())


def reference(body: str) -> Seen:
    """The specification's algorithm over a whole body."""
    *lines, _ = re.split("\r\n|\r|\n", body)
    frames: Seen = []
    event, data, last = "", [], ""
    for line in lines:
        if not line:
            if data:
                frames.append((event or "message", "\n".join(data), last))
            event, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last = value
    return frames
