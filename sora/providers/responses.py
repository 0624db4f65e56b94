"""The provider for OpenAI's Responses, which can search the web."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sora.config import Config
from sora.engine.generation import Generate, Message, Piece
from sora.errors import message
from sora.events import Progress, Reasoning, Source, Usage
from sora.providers.dialect import Answer, Dialect
from sora.providers.failure import broken, told
from sora.providers.openai_client import OpenAIClient
from sora.providers.payload import Pictures
from sora.providers.response_event import Annotation, Response, ResponseEvent, decode

# Why a response is incomplete, as a finish reason.
INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}

_TEXT = "response.output_text.delta"
_REASONING = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")


class Responses(Dialect):
    """`Provider` over `POST {base URL}/responses` with `stream: true`. Nothing is left with the provider (`store: false`).

    With `request.web_search` the model may search the web, as far as SORA_WEB_SEARCH_CONTEXT says; each search is told by
    Progress, and each URL it cites is a Source, once, after the last of the text.
    """

    path = "/responses"

    def __init__(self, config: Config, *, client: OpenAIClient | None = None) -> None:
        super().__init__(config, client=client)
        self._search = {"type": "web_search", "search_context_size": config.web_search_context}

    def _body(self, request: Generate, model: str, pictures: Pictures) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "input": [{"role": each.role, "content": _content(each, pictures)} for each in request.messages],
            "max_output_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "store": False,
            "stream": True,
        }
        if request.web_search:
            body["tools"] = [self._search]
        return body

    def _answer(self, request: Generate) -> Answer:
        return ResponsesAnswer(request.locale)


def _content(said: Message, pictures: Pictures) -> str | list[dict[str, Any]]:
    if not said.images:
        return said.content
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": said.content}] if said.content else []
    return parts + [
        {"type": "input_image", "image_url": pictures.url(image), "detail": "auto"} for image in said.images
    ]


class ResponsesAnswer(Answer):
    """An answer in the events of Responses."""

    # The last events hold the whole text again, and a server may escape each letter of it.
    max_line = 16_777_216

    def __init__(self, locale: str) -> None:
        super().__init__()
        self._locale = locale

    def take(self, lines: Sequence[bytes]) -> list[Piece]:
        pieces: list[Piece] = []
        for line in lines:
            if line == b"[DONE]":  # not OpenAI's, but some gateways end every stream so
                self.done = True
                break
            try:
                said = decode(line)
            except ValueError as error:
                self.failure = broken(error)
                break
            if said.type == _TEXT or said.type == "response.refusal.delta":
                if isinstance(said.delta, str) and said.delta:
                    pieces.append(said.delta)
                continue
            self._take(said, pieces)
            if self.done or self.failure is not None:
                break
        return pieces

    def _take(self, said: ResponseEvent, pieces: list[Piece]) -> None:
        match said.type:
            case kind if kind in _REASONING:
                if isinstance(said.delta, str) and said.delta:
                    pieces.append(Reasoning(said.delta))
            case "response.reasoning_summary_part.added" if said.summary_index:
                pieces.append(Reasoning("\n\n"))
            case "response.output_text.annotation.added":
                self._cite(said.annotation)
            case "response.web_search_call.in_progress":
                pieces.append(self._search("in_progress"))
            case "response.web_search_call.completed":
                pieces.append(self._search("completed"))
            case "response.output_item.done" if said.item is not None:
                if said.item.type == "web_search_call" and said.item.status == "failed":
                    pieces.append(self._search("failed"))
            case "response.completed" | "response.incomplete":
                self._end(said.response or Response(), pieces)
            case "response.failed":
                self.failure = told(said.response and said.response.error)
            case "error":
                self.failure = told(said.error or {"code": said.code})
            case _ if said.error is not None:
                self.failure = told(said.error)

    def _cite(self, cited: Annotation | None) -> None:
        if cited is not None and cited.type == "url_citation" and cited.url:
            self.sources.setdefault(cited.url, Source(cited.url, cited.title or ""))

    def _end(self, response: Response, pieces: list[Piece]) -> None:
        details, tokens = response.incomplete_details, response.usage
        self.finish_reason = "stop" if details is None else INCOMPLETE.get(details.reason or "", "other")
        if tokens is not None:
            sent, made = tokens.input_tokens or 0, tokens.output_tokens or 0
            pieces.append(Usage(sent, made, tokens.total_tokens or sent + made))
        self.done = True

    def _search(self, status: str) -> Progress:
        return Progress("web_search", "web_search", status, message("web_searching", self._locale))
