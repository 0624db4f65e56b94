"""Wire formats: how events become frames. One module per format; each is a fold over a run's events from the first.

`FORMATS` names what `?format=` accepts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sora.events import Event
from sora.wire import agent, ask, chat, chunks, native, review, text


class Encoder(Protocol):
    """Turns one reader's events into bytes."""

    #: Whether the format can say `reset`; one that cannot says `interrupted` instead, and the stream ends.
    resets: bool
    #: Whether its clients know a failure by a body that breaks off alone: after the frame of one it is cut (WIRE.md D).
    cuts: bool

    def encode(self, event: Event, id: bytes | None) -> bytes:
        """The frames of an event, the id on the last of them; empty when the format drops the event."""
        ...


#: Format name -> maker of a fresh fold for one reader, given the reader's locale.
FORMATS: dict[str, Callable[[str], Encoder]] = {
    "native": native.Native,
    "review": review.Review,
    "text": text.Text,
    "chat": chat.Chat,
    "chat-raw": chat.ChatRaw,
    "chunks": chunks.Chunks,
    "ask": ask.Ask,
    "agent": agent.Agent,
    "agent-gzip": agent.AgentGzip,
}
