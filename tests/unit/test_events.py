"""Events: plain values that come out of a log's storage as they went in."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.events import (
    ORIGIN,
    TERMINAL,
    Cancelled,
    Cursor,
    Delta,
    Done,
    Error,
    Event,
    Progress,
    Reasoning,
    Reset,
    Span,
    Started,
    decode,
    encode,
    text_of,
    type_of,
)
from tests.support.events import logged, ongoing, terminals, texts


@given(st.lists(logged, max_size=8))
def test_what_is_encoded_is_decoded(events: list[Event]) -> None:
    decoded = decode(encode(events))

    assert decoded == events
    assert [type(event) for event in decoded] == [type(event) for event in events]


@given(st.lists(logged, max_size=4))
def test_the_encoding_is_json_that_others_can_read(events: list[Event]) -> None:
    assert [item[0] for item in json.loads(encode(events))] == [type_of[type(event)] for event in events]


def test_the_encoding_is_compact() -> None:
    assert encode([Delta(0, "안녕")]) == '[["delta",0,"안녕"]]'.encode()
    assert encode([]) == b"[]"


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"[", b'[["delta"]]', b'[["delta","0",""]]', b'[["nothing"]]', b'[["reset",3]]', b"\xff"],
)
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(payload)


def test_a_reset_is_never_in_a_log() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(encode([Reset(3)]))


def test_every_event_has_a_name_of_its_own() -> None:
    assert set(type_of) == set(Event.__subclasses__())
    assert len(set(type_of.values())) == len(type_of)
    assert type_of[Progress] == "progress"


@given(terminals)
def test_done_error_and_cancelled_are_terminal(event: Event) -> None:
    assert type(event) in TERMINAL


@given(ongoing | st.builds(Reset, st.integers(0)))
def test_nothing_else_is_terminal(event: Event) -> None:
    assert type(event) not in TERMINAL


def test_events_are_equal_by_value_and_frozen() -> None:
    delta = Delta(0, "a")

    assert delta == Delta(0, "a") != Delta(1, "a")
    assert Reasoning("a") != Started("a")
    with pytest.raises(AttributeError):
        delta.text = "b"  # type: ignore[misc]


@given(st.lists(texts))
def test_the_text_is_the_deltas_joined_and_nothing_else(pieces: list[str]) -> None:
    events: list[Event] = [Started("review"), Reasoning("hm")]
    events += [Delta(index, piece) for index, piece in enumerate(pieces)]

    assert text_of([*events, Done("stop")]) == "".join(pieces)
    assert text_of([Error("internal", "no", False), Cancelled()]) == ""


def test_a_span_ends_at_its_last_event() -> None:
    assert Span(2, 4, [Delta(0, "a"), Delta(1, "b")]).end == Cursor(2, 5)


@given(st.integers(1), st.integers(0))
def test_an_empty_span_leaves_the_cursor_where_it_is(epoch: int, seq: int) -> None:
    assert Span(epoch, seq + 1, ()).end == Cursor(epoch, seq)


def test_the_origin_comes_before_the_first_event() -> None:
    assert Cursor(1, 0) == ORIGIN == Span(1, 1, ()).end
