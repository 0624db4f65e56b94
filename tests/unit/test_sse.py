"""Frames: what a browser reads is what was written, for any text."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.wire import sse
from tests.support.events import texts
from tests.support.sse import Frame, Parser

NAMES = st.sampled_from([b"", b"delta", b"error", b"ping"])
IDS = st.none() | st.from_regex(rb"[0-9A-Za-z]{22}:[1-9]-[0-9]{1,4}", fullmatch=True)


def read(data: bytes, *cuts: int) -> list[Frame]:
    parser, frames, start = Parser(), [], 0
    for cut in (*sorted(cuts), len(data)):
        frames += parser.feed(data[start:cut])
        start = max(start, cut)
    return frames


@given(st.lists(st.tuples(texts, NAMES, IDS), max_size=5), st.data())
def test_frames_are_read_as_written_however_they_are_cut(
    written: list[tuple[str, bytes, bytes | None]], data: st.DataObject
) -> None:
    stream = b"".join([sse.frame(msgspec.json.encode(text), event=name, id=id) for text, name, id in written])
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=4))
    frames = read(stream, *cuts)

    assert [(frame.json(), frame.event) for frame in frames] == [
        (text, name.decode() or "message") for text, name, _ in written
    ]
    last = ""
    for frame, (_, _, id) in zip(frames, written, strict=True):
        last = last if id is None else id.decode()
        assert frame.id == last


@given(texts, NAMES, IDS)
def test_a_frame_is_one_block_with_line_feeds_alone(text: str, name: bytes, id: bytes | None) -> None:
    data = msgspec.json.encode(text)
    frame = sse.frame(data, event=name, id=id)
    rows = [b"event: " + name] if name else []
    rows.append(b"data: " + data)
    rows += [b"id: " + id] if id is not None else []

    assert b"\r" not in frame
    assert frame == b"\n".join(rows) + b"\n\n"


def test_the_id_stands_after_the_data() -> None:
    assert sse.frame(b"{}", event=b"done", id=b"r:1-9") == b"event: done\ndata: {}\nid: r:1-9\n\n"
    assert sse.frame(b"{}", id=b"r:1-9") == b"data: {}\nid: r:1-9\n\n"
    assert sse.frame(b"{}") == b"data: {}\n\n"


def test_a_comment_is_invisible_but_for_its_id() -> None:
    parser = Parser()

    assert parser.feed(sse.comment(b"open", id=b"r:1-0")) == []
    assert (parser.last_event_id, parser.comments) == ("r:1-0", ["open"])
    assert parser.feed(sse.comment(b"saved")) == []
    assert (parser.last_event_id, parser.comments) == ("r:1-0", ["open", "saved"])
    assert sse.comment(b"open", id=b"r:1-0") == b": open\nid: r:1-0\n\n"


def test_heartbeats_do_not_disturb_what_follows() -> None:
    frames = read(sse.HEARTBEAT + sse.PING + sse.frame(b"1"))

    assert [(frame.event, frame.data) for frame in frames] == [("ping", "{}"), ("message", "1")]
    assert sse.HEARTBEAT == b": heartbeat\n\n"
    assert sse.PING == b"event: ping\ndata: {}\n\n"


@pytest.mark.parametrize(("seconds", "shown"), [(0.5, 500), (3, 3000), (0, 0), (0.0004, 0)])
def test_retry_is_in_whole_milliseconds(seconds: float, shown: int) -> None:
    parser = Parser()

    assert parser.feed(sse.retry(seconds)) == []
    assert parser.retry == shown


@given(texts)
def test_text_is_cut_where_a_browser_would_cut_it(text: str) -> None:
    cut = sse.lines(text)

    assert "\n".join(cut) == text.replace("\r\n", "\n").replace("\r", "\n")
    frames = read(b"".join(b"data: %b\n" % line.encode() for line in cut) + b"\n")
    assert [frame.data for frame in frames] == ["\n".join(cut)]


def test_other_line_separators_are_not_line_ends() -> None:
    odd = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"

    assert sse.lines(odd) == [odd]
    assert sse.lines("a\r\nb\rc\nd\n") == ["a", "b", "c", "d", ""]
    assert [json.loads(frame.data) for frame in read(sse.frame(msgspec.json.encode(odd)))] == [odd]
