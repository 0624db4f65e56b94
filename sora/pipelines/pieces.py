"""What generators yield, as pieces of an answer: text, our own events, the chunks of LangChain, LlamaIndex and openai.

None of their packages is needed: what an object offers tells what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx2
import openai

from sora.engine.generation import Finished, Piece
from sora.errors import ContentFilter, RunError, UpstreamError, UpstreamRateLimited, UpstreamTimeout
from sora.events import Delta, Event, Metadata, Progress, Reasoning, Result, Source, Usage, decode, encode

_REASONS = ("stop", "length", "tool_calls", "content_filter")
_MODEL = 255  # characters of a model's name that are kept


class Pieces:
    """The pieces of one generator's items. What they say of usage, model and finish reason is told once, by `end`."""

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._reason = "stop"
        self._model = ""

    def of(self, item: object) -> Sequence[Piece]:
        """The pieces of an item. Raises TypeError or ValueError for one that is no text, no chunk and no event that may stand in
        an answer, and UpstreamError for one that tells of a failure."""
        if isinstance(item, str):
            return [_text(item)]
        if isinstance(item, Event):
            return self._event(item)
        if isinstance(item, Finished):
            self._reason, self._model = item.finish_reason, item.model
            return []
        return list(self._chunk(item))

    def end(self) -> Sequence[Piece]:
        """What comes last. Raises ContentFilter when that is how it ended."""
        if self._reason == "content_filter":
            raise ContentFilter("content_filter")
        usage = [self._usage] if self._usage is not None else []
        return [*usage, Finished(self._reason, self._model)]

    def _event(self, event: Event) -> Sequence[Piece]:
        # What cannot be written down must not come to the log, where it would stand in the way of all other runs' events.
        (event,) = decode(encode([event]))
        match event:
            case Delta(_, text):
                return [text]  # its number is not theirs to know
            case Usage():
                self._usage = event
                return []
            case Progress() | Reasoning() | Source() | Metadata() | Result():
                return [event]
        raise TypeError(f"a generator may not yield {type(event).__name__}: return, or raise a RunError")

    def _chunk(self, item: Any) -> Iterator[Piece]:
        kind = getattr(item, "type", None)
        if hasattr(item, "choices"):
            yield from self._completion(item)
        elif isinstance(kind, str) and (kind.startswith("response.") or kind == "error"):
            yield from self._response(kind, item)
        elif hasattr(item, "delta"):  # LlamaIndex, whose `text` holds all so far
            if item.delta is not None:
                yield _text(item.delta)
        elif hasattr(item, "content"):  # LangChain
            yield from _blocks(item.content)
            self._told(getattr(item, "response_metadata", None) or {})
            self._add(getattr(item, "usage_metadata", None))
        elif hasattr(item, "text"):
            yield _text(item.text)
        else:
            raise TypeError(f"no text in a {type(item).__name__}")

    def _completion(self, item: Any) -> Iterator[Piece]:
        """A chunk of openai's Chat Completions or Completions."""
        self._model = (getattr(item, "model", None) or self._model)[:_MODEL]
        for choice in item.choices[:1]:
            delta = getattr(choice, "delta", None)
            text = choice.text if delta is None else delta.content
            if text:
                yield _text(text)
            self._finished(choice.finish_reason)
        if (usage := getattr(item, "usage", None)) is not None:
            self._usage = Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)

    def _response(self, kind: str, item: Any) -> Iterator[Piece]:
        """An event of openai's Responses."""
        if kind == "response.output_text.delta":
            yield _text(item.delta)
        elif kind in ("response.failed", "error"):
            raise UpstreamError(kind)
        elif kind in ("response.completed", "response.incomplete"):
            self._model = str(item.response.model)[:_MODEL]
            why = item.response.incomplete_details
            if why is not None:
                self._finished("content_filter" if why.reason == "content_filter" else "length")
            if (usage := item.response.usage) is not None:
                self._usage = Usage(usage.input_tokens, usage.output_tokens, usage.total_tokens)

    def _told(self, metadata: Mapping[str, Any]) -> None:
        self._finished(metadata.get("finish_reason"))
        self._model = str(metadata.get("model_name") or self._model)[:_MODEL]

    def _finished(self, reason: str | None) -> None:
        if reason:
            self._reason = reason if reason in _REASONS else "other"

    def _add(self, usage: Mapping[str, int] | None) -> None:
        """LangChain's chunks each tell a part of the usage."""
        if usage:
            before = self._usage or Usage(0, 0, 0)
            self._usage = Usage(
                before.input_tokens + usage["input_tokens"],
                before.output_tokens + usage["output_tokens"],
                before.total_tokens + usage["total_tokens"],
            )


def typed(error: BaseException) -> RunError | None:
    """The error of ours that a failure of a model API is; None for any other."""
    match error:
        case RunError():
            return error
        case openai.APITimeoutError() | httpx2.TimeoutException():
            return UpstreamTimeout(type(error).__name__)
        case openai.RateLimitError():
            return UpstreamRateLimited(type(error).__name__)
        case openai.APIError() if error.code == "content_filter":
            return ContentFilter(type(error).__name__)
        case openai.APIError() | httpx2.RequestError():
            return UpstreamError(type(error).__name__)
    return None


def _blocks(content: object) -> Iterator[str]:
    """The text in LangChain's content: a text, or a list of texts and typed blocks."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Sequence):
        for block in content:
            if isinstance(block, str):
                yield block
            elif isinstance(block, Mapping) and block.get("type") == "text":
                yield _text(block.get("text"))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is a str, not a {type(value).__name__}")
    return str.__str__(value)  # LangChain's is a class of its own, which no encoder knows
