"""Chat by EventSource: GETs that generate, and never do so twice (WIRE.md B and C)."""

from __future__ import annotations

from flask import Blueprint, Response

from sora.web import streams
from sora.web.fields import query
from sora.web.orders import of_chat
from sora.web.service import principal

views = Blueprint("chat", __name__)


@views.get("/chat")
def chat() -> Response:
    return _chat("chat", question="query")


@views.get("/api/chat/stream")
@views.get("/chat/stream")
def chat_stream() -> Response:
    return _chat("chunks", question="message")


def _chat(format: str, *, question: str) -> Response:
    who = principal()
    how = streams.options(format=format, ids=True)
    return streams.generate(how, lambda: of_chat(who, query(), question=question), principal=who)
