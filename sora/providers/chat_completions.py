"""The provider for OpenAI's Chat Completions, and for every server that speaks it."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import openai

from sora.config import Config
from sora.engine.generation import Call, Finished, Generate, Piece, Provider
from sora.errors import ContentFilter, RunError, UpstreamError, UpstreamRateLimited, UpstreamTimeout, message
from sora.events import Progress, Reasoning, Usage
from sora.providers import chunk
from sora.providers.openai_client import Blocks, OpenAIClient
from sora.providers.sse import LineTooLong, Splitter
from sora.providers.waiting import Waiting

BACKOFF = 0.25
MAX_BACKOFF = 4.0
MAX_RETRY_AFTER = 5.0
# The text is whole: how long the usage, and then the end of the body (for the connection's next use), may
# still take.
TAIL_SECONDS = 2.0
DRAIN_SECONDS = 0.25

FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}

log = logging.getLogger(__name__)


class ChatCompletions(Provider):
    """`Provider` over `POST {base URL}/chat/completions` with `stream: true`. Safe for many threads or
    greenlets.

    A try that fails before the first text or reasoning is followed by another, `config.provider_retries`
    times for each model, then by the next model; each is told by a Progress. Not tried again on the same
    model: a timeout, 400, 404 and other refusals; on no model: 401, 403. Nothing is tried beyond the total
    deadline.
    """

    def __init__(self, config: Config) -> None:
        self._client = OpenAIClient(config)
        self._retries = config.provider_retries
        # OpenAI's newer models refuse `max_tokens`; the compatible servers all know it, and not all know the
        # new name.
        self._limit = "max_tokens" if config.openai_base_url else "max_completion_tokens"

    def stream(self, request: Generate, call: Call) -> Iterator[Sequence[Piece]]:
        waiting = Waiting(call)
        try:
            yield from self._tries(request, waiting)
        finally:
            waiting.close()

    def _tries(self, request: Generate, waiting: Waiting) -> Iterator[Sequence[Piece]]:
        failure: _Failure | None = None
        for model in request.models:
            for attempt in range(self._retries + 1):
                if failure is not None:
                    # A model's first try follows another model's last: there is nothing to wait for.
                    delay = failure.delay(attempt) if attempt else 0.0
                    waiting.call.restarted()
                    if waiting.remaining() <= delay:
                        raise failure.error
                    yield [Progress("provider", "retry", "in_progress", message("retrying", request.locale))]
                    waiting.pause(delay)
                    waiting.call.restarted()
                answer = _Answer()
                try:
                    yield from self._one(request, model, waiting, answer)
                    return
                except _Failure as error:
                    failure = error
                log.info("try %d of model %s failed: %s", attempt + 1, model, failure.error)
                if answer.begun or failure.final:
                    raise failure.error
                if not failure.again:
                    break
        raise failure.error if failure is not None else UpstreamError("no model")

    def _one(
        self, request: Generate, model: str, waiting: Waiting, answer: _Answer
    ) -> Iterator[Sequence[Piece]]:
        """One try. Raises _Failure, ContentFilter, CallCancelled."""
        body = self._open(request, model, waiting)
        try:
            yield from _read(iter(body), waiting, answer)
        finally:
            body.close()
        if answer.finish_reason == "content_filter":
            raise ContentFilter("content_filter")
        yield [Finished(answer.finish_reason or "other", model)]

    def _open(self, request: Generate, model: str, waiting: Waiting) -> Blocks:
        body = {
            "model": model,
            "messages": [{"role": each.role, "content": each.content} for each in request.messages],
            self._limit: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        try:
            return self._client.open("/chat/completions", body, waiting)
        except openai.APIStatusError as error:
            failure = _refused(error)
        except openai.APITimeoutError:
            failure = _Failure(UpstreamTimeout("deadline passed"))
        except openai.APIConnectionError as error:
            failure = _Failure(UpstreamError(type(error.__cause__ or error).__name__), again=True)
        except UpstreamTimeout as error:
            failure = _Failure(error)
        # Outside: what the upstream said must not come along as the context of our error.
        raise failure


class _Failure(Exception):
    """A try failed. again: on the same model; final: on no other either."""

    def __init__(
        self, error: RunError, *, again: bool = False, final: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.again = again
        self.final = final
        self.retry_after = retry_after

    def delay(self, attempt: int) -> float:
        """Seconds before this further try (from 1): what the upstream asks for, at most MAX_RETRY_AFTER, else
        backoff."""
        if self.retry_after is not None:
            return min(self.retry_after, MAX_RETRY_AFTER)
        return float(min(BACKOFF * 2 ** (attempt - 1), MAX_BACKOFF) * random.uniform(0.5, 1.0))


class _Answer:
    """An answer as its chunks tell it."""

    def __init__(self) -> None:
        self.begun = False
        self.done = False
        self.finish_reason = ""
        self.failure: _Failure | None = None

    def take(self, lines: Sequence[bytes]) -> list[Piece]:
        """The pieces in these data lines. At a line that tells of, or is, an error it stops: then `failure`
        is set."""
        pieces: list[Piece] = []
        for line in lines:
            if line == b"[DONE]":
                self.done = True
                break
            try:
                said = chunk.decode(line)
            except ValueError as error:
                self.failure = _Failure(UpstreamError(type(error).__name__), again=True)
                break
            if said.error is not None:
                self.failure = _told(said.error)
                break
            for choice in said.choices or ():
                if choice.index == 0:
                    self._take(choice, pieces)
            if said.usage is not None:
                pieces.append(_usage(said.usage))
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


def _read(blocks: Iterator[bytes], waiting: Waiting, answer: _Answer) -> Iterator[Sequence[Piece]]:
    """The pieces of each block together, to the end of the body. Raises _Failure when it is not the end of an
    answer."""
    splitter = Splitter()
    while not answer.done:
        block: bytes | None = None
        failure: _Failure | None = None
        try:
            block = next(blocks, None)
            lines = splitter.end() if block is None else splitter.feed(block)
        except (httpx2.RequestError, UpstreamTimeout, LineTooLong) as error:
            failure = _broken(error)
            lines = []
        pieces = answer.take(lines)
        if any(type(piece) is not Usage for piece in pieces):
            answer.begun = True
            waiting.call.progressed()
        # Asked before the reader has its turn: a slow reader is no reason to give up the upstream.
        late = waiting.remaining() <= 0
        if pieces:
            yield pieces
        if answer.failure is not None:
            raise answer.failure
        if answer.done:
            break
        if late and failure is None:
            failure = _Failure(UpstreamTimeout("deadline passed"))
        if failure is not None or block is None:
            # After its finish reason an answer is whole, whatever happens to the connection.
            if not answer.finish_reason:
                raise failure or _Failure(UpstreamError("ended without a finish reason"), again=True)
            return
        if answer.finish_reason and lines:
            waiting.limit(TAIL_SECONDS)
    _drain(blocks, waiting)


def _drain(blocks: Iterator[bytes], waiting: Waiting) -> None:
    """Read the end of the body, which nearly always is there already: only then is the connection used
    again."""
    waiting.limit(DRAIN_SECONDS)
    try:
        for _ in blocks:
            if waiting.remaining() <= 0:
                return
    except (httpx2.RequestError, UpstreamTimeout):
        return


def _broken(error: Exception) -> _Failure:
    if isinstance(error, UpstreamTimeout):
        return _Failure(error)
    return _Failure(UpstreamError(type(error).__name__), again=True)


def _refused(error: openai.APIStatusError) -> _Failure:
    status = error.status_code
    words = f"status {status}"
    if status == 429:
        return _Failure(
            UpstreamRateLimited(words), again=True, retry_after=_retry_after(error.response.headers)
        )
    if status == 408:
        return _Failure(UpstreamTimeout(words), again=True, retry_after=_retry_after(error.response.headers))
    if error.code == "content_filter":  # Azure refuses the prompt itself this way
        return _Failure(ContentFilter(words), final=True)
    again = status == 409 or status >= 500
    retry_after = _retry_after(error.response.headers) if again else None
    return _Failure(UpstreamError(words), again=again, final=status in (401, 403), retry_after=retry_after)


def _retry_after(headers: httpx2.Headers) -> float | None:
    """The header's seconds (RFC 9110, 10.2.3); a date, which would need equal clocks, counts as nothing
    said."""
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _told(error: Any) -> _Failure:
    """An error frame: {"error": {"message", "type", "code"}}; its words stay out."""
    said = {str(error.get(key)) for key in ("code", "type", "status")} if isinstance(error, dict) else set()
    if said & {"429", "rate_limit_exceeded", "rate_limit_error"}:
        return _Failure(UpstreamRateLimited("error frame"), again=True)
    return _Failure(UpstreamError("error frame"), again=True)


def _usage(tokens: chunk.Tokens) -> Usage:
    sent, made = tokens.prompt_tokens or 0, tokens.completion_tokens or 0
    return Usage(sent, made, tokens.total_tokens or sent + made)
