"""What the model APIs of OpenAI's kind have in common: tries, deadlines, a stream of data lines."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import product
from typing import Any

import httpx2
import openai

from sora.config import Config
from sora.engine.generation import Call, Finished, Generate, Piece, Provider
from sora.engine.stack import apart
from sora.errors import ContentFilter, UpstreamError, UpstreamTimeout, message
from sora.events import Progress, Source, Usage
from sora.providers.failure import Failure, broken, unanswered
from sora.providers.openai_client import Blocks, OpenAIClient
from sora.providers.payload import Pictures
from sora.providers.sse import MAX_LINE, LineTooLong, Splitter
from sora.providers.waiting import Waiting

# The text is whole: how long the usage, and then the end of the body (for the connection's next use), may
# still take.
TAIL_SECONDS = 2.0
DRAIN_SECONDS = 0.25
# What is only said to the upstream, after an answer, may take so long.
ASIDE_SECONDS = 5.0

log = logging.getLogger(__name__)


class Answer:
    """An answer as its data lines tell it."""

    max_line = MAX_LINE

    def __init__(self) -> None:
        self.begun = False
        self.done = False
        self.finish_reason = ""
        self.failure: Failure | None = None
        self.sources: dict[str, Source] = {}

    def fit(self, block: bytes) -> str | None:
        """The text that this block, which begins with a line, says and nothing else, if a look tells so; else None or empty."""
        return None

    def take(self, lines: Sequence[bytes]) -> list[Piece]:
        """The pieces in these data lines. At a line that tells of, or is, an error it stops: then `failure`
        is set."""
        raise NotImplementedError


class Dialect(Provider):
    """`Provider` over one path of an OpenAI-compatible server. Safe for many threads or greenlets.

    A try that fails before the first text or reasoning is followed by another, `config.provider_retries`
    times for each model, then by the next model; each is told by a Progress. Not tried again on the same
    model: a timeout, 400, 404 and other refusals; on no model: 401, 403. Nothing is tried beyond the total
    deadline. Several dialects may share a client, and with it the connections.
    """

    path: str

    def __init__(self, config: Config, *, client: OpenAIClient | None = None) -> None:
        self._client = client or OpenAIClient(config)
        self._retries = config.provider_retries

    @abstractmethod
    def _body(self, request: Generate, model: str, pictures: Pictures) -> dict[str, Any]:
        """What is asked for, as this API words it, with the URLs that `pictures` gives."""

    @abstractmethod
    def _answer(self, request: Generate) -> Answer:
        """Where the lines of a try's answer go."""

    def _key(self, model: str) -> str | None:
        """The key that this model goes by; None: the client's own."""
        return None

    def _left(self, model: str, answer: Answer) -> None:
        """A try ends before its answer is done. Must not block: closing the connection, which is done, tells most servers."""

    def stream(self, request: Generate, call: Call) -> Iterator[Sequence[Piece]]:
        failure: Failure | None = None
        with closing(Waiting(call)) as waiting:
            for model, attempt in product(request.models, range(self._retries + 1)):
                if failure is not None:
                    if attempt and not failure.again:
                        continue
                    # A model's first try follows another model's last: there is nothing to wait for.
                    delay = failure.delay(attempt) if attempt else 0.0
                    call.restarted()
                    if waiting.remaining() <= delay:
                        raise failure.error
                    yield [Progress("provider", "retry", "in_progress", message("retrying", request.locale))]
                    waiting.pause(delay)
                    call.restarted()
                answer = self._answer(request)
                try:
                    yield from self._one(request, model, waiting, answer)
                    return
                except Failure as error:
                    failure = error
                log.info("try %d of model %s failed: %s", attempt + 1, model, failure.error)
                if answer.begun or failure.final:
                    raise failure.error
        raise failure.error if failure is not None else UpstreamError("no model")

    def _one(
        self, request: Generate, model: str, waiting: Waiting, answer: Answer
    ) -> Iterator[Sequence[Piece]]:
        """One try. Raises Failure, ContentFilter, CallCancelled."""
        body = apart(self._open, request, model, waiting)
        try:
            yield from read(body, waiting, answer)
        finally:
            body.close()
            if not answer.done:
                self._left(model, answer)
        yield self._last(answer, model)

    def _last(self, answer: Answer, model: str) -> list[Piece]:
        """What ends a whole answer. Raises ContentFilter."""
        if answer.finish_reason == "content_filter":
            raise ContentFilter("content_filter")
        return [*answer.sources.values(), Finished(answer.finish_reason or "other", model)]

    def _aside(self, path: str, content: bytes, *, key: str | None = None) -> None:
        """POST something whose answer matters to nobody, on a thread (greenlet) of its own: whoever cancels does not wait."""
        threading.Thread(target=self._say, args=(path, content, key), name="sora-aside", daemon=True).start()

    def _say(self, path: str, content: bytes, key: str | None) -> None:
        waiting = Waiting(
            Call(connect=ASIDE_SECONDS, first_token=ASIDE_SECONDS, gap=ASIDE_SECONDS, total=ASIDE_SECONDS)
        )
        try:
            body = self._client.open(path, content, waiting, key=key)
            try:
                for _ in body:
                    pass
            finally:
                body.close()
        except (openai.APIError, httpx2.RequestError, UpstreamTimeout) as error:
            log.info("an answer was not stopped upstream: %s", type(error).__name__)
        finally:
            waiting.close()

    def _open(self, request: Generate, model: str, waiting: Waiting) -> Blocks:
        pictures = Pictures()
        content = pictures.encode(self._body(request, model, pictures))
        try:
            return self._client.open(self.path, content, waiting, key=self._key(model))
        except (openai.APIStatusError, openai.APIConnectionError, UpstreamTimeout) as error:
            failure = unanswered(error)
        # Outside: what the upstream said must not come along as the context of our error.
        raise failure


# Whether there were lines; what they say; why they cannot be read.
_Said = tuple[bool, list[Piece], Failure | None]


class _Reading:
    """What the blocks of an answer say, taken apart by whoever has them first: the hub, or the reader."""

    def __init__(self, call: Call, answer: Answer) -> None:
        self._call = call
        self._answer = answer
        self._splitter = Splitter(max_line=answer.max_line)
        self._kept: _Said | None = None

    def said(self, block: bytes | None) -> _Said:
        """By the next block; None: by the end of the body."""
        kept, self._kept = self._kept, None
        if block is not None:
            if kept is not None:
                return kept
            if self._splitter.begins(block) and (text := self._answer.fit(block)):
                return True, [text], None
        lines: list[bytes] = []
        failure: Failure | None = None
        try:
            lines = self._splitter.end() if block is None else self._splitter.feed(block)
        except LineTooLong as error:
            failure = broken(error)
        return bool(lines), self._answer.take(lines), failure

    def absorb(self, block: bytes) -> bool:
        """Whether nobody need be woken for a block: it says nothing, or text, which the call has taken."""
        absorb, answer = self._call.absorb, self._answer
        if absorb is None or answer.finish_reason:
            return False
        self._kept = self.said(block)
        _, pieces, failure = self._kept
        texts = [piece for piece in pieces if type(piece) is str]
        if failure or answer.failure or answer.done or answer.finish_reason or len(texts) != len(pieces):
            return False
        if texts:
            if not absorb(texts):
                return False
            self._call.progressed()
        self._kept = None
        return True


def read(body: Blocks, waiting: Waiting, answer: Answer) -> Iterator[Sequence[Piece]]:
    """The pieces of each block together, to the end of the body, but for text that the call absorbs. Raises Failure when it is
    not the end of an answer."""
    blocks, reading = iter(body), _Reading(waiting.call, answer)
    body.absorb(reading.absorb)
    while not answer.done:
        block: bytes | None = None
        failure: Failure | None = None
        lines = False
        pieces: list[Piece] = []  # what was said is not kept while nothing new is
        try:
            block = next(blocks, None)
        except (httpx2.RequestError, UpstreamTimeout) as error:
            failure = broken(error)
        else:
            lines, pieces, failure = reading.said(block)
        if any(type(piece) is not Usage for piece in pieces):
            waiting.call.progressed()
            # A search that is told of is a sign of life, but nothing yet that another try would repeat.
            answer.begun = answer.begun or any(type(piece) is not Progress for piece in pieces)
        # Asked before the reader has its turn: a slow reader is no reason to give up the upstream.
        late = waiting.remaining() <= 0
        if pieces:
            yield pieces
        if answer.failure is not None:
            raise answer.failure
        if answer.done:
            break
        if late and failure is None:
            failure = Failure(UpstreamTimeout("deadline passed"))
        if failure is not None or block is None:
            # After its finish reason an answer is whole, whatever happens to the connection.
            if not answer.finish_reason:
                raise failure or Failure(UpstreamError("ended without a finish reason"), again=True)
            return
        if answer.finish_reason and lines:
            waiting.limit(TAIL_SECONDS)
    body.absorb(None)
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
