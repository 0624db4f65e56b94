"""An answer as Chat Completions words it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sora.simulator.actions import Wire, encode
from sora.simulator.scripts import Script


class Completion(Wire):
    """One chat completion. `header` is what all of its chunks share (id, model, created)."""

    def __init__(
        self, script: Script, *, header: Mapping[str, Any], prompt_tokens: int, include_usage: bool
    ) -> None:
        super().__init__(script)
        self._header = header
        self._prompt_tokens = prompt_tokens
        self._include_usage = include_usage and script.usage

    def greeting(self) -> bytes:
        return b""

    def opening(self) -> bytes:
        return self._chunk(
            {"role": "assistant", "content": None if self.script.null else "", "refusal": None}
        )

    def parts(self, thought: Sequence[str], shown: Iterable[str]) -> Iterator[tuple[Iterator[bytes], int]]:
        for field, pieces, tokens in (
            ("reasoning_content", thought, 0),
            ("refusal" if self.script.refusal else "content", shown, 1),
        ):
            yield self.saying(pieces, self._chunk({field: "@"}), empty=self._empty), tokens

    def bad(self) -> bytes:
        return self.block(encode({**self._header, "choices": []})[:-9])

    def error(self) -> bytes:
        return self.block(encode(self.whole_error()))

    def ending(self, tokens: int, thought: Sequence[str]) -> Iterator[bytes]:
        if self.script.finish:
            yield self._chunk({}, self.script.finish_reason)
        if self._include_usage:
            yield self.block(
                encode({**self._header, "choices": [], "usage": self._usage(tokens, len(thought))})
            )
        if self.script.done:
            yield self.block(b"[DONE]")

    def whole(self, shown: Sequence[str], thought: Sequence[str]) -> dict[str, Any]:
        script = self.script
        message: dict[str, Any] = {"role": "assistant", "content": "".join(shown), "refusal": None}
        if script.refusal:
            message |= {"content": None, "refusal": "".join(shown)}
        if thought:
            message["reasoning_content"] = "".join(thought)
        reason = script.finish_reason if script.finish else None
        body = dict(self._header) | {
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}]
        }
        if script.usage:
            body["usage"] = self._usage(len(shown), len(thought))
        return body

    def whole_error(self) -> dict[str, Any]:
        """The error object that OpenAI sends when its own server fails in mid-stream."""
        message = "The server had an error while processing your request. Sorry about that! (simulated)"
        return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}

    def _empty(self) -> bytes:
        return self._chunk({"content": None}) + self.block(encode({**self._header, "choices": []}))

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._header, "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return self.block(encode(chunk))

    def _usage(self, completion: int, reasoning: int) -> dict[str, Any]:
        """Reasoning tokens count as completion tokens, as at OpenAI."""
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": completion + reasoning,
            "total_tokens": self._prompt_tokens + completion + reasoning,
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }
