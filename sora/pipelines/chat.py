"""The chat: the model answers a message, knowing what was said before (WIRE.md B and C)."""

from __future__ import annotations

from typing import Literal

import msgspec


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A message of the history."""

    role: Literal["user", "assistant"]
    content: str


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A message to the model. `history` is what the client remembers; with a `conversation` (its owner's name for it) what is
    saved of that counts instead, and the message and its answer are saved there."""

    message: str
    history: tuple[Said, ...] = ()
    conversation: str = ""

    def encode(self) -> bytes:
        """The same bytes for the same request: a run's request and its MAC rest on them."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, request: bytes) -> ChatRequest:
        return msgspec.json.decode(request, type=cls)
