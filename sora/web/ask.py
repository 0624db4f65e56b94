"""The question with files, of the Flask original (WIRE.md D)."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response

from sora.web import form, streams
from sora.web.fields import body
from sora.web.orders import of_ask
from sora.web.service import principal, service

views = Blueprint("ask", __name__)

_OPENAI = "api.openai.com"


@views.post("/api/ask")
def ask() -> Response:
    return _ask("")


@views.post("/api/ask-4-1")
def ask_4_1() -> Response:
    return _ask(service().config.ask_model_full or _at_openai("gpt-4.1"))


@views.post("/api/ask-4-1-mini")
def ask_4_1_mini() -> Response:
    return _ask(service().config.ask_model_mini or _at_openai("gpt-4.1-mini"))


def _ask(model: str) -> Response:
    who = principal()
    how = streams.options(format="ask")
    fields, uploads = form.form(files="files") if form.sent() else (body(), [])
    run, _ = service().engine.begin(of_ask(who, fields, uploads, model=model))
    return streams.answer(run, how, principal=who)


def _at_openai(model: str) -> str:
    """The model of this name, where there is one; else empty: another server has names of its own."""
    url = service().config.openai_base_url
    return model if not url or urlsplit(url).hostname == _OPENAI else ""
