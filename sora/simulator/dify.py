"""An answer as an app of Dify words it, and what such an app is asked."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sora.simulator.actions import Wire, encode
from sora.simulator.prompt import BadPrompt
from sora.simulator.scripts import Script

_STOP = re.compile(r"/v1/chat-messages/[^/]+/stop")
_APPS = {"app-feeling": "feeling", "app-thinking": "thinking"}
"""The apps whose key is known, and the prompt of each."""


def is_stop(path: str) -> bool:
    """Whether this is where a message is stopped."""
    return _STOP.fullmatch(path) is not None


def new_id() -> str:
    """An id as Dify's are."""
    return str(uuid.uuid4())


def app_of(authorization: str) -> tuple[str, str]:
    """The prompt of the app and its script, by a key: `app-` and a script, else the usual one. No other key is told."""
    key = authorization.removeprefix("Bearer ")
    name = key.removeprefix("app-")
    return _APPS.get(key, ""), name if name.split("-")[0] == "sim" else "sim"


def read(body: object) -> tuple[str, dict[str, Any]]:
    """What is asked, and the other fields. Raises BadPrompt for what Dify refuses too."""
    if not isinstance(body, dict):
        raise BadPrompt("The body must be a JSON object.")
    for name in ("query", "user"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise BadPrompt(f"'{name}' is required.")
    if not isinstance(body.get("inputs"), dict):
        raise BadPrompt("'inputs' must be an object.")
    return body["query"], {name: value for name, value in body.items() if name != "query"}


def refusal(status: int, detail: Mapping[str, Any]) -> dict[str, Any]:
    """Dify's error body."""
    code = {400: "invalid_param", 401: "unauthorized", 404: "not_found", 429: "too_many_requests"}.get(status)
    return {"code": code or "internal_server_error", "message": detail["message"], "status": status}


class ChatMessage(Wire):
    """One message of an app. `task` is what it is stopped by."""

    def __init__(self, script: Script, *, task: str, prompt_tokens: int) -> None:
        super().__init__(script)
        message = new_id()
        self._shared = {
            "conversation_id": new_id(),
            "message_id": message,
            "created_at": int(time.time()),
            "task_id": task,
            "id": message,
        }
        self._prompt_tokens = prompt_tokens

    def greeting(self) -> bytes:
        return b"event: ping" + self.eol * 2

    def opening(self) -> bytes:
        return b""

    def parts(self, thought: Sequence[str], shown: Iterable[str]) -> Iterator[tuple[Iterator[bytes], int]]:
        yield (self._event("agent_thought", thought=each) for each in thought), 0
        like = self._event("message", answer="@")
        yield self.saying(shown, like, empty=self._empty), 1

    def bad(self) -> bytes:
        return self._event("message")[: -1 - len(self.eol) * 2] + self.eol * 2

    def error(self) -> bytes:
        return self._event("error", **self.whole_error())

    def ending(self, tokens: int, thought: Sequence[str]) -> Iterator[bytes]:
        if self.script.filter is not None:
            yield self._event("message_replace", answer="(simulated)", reason="output_moderation")
        if self.script.finish:
            yield self._event("message_end", metadata=self._metadata(tokens, len(thought)))
        else:
            yield self.block(b"[DONE]")

    def whole(self, shown: Sequence[str], thought: Sequence[str]) -> dict[str, Any]:
        metadata = self._metadata(len(shown), len(thought))
        return {
            "event": "message",
            "mode": "chat",
            **self._shared,
            "answer": "".join(shown),
            "metadata": metadata,
        }

    def whole_error(self) -> dict[str, Any]:
        return {
            "code": "internal_server_error",
            "message": "Internal Server Error, please contact support (simulated).",
            "status": 500,
        }

    def _empty(self) -> bytes:
        return self._event("message", answer=None) + self._event("node_started", data={})

    def _event(self, event: str, **said: Any) -> bytes:
        return self.block(encode({"event": event, **self._shared, **said}))

    def _metadata(self, completion: int, thought: int) -> dict[str, Any]:
        if not self.script.usage:
            return {}
        made = completion + thought
        total = self._prompt_tokens + made
        usage = {"prompt_tokens": self._prompt_tokens, "completion_tokens": made, "total_tokens": total}
        return {"usage": usage, "retriever_resources": []}
