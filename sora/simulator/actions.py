"""What a script does, step by step, as plain data: bytes, pauses, faults. Nothing here touches a socket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

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


Action = Write | Pause | Flush | Silence | Cut

_SPLIT_PAUSE = Pause(0.002)
"""Between the halves of a split UTF-8 sequence, so that a client on the same machine reads them apart."""


def streamed(
    script: Script, answer: Answer, *, header: Mapping[str, Any], include_usage: bool
) -> Iterator[Action]:
    """The actions of a streamed answer. `header` is what all of its chunks share (id, model, created)."""
    stream = _Stream(script, answer, header=header, include_usage=include_usage and script.usage)
    return _split(stream.actions()) if script.utf8 else stream.actions()


def whole(script: Script, answer: Answer, *, header: Mapping[str, Any]) -> Iterator[Action]:
    """The actions of an answer that is not streamed: a pause as long as its tokens take, then one body."""
    shown = list(answer.text())
    if script.filter is not None:
        shown = shown[: script.filter]
    thought = answer.reasoning()
    message: dict[str, Any] = {"role": "assistant", "content": "".join(shown), "refusal": None}
    if script.refusal:
        message |= {"content": None, "refusal": "".join(shown)}
    if thought:
        message["reasoning_content"] = "".join(thought)
    reason = script.finish_reason if script.finish else None
    body = dict(header) | {
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}]
    }
    if script.usage:
        body["usage"] = usage(answer.prompt_tokens, len(shown), reasoning=len(thought))
    data = encode(body)

    yield Pause(script.headers + script.first + script.delay * len(shown))
    if script.stall is not None or script.drip:
        yield Silence()
    elif script.cut is not None or script.reset is not None:
        yield Write(data[: len(data) // 2])
        yield Cut(reset=script.reset is not None)
    elif script.badjson is not None:
        yield Write(data[: len(data) // 2], len(shown))
    elif script.error is not None:
        yield Write(encode(server_error()))
    else:
        steps: Iterator[Action] = iter((Write(data, len(shown)),))
        yield from _split(steps) if script.utf8 else steps


def server_error() -> dict[str, Any]:
    """The error object that OpenAI sends when its own server fails in mid-stream."""
    message = "The server had an error while processing your request. Sorry about that! (simulated)"
    return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}


def usage(prompt: int, completion: int, *, reasoning: int = 0) -> dict[str, Any]:
    """The usage object of Chat Completions; reasoning tokens count as completion tokens, as at OpenAI."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion + reasoning,
        "total_tokens": prompt + completion + reasoning,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def encode(value: object) -> bytes:
    """Compact JSON in UTF-8; text that UTF-8 can't hold (a lone surrogate) is escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


class _Stream:
    """One streamed answer: its chunks as SSE frames, with the faults of its script at their places."""

    def __init__(
        self, script: Script, answer: Answer, *, header: Mapping[str, Any], include_usage: bool
    ) -> None:
        self._script = script
        self._answer = answer
        self._header = header
        self._include_usage = include_usage
        self._eol = b"\r\n" if script.crlf else b"\n"

    def actions(self) -> Iterator[Action]:
        script, answer = self._script, self._answer
        if script.headers:
            yield Pause(script.headers)
        yield Flush()
        while script.drip:
            yield Write(b": drip" + self._eol * 2)
            yield Pause(max(script.delay, 0.001))
        if script.first:
            yield Pause(script.first)
        yield Write(
            self._chunk({"role": "assistant", "content": None if script.null else "", "refusal": None})
        )

        thought = answer.reasoning()
        endings = (script.stall, script.cut, script.reset, script.error, script.filter)
        limit = min((k for k in endings if k is not None), default=None)
        text = self._frames("refusal" if script.refusal else "content", islice(answer.text(), limit))
        writes = chain(self._writes(self._frames("reasoning_content", thought), 0), self._writes(text, 1))
        sent = 0
        for index, write in enumerate(writes):
            if index:
                yield Pause(script.delay * script.burst)
            if script.badjson is not None and sent <= script.badjson < sent + write.tokens:
                yield Write(self._bad_json())
            yield write
            sent += write.tokens
        if script.badjson is not None and script.badjson >= sent:
            yield Write(self._bad_json())

        if script.stall is not None:
            yield Silence()
        elif script.cut is not None or script.reset is not None:
            yield Cut(reset=script.reset is not None)
        elif script.error is not None:
            yield Write(self._block(encode(server_error())))
        else:
            yield from self._end(usage(answer.prompt_tokens, sent, reasoning=len(thought)))

    def _end(self, total: Mapping[str, Any]) -> Iterator[Action]:
        if self._script.finish:
            yield Write(self._chunk({}, self._script.finish_reason))
        if self._include_usage:
            yield Write(self._block(encode({**self._header, "choices": [], "usage": total})))
        if self._script.done:
            yield Write(self._block(b"[DONE]"))

    def _frames(self, field: str, shown: Iterable[str]) -> Iterator[bytes]:
        """One frame for each piece. All but the piece is the same in each: it is encoded once."""
        head, tail = self._chunk({field: "@"}).rsplit(b'"@"', 1)
        for index, piece in enumerate(shown):
            frame = head + encode(piece) + tail
            if self._script.comments:
                frame = b": between" + self._eol * 2 + b": inside" + self._eol + frame
            if self._script.null and index % 3 == 1:
                frame += self._chunk({"content": None}) + self._block(encode({**self._header, "choices": []}))
            yield frame

    def _writes(self, frames: Iterator[bytes], tokens_per_frame: int) -> Iterator[Write]:
        while batch := list(islice(frames, self._script.burst)):
            yield Write(b"".join(batch), len(batch) * tokens_per_frame)

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._header, "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return self._block(encode(chunk))

    def _bad_json(self) -> bytes:
        return self._block(encode({**self._header, "choices": []})[:-9])

    def _block(self, data: bytes) -> bytes:
        return b"data: " + data + self._eol * 2


def _split(actions: Iterator[Action]) -> Iterator[Action]:
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
