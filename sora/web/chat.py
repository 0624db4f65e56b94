"""Chat by EventSource: GETs that generate, and never do so twice (WIRE.md B, C and E)."""

from __future__ import annotations

from flask import Blueprint, Response

from sora.web import streams
from sora.web.fields import query
from sora.web.orders import of_agent, of_chat
from sora.web.query import values
from sora.web.service import principal, service

views = Blueprint("chat", __name__)


@views.get("/chat")
def chat() -> Response:
    return _chat("chat", question="query")


@views.get("/api/chat/stream")
@views.get("/chat/stream")
def chat_stream() -> Response:
    # The guide's agent has its EventSource at the same path: it names its user or its conversation, the chunks' client a history.
    fields = query()
    named = fields.has("user_id") or fields.has("conversation_id")
    chosen = values().get("format")
    if "agent" in service().engine.kinds and (
        chosen == "agent" or (chosen is None and named and not fields.has("history"))
    ):
        who = principal()
        how = streams.options(format="agent", ids=True)
        return streams.generate(how, lambda: of_agent(who, query()), principal=who)
    return _chat("chunks", question="message")


def _chat(format: str, *, question: str) -> Response:
    who = principal()
    how = streams.options(format=format, ids=True)
    return streams.generate(how, lambda: of_chat(who, query(), question=question), principal=who)
