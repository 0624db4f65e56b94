"""Wire formats: byte for byte what WIRE.md shows, and no event forgotten in any of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.errors import message
from sora.events import (
    Cancelled,
    Delta,
    Done,
    Error,
    Event,
    Metadata,
    Progress,
    Reasoning,
    Reset,
    Result,
    Source,
    Started,
    Usage,
    encode,
    type_of,
)
from sora.wire import FORMATS, sse
from tests.support.events import logged, texts
from tests.support.sse import Frame, Parser

GOLDEN = Path(__file__).parents[1] / "golden" / "wire"
RUN = "7QAbCdEfGhIjKlMnOpQrSt"

#: Each ends as a stream can end; the first has every event there is, and every text that is hard to write.
SCRIPTS: dict[str, list[Event]] = {
    "success": [
        Started("review"),
        Progress("generate", "retrying", "in_progress", "다시 시도하는 중입니다."),
        Reasoning("음… 위로가 먼저.\n"),
        Delta(0, "오늘"),
        Delta(1, " 하루"),
        Delta(2, '"그래도" \\ 괜찮아요.\n\n내일은'),
        Delta(3, "윈도우\r\n옛 맥\r끝\n"),
        Delta(4, "a\u2028b\u2029c🌱</script>\t\x07"),
        Delta(5, ""),
        Source("https://example.org/?q=1&r=2", "참고 \u2028 글"),
        Metadata(
            {
                "sessionId": "s1",
                "runId": RUN,
                "usage": {"input": 12, "output": 34, "total": 46},
                "model": "gpt-4.1-mini",
                "imageResults": [],
                "youtubeResults": [],
                "topicDrifted": False,
                "ratio": 0.5,
                "nested": {"없음": None},
            }
        ),
        Usage(12, 34, 46),
        Result({"chart_data": [1, 2], "table_data": None}),
        Done("stop"),
    ],
    "error": [
        Started("review"),
        Delta(0, "여기까지"),
        Error("upstream_error", "AI 모델이 응답하지 못했습니다.", True),
    ],
    "cancelled": [Started("review"), Delta(0, "여기까지"), Cancelled()],
    "reset": [Started("review"), Delta(0, "여기까지"), Reset(1)],
}

#: What a format leaves out (WIRE.md, "How each format shows what happens"); everything else it shows.
_TEXT_ALONE: set[type[Event]] = {Started, Progress, Reasoning, Source, Metadata, Usage, Result, Done}
DROPPED: dict[str, set[type[Event]]] = {
    "native": set(),
    "review": _TEXT_ALONE,
    "text": _TEXT_ALONE,
    "chat": _TEXT_ALONE,  # but for the id of its end
    "chat-raw": _TEXT_ALONE,
    "chunks": _TEXT_ALONE - {Done},
    "ask": _TEXT_ALONE - {Source, Metadata, Done},
    "agent": _TEXT_ALONE - {Progress, Result} | {Delta},
    "agent-gzip": _TEXT_ALONE - {Progress, Result} | {Delta},
}
ID_ALONE = {(format, Done) for format in ("chat", "chat-raw", "agent", "agent-gzip")}

SAMPLES: dict[type[Event], Event] = {type(event): event for script in SCRIPTS.values() for event in script}


def stream(format: str, *, ids: bool, locale: str = "ko") -> bytes:
    """The scripts as a golden file holds them: one stream after the other, each below a comment with its name."""
    data = b""
    for name, script in SCRIPTS.items():
        encoder = FORMATS[format](locale)
        data += sse.comment(name.encode())
        for seq, event in enumerate(script, 1):
            data += encoder.encode(event, f"{RUN}:1-{seq}".encode() if ids else None)
    return data


def frames(data: bytes) -> list[Frame]:
    return Parser().feed(data)


@pytest.mark.parametrize("ids", [True, False], ids=["ids", "plain"])
@pytest.mark.parametrize("format", FORMATS)
def test_the_bytes_are_the_golden_ones(format: str, ids: bool) -> None:
    golden = GOLDEN / f"{format}{'.ids' if ids else ''}.sse"

    assert stream(format, ids=ids).decode() == golden.read_bytes().decode()


def test_every_golden_file_is_of_a_format() -> None:
    assert {path.name.split(".")[0] for path in GOLDEN.glob("*.sse")} == set(FORMATS) == set(DROPPED)


def test_the_scripts_have_every_event() -> None:
    assert set(SAMPLES) == set(type_of)


@pytest.mark.parametrize("event", SAMPLES.values(), ids=lambda event: type_of[type(event)])
@pytest.mark.parametrize("format", FORMATS)
def test_every_event_is_either_shown_or_dropped(format: str, event: Event) -> None:
    for id in (None, b"r:1-1"):
        shown = FORMATS[format]("ko").encode(event, id)
        if (format, type(event)) in ID_ALONE:
            assert shown == (b"" if id is None else b"id: r:1-1\n\n")
        else:
            assert (shown == b"") == (type(event) in DROPPED[format])


@given(logged | st.builds(Reset, st.integers(0, 999)), st.sampled_from(sorted(FORMATS)))
def test_any_event_is_one_whole_frame_with_its_id_after_the_data(event: Event, format: str) -> None:
    encoded = FORMATS[format]("en").encode(event, b"r:1-7")
    if type(event) in DROPPED[format]:
        assert frames(encoded) == []
        return
    (frame,) = frames(encoded)

    assert frame.id == "r:1-7"
    assert encoded.endswith(b"\nid: r:1-7\n\n")
    assert encoded.count(b"\n\n") == 1
    assert b"\r" not in encoded
    assert encoded.replace(b"id: r:1-7\n", b"") == FORMATS[format]("en").encode(event, None)


@given(logged)
def test_native_frames_hold_the_whole_event(event: Event) -> None:
    (frame,) = frames(FORMATS["native"]("ko").encode(event, None))
    # An event that is one object is that object on the wire.
    whole = event.data if isinstance(event, Metadata | Result) else None
    fields = whole or {name: getattr(event, name) for name in event.__struct_fields__ if whole is None}

    assert frame.event == type_of[type(event)]
    assert frame.json() == fields


@given(st.lists(texts))
def test_a_reviews_values_join_to_the_answer(pieces: list[str]) -> None:
    encoder = FORMATS["review"]("ko")
    shown = [
        frame.json()
        for index, piece in enumerate(pieces)
        for frame in frames(encoder.encode(Delta(index, piece), None))
    ]

    assert shown == [{"seq": index, "value": piece} for index, piece in enumerate(pieces)]


@given(texts)
def test_a_chats_strings_and_chunks_are_the_text(piece: str) -> None:
    event = Delta(0, piece)
    (string,), (chunk,), (ask,) = (
        frames(FORMATS[name]("ko").encode(event, None)) for name in ("chat", "chunks", "ask")
    )

    assert string.json() == piece
    assert chunk.json() == {"chunk": piece}
    assert ask.json() == {"type": "text", "content": piece}


@given(texts)
def test_raw_quotes_hold_the_text_as_it_is(piece: str) -> None:
    """But for a carriage return, which a browser would not leave as it is."""
    (frame,) = frames(FORMATS["chat-raw"]("ko").encode(Delta(0, piece), None))

    assert (frame.json() if "\r" in piece else frame.data[1:-1]) == piece
    assert frame.data[0] == frame.data[-1] == '"'


def test_metadata_stands_in_the_content_and_beside_it() -> None:
    (frame,) = frames(FORMATS["ask"]("ko").encode(SAMPLES[Metadata], None))
    shown = frame.json()
    data = SAMPLES[Metadata].data  # type: ignore[attr-defined]

    assert shown.pop("type") == "metadata" and shown.pop("content") == data
    assert shown == {name: data[name] for name in data if name not in ("ratio", "nested")}
    (frame,) = frames(FORMATS["ask"]("ko").encode(Metadata({"model": "m"}), None))
    assert frame.json() == {"type": "metadata", "content": {"model": "m"}, "model": "m"}


@given(texts)
def test_text_has_a_data_line_for_each_line_of_text(piece: str) -> None:
    """As the original wrote it, without a space after the colon: a browser takes one leading space of a line for its own."""
    (frame,) = frames(FORMATS["text"]("ko").encode(Delta(0, piece), None))

    assert frame.data == "\n".join(line.removeprefix(" ") for line in sse.lines(piece))


@pytest.mark.parametrize("locale", ["ko", "en"])
@pytest.mark.parametrize(
    "format", [name for name in FORMATS if name not in ("native", "ask", "agent", "agent-gzip")]
)
def test_formats_without_events_of_their_own_say_every_other_end_as_an_error(
    format: str, locale: str
) -> None:
    encoder = FORMATS[format](locale)
    said = {
        type(event): frame
        for event in (Error("content_filter", "words", False), Cancelled(), Reset(3))
        for frame in frames(encoder.encode(event, None))
    }

    assert {frame.event for frame in said.values()} == {"error"}
    assert said[Error].json() == {"code": "content_filter", "message": "words", "retryable": False}
    assert said[Cancelled].json() == {
        "code": "cancelled", "message": message("cancelled", locale), "retryable": False,
    }  # fmt: skip
    assert said[Reset].json() == {
        "code": "interrupted", "message": message("interrupted", locale), "retryable": True,
    }  # fmt: skip
    assert not encoder.resets and not encoder.cuts


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Error("upstream_timeout", "words", True), "Timeout"),
        (Error("upstream_error", "words", True), "ConnectionError"),
        (Error("interrupted", "words", True), "ConnectionError"),
        (Error("upstream_rate_limited", "words", True), "RateLimited"),
        (Error("content_filter", "words", False), "ContentFilter"),
        (Error("internal", "words", False), "InternalError"),
        (Error("anything", "words", False), "InternalError"),
        (Cancelled(), "Cancelled"),
        (Reset(3), "ConnectionError"),
    ],
)
@pytest.mark.parametrize("format", ["agent", "agent-gzip"])
def test_the_agent_calls_every_other_end_by_the_guides_names(format: str, event: Event, name: str) -> None:
    (frame,) = frames(FORMATS[format]("ko").encode(event, None))
    assert frame.event == "message" and frame.json()["type"] == "error"
    assert frame.json()["data"]["error"] == name and {"code", "message", "retryable"} < set(
        frame.json()["data"]
    )


@pytest.mark.parametrize("locale", ["ko", "en"])
def test_ask_says_every_other_end_as_an_error_of_its_own_kind(locale: str) -> None:
    encoder = FORMATS["ask"](locale)
    ends = (Error("upstream_timeout", "words", True), Cancelled(), Reset(3))
    said = [frame.json() for event in ends for frame in frames(encoder.encode(event, None))]

    assert said == [
        {"type": "error", "content": {"code": code, "message": words, "retryable": retryable}}
        for code, words, retryable in (
            ("upstream_timeout", "words", True),
            ("cancelled", message("cancelled", locale), False),
            ("interrupted", message("interrupted", locale), True),
        )
    ]
    assert encoder.cuts and not encoder.resets


def test_only_native_can_reset() -> None:
    assert [name for name, make in FORMATS.items() if make("ko").resets] == ["native"]
    assert (
        FORMATS["native"]("ko").encode(Reset(3), b"r:2-3") == b'event: reset\ndata: {"seq":3}\nid: r:2-3\n\n'
    )


def test_one_event_goes_to_storage_and_to_every_reader_alike() -> None:
    """A fold of one reader leaves nothing behind for another."""
    script = SCRIPTS["success"]
    stored = encode(script)
    first, second = (
        b"".join([FORMATS["native"](locale).encode(event, None) for event in script])
        for locale in ("ko", "en")
    )

    assert first == second
    assert encode(script) == stored
