"""The provider for OpenAI's Chat Completions, and for every server that speaks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sora.config import Config
from sora.engine.generation import Generate, Message, Piece
from sora.events import Reasoning, Usage
from sora.providers import chunk
from sora.providers.dialect import Answer, Dialect
from sora.providers.failure import broken, told
from sora.providers.openai_client import OpenAIClient
from sora.providers.payload import Pictures

FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class ChatCompletions(Dialect):
    """`Provider` over `POST {base URL}/chat/completions` with `stream: true`. It has no web search."""

    path = "/chat/completions"

    def __init__(self, config: Config, *, client: OpenAIClient | None = None) -> None:
        super().__init__(config, client=client)
        # OpenAI's newer models refuse `max_tokens`; the compatible servers all know it, and not all know the
        # new name.
        self._limit = "max_tokens" if config.openai_base_url else "max_completion_tokens"

    def _body(self, request: Generate, model: str, pictures: Pictures) -> dict[str, Any]:
        return {
            "model": model,
            "messages": [
                {"role": each.role, "content": _content(each, pictures)} for each in request.messages
            ],
            self._limit: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def _answer(self, request: Generate) -> Answer:
        return _Answer()


def _content(said: Message, pictures: Pictures) -> str | list[dict[str, Any]]:
    if not said.images:
        return said.content
    parts: list[dict[str, Any]] = [{"type": "text", "text": said.content}] if said.content else []
    return parts + [{"type": "image_url", "image_url": {"url": pictures.url(image)}} for image in said.images]


class _Answer(Answer):
    def __init__(self) -> None:
        super().__init__()
        self._mold = chunk.Mold()

    def fit(self, block: bytes) -> str | None:
        return self._mold.fit_block(block)

    def take(self, lines: Sequence[bytes]) -> list[Piece]:
        pieces: list[Piece] = []
        fit = self._mold.fit
        for line in lines:
            if text := fit(line):
                pieces.append(text)
                continue
            if line == b"[DONE]":
                self.done = True
                break
            try:
                said = chunk.decode(line)
            except ValueError as error:
                self.failure = broken(error)
                break
            if said.error is not None:
                self.failure = told(said.error)
                break
            for choice in said.choices or ():
                if choice.index == 0:
                    self._take(choice, pieces)
            if said.usage is not None:
                pieces.append(_usage(said.usage))
            elif said.is_text():
                self._mold.cast(line)
        return pieces

    def _take(self, choice: chunk.Choice, pieces: list[Piece]) -> None:
        delta = choice.delta
        if delta is not None:
            if reasoning := delta.reasoning_content or delta.reasoning:
                pieces.append(Reasoning(reasoning))
            if delta.content:
                pieces.append(delta.content)
            if delta.refusal:
                pieces.append(delta.refusal)
        if choice.finish_reason:
            self.finish_reason = FINISH_REASONS.get(choice.finish_reason, "other")


def _usage(tokens: chunk.Tokens) -> Usage:
    sent, made = tokens.prompt_tokens or 0, tokens.completion_tokens or 0
    return Usage(sent, made, tokens.total_tokens or sent + made)
