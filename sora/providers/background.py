"""The provider for OpenAI's Responses in the background: an answer outlives the connection and the process that asked for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import httpx2
import msgspec
import openai

from sora.engine.generation import Call, Generate, Piece, Upstream
from sora.errors import Interrupted, UpstreamError, UpstreamTimeout
from sora.events import Reasoning
from sora.providers.background_response import Whole, beyond, decode_numbered, decode_whole
from sora.providers.dialect import Answer, read
from sora.providers.failure import Failure, broken, told, unanswered
from sora.providers.openai_client import Blocks
from sora.providers.payload import Pictures
from sora.providers.response_event import ResponseEvent
from sora.providers.responses import Responses, ResponsesAnswer
from sora.providers.waiting import Waiting

POLL_SECONDS = 1.0
MAX_WHOLE = 16_777_216
T = TypeVar("T")
_ID = re.compile(r"[0-9A-Za-z_-]{1,255}")  # it becomes part of a path


class Background(Responses):
    """`Provider` over `POST {base URL}/responses` with `background: true`, which leaves the answer with the provider for a while
    (`store: true`), and `GET {base URL}/responses/{id}`.

    An answer whose connection breaks is asked for again and goes on after the last event that had come; so does a call that
    goes on with a known answer, from its first event. Where the upstream does not stream again, it is asked each second
    until the answer is whole, and what is beyond the text so far comes as one piece. A failure to ask is no failure of the
    answer: it is asked again until a deadline. A try that failed here is stopped upstream.
    """

    def _body(self, request: Generate, model: str, pictures: Pictures) -> dict[str, Any]:
        return super()._body(request, model, pictures) | {"background": True, "store": True}

    def _answer(self, request: Generate) -> Answer:
        return BackgroundAnswer(request.locale)

    def stream(self, request: Generate, call: Call) -> Iterator[Sequence[Piece]]:
        if call.known is not None:
            # Those before it have failed already.
            models = request.models
            later = models[models.index(call.known.model) + 1 :] if call.known.model in models else ()
            request = msgspec.structs.replace(request, models=(call.known.model, *later))
        return super().stream(request, call)

    def abandon(self, upstream: Upstream) -> None:
        self._aside(f"{self.path}/{upstream.id}/cancel", b"{}")

    def _one(
        self, request: Generate, model: str, waiting: Waiting, answer: Answer
    ) -> Iterator[Sequence[Piece]]:
        assert isinstance(answer, BackgroundAnswer)
        call = waiting.call
        known, call.known = call.known, None
        if known is not None:
            answer.go_on(known.id, begun=call.begun)
        elif (note := call.note) is not None:
            answer.named = lambda answer_id: note(Upstream(answer_id, model))
        try:
            yield from self._followed(request, model, waiting, answer)
        except Failure:
            if answer.id and not answer.over:
                self.abandon(Upstream(answer.id, model))
            raise
        yield self._last(answer, model)

    def _followed(
        self, request: Generate, model: str, waiting: Waiting, answer: BackgroundAnswer
    ) -> Iterator[Sequence[Piece]]:
        """The answer over as many connections as it takes. Raises Failure, Interrupted, CallCancelled."""
        body = self._again(waiting, answer) if answer.id else self._open(request, model, waiting)
        while body is not None:
            number = answer.number
            try:
                yield from read(body, waiting, answer)
                return
            except Failure as failure:
                if answer.told or not failure.again or not answer.id:
                    raise
            finally:
                body.close()
            answer.failure = None
            # A stream that brings nothing new is not asked for again.
            body = self._again(waiting, answer) if answer.number != number else None
        yield from self._polled(waiting, answer)

    def _again(self, waiting: Waiting, answer: BackgroundAnswer) -> Blocks | None:
        """Another stream of what has not come yet; None: there is none to be had."""
        if answer.number is None:
            return None
        path = f"{self.path}/{answer.id}?stream=true&starting_after={answer.number}"
        try:
            return self._patiently(lambda: self._get(path, waiting), waiting, tries=self._retries + 1)
        except Failure as failure:
            if failure.final or waiting.remaining() <= 0:
                raise
        return None

    def _polled(self, waiting: Waiting, answer: BackgroundAnswer) -> Iterator[Sequence[Piece]]:
        """The rest of the answer, once it is whole."""
        while True:
            whole = self._patiently(lambda: self._whole(waiting, answer), waiting)
            if whole.over:
                break
            # As long as it is made it is not silent: the total deadline is what is left.
            waiting.call.progressed()
            if (left := waiting.remaining()) <= 0:
                raise Failure(UpstreamTimeout("deadline passed"))
            waiting.pause(min(POLL_SECONDS, left / 2))
        if pieces := answer.take_whole(whole):
            waiting.call.progressed()
            yield pieces
        if answer.failure is not None:
            raise answer.failure

    def _whole(self, waiting: Waiting, answer: BackgroundAnswer) -> Whole:
        """The response as it is now. Raises Failure, Interrupted."""
        body = self._get(f"{self.path}/{answer.id}", waiting)
        content = bytearray()
        failure: Failure | None = None
        try:
            for block in body:
                content += block
                if len(content) > MAX_WHOLE:
                    raise Failure(UpstreamError("too large"))
            return decode_whole(bytes(content))
        except (httpx2.RequestError, UpstreamTimeout) as error:
            failure = broken(error)
        except ValueError as error:
            failure = Failure(UpstreamError(type(error).__name__))
        finally:
            body.close()
        raise failure

    def _get(self, path: str, waiting: Waiting) -> Blocks:
        try:
            return self._client.open(path, None, waiting)
        except openai.NotFoundError:
            failure = None
        except (openai.APIStatusError, openai.APIConnectionError, UpstreamTimeout) as error:
            failure = unanswered(error)
        # Outside: what the upstream said must not come along as the context of our error.
        raise failure or Interrupted("the upstream has forgotten the answer")

    @staticmethod
    def _patiently(ask: Callable[[], T], waiting: Waiting, *, tries: int = 0) -> T:
        """What `ask` returns, tried as often as that may help, `tries` times at most (0: until a deadline)."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return ask()
            except Failure as error:
                failure = error
            delay = failure.delay(attempt)
            # To connect has a deadline of its own.
            again = failure.again or isinstance(failure.error, UpstreamTimeout)
            if not again or attempt == tries or waiting.remaining() <= delay:
                raise failure
            waiting.pause(delay)


class BackgroundAnswer(ResponsesAnswer):
    """An answer that may be told in several parts, each event of it once."""

    def __init__(self, locale: str) -> None:
        super().__init__(locale)
        self.id = ""
        self.named: Callable[[str], None] | None = None  # is told the id, once
        self.number: int | None = None  # of the last event that was taken
        self.told = False  # that it has failed
        self.over = False  # upstream as well
        self._texts: list[str] = []
        self._thoughts: list[str] = []

    def go_on(self, answer_id: str, *, begun: bool) -> None:
        """Take an answer that somebody else has asked for: all but its first event, which only says that it is there."""
        self.id, self.number, self.begun = answer_id, 0, begun

    def take(self, lines: Sequence[bytes]) -> list[Piece]:
        pieces: list[Piece] = []
        for line in lines:
            number = None
            if line != b"[DONE]":
                try:
                    event = decode_numbered(line)
                except ValueError as error:
                    self.failure = broken(error)
                    break
                number = event.sequence_number
                if number is not None and self.number is not None and number <= self.number:
                    continue
                if not self.id and event.response is not None:
                    self._name(event.response.id)
            pieces += super().take((line,))
            self.number = number if number is not None else self.number
            if self.done or self.failure is not None:
                break
        self._texts += [piece for piece in pieces if isinstance(piece, str)]
        self._thoughts += [piece.text for piece in pieces if isinstance(piece, Reasoning)]
        return pieces

    def take_whole(self, whole: Whole) -> list[Piece]:
        """What the response, which is over, holds beyond what was taken before. Raises Interrupted when that is not of it."""
        thought = beyond("".join(self._thoughts), whole.reasoning)
        text = beyond("".join(self._texts), whole.text)
        if whole.status in ("failed", "cancelled"):
            self.over = True
            self.failure = told(whole.error)
        elif text is None:
            raise Interrupted("the upstream has another text now")
        pieces: list[Piece] = [Reasoning(thought)] if thought else []
        pieces += [text] if text else []
        self.begun = self.begun or bool(pieces)
        for cited in whole.citations:
            self._cite(cited)
        if self.failure is None:
            self._end(whole, pieces)
        return pieces

    def _take(self, said: ResponseEvent, pieces: list[Piece]) -> None:
        if said.type == "response.cancelled":
            self.failure = told(None)
        else:
            super()._take(said, pieces)
        self.told = self.failure is not None
        self.over = said.type in ("response.failed", "response.cancelled")

    def _name(self, answer_id: str | None) -> None:
        if answer_id and _ID.fullmatch(answer_id):
            self.id = answer_id
            if self.named is not None:
                self.named(answer_id)
