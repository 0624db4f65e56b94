"""What is made of the data lines of a Chat Completions stream: the mold says nothing else than the decoder."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from sora.config import Config
from sora.engine.generation import Generate, Piece
from sora.providers import chunk
from sora.providers.chat_completions import ChatCompletions
from sora.providers.dialect import Answer
from sora.providers.sse import Splitter

PROVIDER = ChatCompletions(Config(openai_base_url="http://127.0.0.1:9/v1", openai_api_key="none"))
REQUEST = Generate(messages=(), models=("m",), max_tokens=1, temperature=0.0, top_p=1.0)

TEXTS = st.text(max_size=6) | st.sampled_from(
    ['"', "\\", '"content":"x"', "\\u0041", "한글 🌙", "\ud83c", "\0"]
)
KEYS = st.sampled_from(["content", 'my"content', "refusal", "reasoning", "role", "x", "c\u006fntent"])
DELTAS = st.fixed_dictionaries({"content": TEXTS}) | st.dictionaries(KEYS, TEXTS | st.none(), max_size=3)
CHOICES = st.fixed_dictionaries(
    {"index": st.sampled_from([0, 0, 0, 1]), "delta": DELTAS},
    optional={"finish_reason": st.sampled_from([None, None, "stop"]), "logprobs": st.none()},
)
CHUNKS = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, min_size=1, max_size=1) | st.lists(CHOICES, max_size=2)},
    optional={
        "id": st.sampled_from(["a", "b"]),
        "content": TEXTS,
        "usage": st.none() | st.just({"prompt_tokens": 1, "completion_tokens": 2}),
        "error": st.none() | st.just({"message": "no"}),
    },
)


@st.composite
def lines(draw: st.DrawFn) -> list[bytes]:
    """Lines of one server: some alike but for their text, some broken."""
    ascii, separators = draw(st.booleans()), draw(st.sampled_from([(",", ":"), (", ", ": ")]))

    def written(said: Any) -> bytes:
        text = json.dumps(said, ensure_ascii=ascii, separators=separators)
        return text.encode("utf-8", "surrogatepass" if ascii else "replace")

    found: list[bytes] = []
    for said in draw(st.lists(CHUNKS, min_size=1, max_size=3)):
        for text in draw(st.lists(TEXTS, max_size=4)):
            for choice in said["choices"][:1]:
                choice["delta"] = choice["delta"] | {"content": text}
            found.append(written(said))
    for at in draw(st.lists(st.integers(0, 400), max_size=2)):
        if found:
            line = found[at % len(found)]
            broken = line[: at % len(line)] + draw(st.binary(max_size=3)) + line[at % len(line) + 1 :]
            found.append(broken.replace(b"\n", b"").replace(b"\r", b""))
    return draw(st.permutations(found))


def taken(answer: Answer, line: bytes) -> tuple[list[Piece], str, str]:
    pieces = answer.take([line])
    failure, answer.failure = answer.failure, None
    reason, answer.finish_reason = answer.finish_reason, ""
    return pieces, reason, type(failure).__name__


@given(lines())
@example([b'{"choices":[{"delta":{"content":"a"}}]}', b'{"choices":[{"delta":{"content":"a"},"x":"b"}}]}'])
@example([b'{"choices":[{"delta":{"content":"a"}}]}', b'{"choices":[{"delta":{"content":"a\x01"}}]}'])
@example([b'{"choices":[{"delta":{"content":"a"}}]}', b'{"choices":[{"delta":{"content":}}]}'])
@example([b'{"choices":[{"delta":{"content":"a"}}]}', b'{"choices":[{"delta":{"content":1}}]}'])
@example([b'{"choices":[{"delta":{"my\\"content":"b","content":"b"}}]}'] * 2)
@example([b'{"content":"%b","choices":[{"delta":{"content":"a"}}]}' % text for text in (b"a", b"b")])
@example([b'{"content":"%b","choices":[{"delta":{"c\\u006fntent":"a"}}]}' % text for text in (b"a", b"b")])
@example([b'{"choices":[{"delta":{"content":"a"},"finish_reason":%b}]}' % end for end in (b"null", b'"ab"')])
def test_a_line_says_the_same_whatever_came_before_it(said: list[bytes]) -> None:
    answer = PROVIDER._answer(REQUEST)
    for line in said:
        assert taken(answer, line) == taken(PROVIDER._answer(REQUEST), line)


#: How a line may stand in a block; `event:` is as long as `data: `, and a next line may have begun.
WRITTEN = [
    "data: %b\n\n",
    "data:%b\n\n",
    "event:%b\n\n",
    "data: %b\r\n\r\n",
    "data: %b\nd",
    "data: %b\n",
    "data: %b",
    "%b\n\n",
]


@given(lines(), st.sampled_from(WRITTEN), st.data())
@example([b'{"choices":[{"delta":{"content":"a"}}]}'] * 2, "event:%b\n\n", None)
@example([b'{"choices":[{"delta":{"content":"a"}}]}'] * 2, "data: %b\nd", None)
@example([b'{"choices":[{"delta":{"content":"a"}}]}'] * 2, "data: %b\n\n", None)
def test_a_block_says_at_a_look_what_its_lines_say(
    said: list[bytes], written: str, data: st.DataObject | None
) -> None:
    answer = PROVIDER._answer(REQUEST)
    blocks = [written.encode() % line for line in said]
    if data is not None:
        blocks += [
            b"".join(data.draw(st.lists(st.sampled_from(blocks), max_size=2)))
            for _ in range(2 if blocks else 0)
        ]
        blocks += [
            data.draw(st.sampled_from([b"data: \n", b"\n\n", b'data: \n"a"\n\n\n', b"data: [DONE]\n\n"]))
        ]
    for line in said:
        taken(answer, line)
        for block in blocks:
            if text := answer.fit(block):
                fresh, splitter = PROVIDER._answer(REQUEST), Splitter()
                assert fresh.take(splitter.feed(block)) == [text] and splitter.begins(b"")
                assert not (fresh.failure or fresh.done or fresh.finish_reason)


def test_a_block_of_one_line_is_told_at_a_look() -> None:
    mold = chunk.Mold()
    line = b'{"choices":[{"index":0,"delta":{"content":"a"}}]}'
    assert mold.fit_block(b"data: %b\n\n" % line) is None
    mold.cast(line)
    assert mold.fit_block(b"data: %b\n\n" % line.replace(b'"a"', b'"b"')) == "b"
    for block in (
        b"data: %b\n",
        b"data:%b\n\n",
        b": x\ndata: %b\n\n",
        b"data: %b\n\ndata: %b\n\n",
        b"data: %b\r\n\r\n",
    ):
        assert mold.fit_block(block.replace(b"%b", line)) is None


def test_lines_that_differ_in_their_text_alone_need_no_decoding() -> None:
    mold = chunk.Mold()
    line = '{"id":"a","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}],"usage":null}'
    assert mold.fit((line % "안녕").encode()) is None
    mold.cast((line % "안녕").encode())
    assert mold.fit((line % r"\uac00 \"🌙\"").encode()) == '가 "🌙"'
    assert mold.fit((line % "").encode()) == ""
    assert mold.fit((line % "x").replace('"a"', '"b"').encode()) is None
    assert mold.fit((line % "x").replace("null}", "1}").encode()) is None


def test_a_server_whose_lines_have_no_shape_is_not_tried_for_ever() -> None:
    mold = chunk.Mold()
    lines = [f'{{"choices":[{{"delta":{{"content":"x"}}}}],"id":{number}}}'.encode() for number in range(9)]
    for line in lines:
        assert mold.fit(line) is None
        mold.cast(line)
    assert mold.fit(lines[-1]) is None
