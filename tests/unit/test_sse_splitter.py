"""The splitter and the decoder of a model API's event stream."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.providers import chunk
from sora.providers.sse import MAX_LINE, LineTooLong, Splitter

ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
WORDS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1, max_size=12)
VALUES = WORDS.map(lambda word: json.dumps(word, ensure_ascii=False).encode())
NOISE = st.sampled_from(
    [b"", b": comment", b"event: x", b"data:", b"data", b"retry: 5", b"database: no", b" data: no"]
)


def split(*blocks: bytes) -> list[bytes]:
    splitter = Splitter()
    return [value for block in blocks for value in splitter.feed(block)] + splitter.end()


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    stream, values = b"", []
    for value in draw(st.lists(VALUES, max_size=6)):
        for noise in draw(st.lists(NOISE, max_size=3)):
            stream += noise + draw(ENDS)
        stream += draw(st.sampled_from([b"data: ", b"data:"])) + value + draw(ENDS)
        values.append(value)
    return stream, values


@given(streams(), st.data())
def test_any_cut_gives_the_same_values(case: tuple[bytes, list[bytes]], data: st.DataObject) -> None:
    stream, values = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    edges = [0, *cuts, len(stream)]
    blocks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert split(*blocks) == values
    assert split(*[bytes([byte]) for byte in stream]) == values


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_cut_anywhere_agree(stream: bytes, cut: int) -> None:
    assert split(stream) == split(stream[:cut], stream[cut:])


def test_a_value_comes_as_soon_as_its_line_ends() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: 1\r") == [b"1"]
    assert splitter.feed(b"\ndata: 2") == []
    assert splitter.feed(b"\n") == [b"2"]


def test_a_line_that_never_ends_is_refused() -> None:
    splitter = Splitter()
    for _ in range(MAX_LINE // 65_536):
        splitter.feed(b"x" * 65_536)
    with pytest.raises(LineTooLong):
        splitter.feed(b"x")


def test_a_line_has_the_same_bound_however_it_is_cut() -> None:
    longest = b"data: " + b"x" * (MAX_LINE - 6)
    assert len(split(longest + b"\n")) == len(split(longest[:99], longest[99:] + b"\n")) == 1
    for blocks in ([longest + b"x\n"], [longest, b"x\n"]):
        with pytest.raises(LineTooLong):
            split(*blocks)


@given(st.text(st.characters(), max_size=30))
def test_text_is_decoded_as_it_was_sent(text: str) -> None:
    for escaped in (True, False):
        line = json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=escaped)
        if escaped or not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
            (choice,) = chunk.decode(line.encode()).choices or []
            assert choice.delta is not None
            # A pair of surrogates is one character, in JSON.
            assert choice.delta.content == json.loads(json.dumps(text))


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'"x"', b'{"choices": 1}', b"\xff", b'{"choices": [{"delta": "x"}]}']
)
def test_what_is_not_a_chunk_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        chunk.decode(line)


@pytest.mark.parametrize(
    "line", [b"{}", b'{"choices": null, "usage": null}', b'{"choices": [], "x": {"y": [1]}}']
)
def test_a_chunk_may_say_nothing(line: bytes) -> None:
    assert not chunk.decode(line).choices


def test_a_block_begins_with_a_line_when_none_is_held_and_is_no_longer_than_one() -> None:
    splitter = Splitter(max_line=8)
    assert splitter.begins(b"data: 12")
    assert not splitter.begins(b"data: 123")
    splitter.feed(b"data")
    assert not splitter.begins(b"data: 1")
    splitter.feed(b": 1\n")
    assert splitter.begins(b"data: 1")
    splitter.feed(b"d")
    splitter.end()
    assert splitter.begins(b"data: 1")
