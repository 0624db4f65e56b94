"""The chat: the model answers a message, knowing what was said before (WIRE.md B and C)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy.orm import Session

from sora.config import Config
from sora.engine.generation import Generate, Message
from sora.engine.pipeline import Ended, Steps
from sora.events import Extra, Metadata, Source
from sora.pipelines.history import fitted
from sora.pipelines.prompts import built_in, given
from sora.pipelines.request import Request
from sora.store.attachments import Attachment
from sora.store.conversations import ConversationStore, Turn
from sora.store.database import Database
from sora.store.runs import Run


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A message of the history."""

    role: Literal["user", "assistant"]
    content: str


class ChatRequest(Request, frozen=True, kw_only=True):
    """A message to the model. `history` is what the client remembers; with a `conversation` (its owner's name for it) what is
    saved of that counts instead, and the message and its answer are saved there."""

    message: str
    history: tuple[Said, ...] = ()
    conversation: str = ""


class ChatPipeline:
    """One model call with the history. In a conversation the question is saved as the run begins, and the answer as it ends,
    however that is: an answer that is not whole says so by its status.

    SORA_PROMPT_CHAT replaces the built-in prompt, in both languages. Raises ConfigError for a file that cannot be read.
    """

    kind = "chat"
    on_disconnect = "continue"

    def __init__(self, config: Config, *, conversations: ConversationStore, database: Database) -> None:
        self._config = config
        self._conversations = conversations
        self._database = database
        own = given(config.prompt_chat, setting="prompt_chat")
        self._prompts = {locale: own or built_in("chat", locale) for locale in ("ko", "en")}

    def begin(self, session: Session, run: Run, request: bytes, files: Sequence[Attachment]) -> None:
        """Claims the conversation, if there is one. Raises ConversationBusy."""
        chat = ChatRequest.decode(request)
        if chat.conversation:
            conversation = self._conversations.enter(session, run, chat.conversation)
            self._conversations.say(session, conversation, "user", chat.message, run_id=run.id)

    def steps(self, run: Run, request: bytes) -> Steps:
        chat = ChatRequest.decode(request)
        history: Sequence[Said] | Sequence[Turn] = chat.history
        if chat.conversation:
            with self._database.read() as session:
                history = self._conversations.context(session, run.id)
        question, budget = Message("user", chat.message), self._config.context_tokens
        yield Generate(
            messages=fitted(history, system=self._prompts[run.locale], question=question, budget=budget),
            models=(self._config.model, *self._config.fallback_models),
            max_tokens=self._config.chat_max_tokens,
            temperature=self._config.temperature,
            top_p=self._config.top_p,
            locale=run.locale,
        )

    def save(self, session: Session, ended: Ended) -> None:
        if ChatRequest.decode(ended.request).conversation:
            save_answer(session, ended, self._conversations)


def save_answer(session: Session, ended: Ended, conversations: ConversationStore) -> None:
    """Save what a run has answered, whole or not, in the conversation that it has entered; nothing without one."""
    conversation = conversations.of_run(session, ended.run.id)
    if conversation is not None:
        conversations.say(
            session,
            conversation,
            "assistant",
            ended.text,
            run_id=ended.run.id,
            meta=_meta(ended.extras),
            status=ended.status,
        )


def _meta(extras: Sequence[Extra]) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    if sources := [{"url": extra.url, "title": extra.title} for extra in extras if isinstance(extra, Source)]:
        meta["references"] = sources
    for extra in extras:
        if isinstance(extra, Metadata):
            meta["metadata"] = meta.get("metadata", {}) | extra.data
    return meta
