"""The provider for apps of Dify: a model behind a prompt that is kept there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sora.config import Config
from sora.engine.generation import Generate, Piece
from sora.errors import UpstreamError
from sora.events import Usage
from sora.providers.dialect import Answer, Dialect
from sora.providers.dify_event import DifyEvent, Tokens, decode
from sora.providers.failure import Failure, broken, told
from sora.providers.openai_client import OpenAIClient
from sora.providers.payload import Pictures

# Dify wants to know for whom: for all of us, so that it learns nothing of anybody.
USER = "sora"
# What another try would be told again (Dify's API reference, chat-messages, errors).
_LASTING = {
    "invalid_param",
    "app_unavailable",
    "provider_not_initialize",
    "provider_quota_exceeded",
    "model_currently_not_support",
}
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")  # it becomes part of a path


class Dify(Dialect):
    """`Provider` over `POST {SORA_DIFY_BASE_URL}/chat-messages` with `response_mode: streaming`.

    A model's name is one of `keys`, the API keys of the apps; None: `dify-thinking` and `dify-feeling`, as the settings have
    them. The last message is the query, `request.variables` the inputs; the prompt, the model and its parameters are the app's
    own. Each call is a conversation of its own. Pictures, searches, thoughts and the steps of a workflow are not passed on. A
    text that the app's moderation takes back once some of it is out is a ContentFilter. An answer that is left before its end
    is also stopped at Dify, which would write on.
    """

    path = "/chat-messages"

    def __init__(self, config: Config, *, keys: Mapping[str, str] | None = None) -> None:
        at_dify = replace(config, openai_base_url=config.dify_base_url, openai_api_key="")
        super().__init__(at_dify, client=OpenAIClient(at_dify))
        usual = {"dify-thinking": config.dify_key_t, "dify-feeling": config.dify_key_f}
        self._keys = usual if keys is None else keys

    def _body(self, request: Generate, model: str, pictures: Pictures) -> dict[str, Any]:
        return {
            "query": request.messages[-1].content,
            "inputs": request.variables,
            "response_mode": "streaming",
            "user": USER,
            "auto_generate_name": False,
        }

    def _answer(self, request: Generate) -> Answer:
        return _Answer()

    def _key(self, model: str) -> str:
        key = self._keys.get(model)
        if not key:
            raise Failure(UpstreamError("the app has no key"))
        return key

    def _left(self, model: str, answer: Answer) -> None:
        task = answer.task if isinstance(answer, _Answer) else ""
        if task:
            said = b'{"user":"%b"}' % USER.encode()
            self._aside(f"{self.path}/{task}/stop", said, key=self._key(model))


class _Answer(Answer):
    def __init__(self) -> None:
        super().__init__()
        self.task = ""
        self._said = False

    def take(self, lines: Sequence[bytes]) -> list[Piece]:
        pieces: list[Piece] = []
        for line in lines:
            if line == b"[DONE]":  # not Dify's, but some gateways end every stream so
                self.done = True
                break
            try:
                event = decode(line)
            except ValueError as error:
                self.failure = broken(error)
                break
            if not self.task and event.task_id and _ID.fullmatch(event.task_id):
                self.task = event.task_id
            self._take(event, pieces)
            if self.done or self.failure is not None:
                break
        return pieces

    def _take(self, event: DifyEvent, pieces: list[Piece]) -> None:
        match event.event:
            case "message" | "agent_message":
                if event.answer and not self.finish_reason:
                    self._said = True
                    pieces.append(event.answer)
            case "message_replace":
                if self._said:  # what is out cannot be taken back: it ends here
                    self.finish_reason = "content_filter"
                elif event.answer:
                    self._said = True
                    pieces.append(event.answer)
            case "message_end":
                self.finish_reason = self.finish_reason or "stop"
                self.done = True
                if event.metadata is not None and event.metadata.usage is not None:
                    pieces.append(_usage(event.metadata.usage))
            case "error":
                self.task = ""  # it has ended there too
                self.failure = told({"code": event.code, "status": event.status})
                self.failure.again = self.failure.again and str(event.code) not in _LASTING


def _usage(tokens: Tokens) -> Usage:
    sent, made = tokens.prompt_tokens or 0, tokens.completion_tokens or 0
    return Usage(sent, made, tokens.total_tokens or sent + made)
