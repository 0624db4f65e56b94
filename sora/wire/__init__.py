"""Wire formats: how events become frames. One module per format; each is a fold over a run's events from the first.

`FORMATS` names what `?format=` accepts.
"""

from __future__ import annotations

from collections.abc import Callable

from sora.wire import agent, ask, chat, chunks, native, review, text
from sora.wire.encoder import Encoder

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
