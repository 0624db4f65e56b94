"""The application with Sora in it, and generators of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
from flask import Blueprint, Flask, Request, Response, current_app, request, session

from sora import Principal, Sora
from sora.errors import UpstreamTimeout
from sora.events import Progress, Source
from tests.support.host import notes
from tests.support.host.notes import Note, db
from tests.support.waiting import let_pass

URL_PREFIX = "/ai"
sora = Sora()
views = Blueprint("tales", __name__, url_prefix="/tales")


def who(request: Request) -> Principal | None:
    user = session.get("user")
    return Principal(user) if user else None


def create_host(database_url: str, settings: dict[str, str] | None = None) -> Flask:
    app = notes.create_app(database_url)
    app.config.update(settings or {})
    app.register_blueprint(views)
    sora.init_app(app, url_prefix=URL_PREFIX, db=db, principal_loader=who)
    return app


@views.post("/notes")
@sora.stream
def read_notes() -> Iterator[Any]:
    """Its notes, one by one, and what it was asked for: the request, the session and the database are there."""
    yield Progress("notes", "reading", "in_progress", "…")
    for text in notes.texts(session["user"]):
        yield f"{text}\n"
    yield request.get_json()["last"]
    yield Source("https://example.org/", "notes")


@views.route("/count/<int:most>", methods=["GET", "POST"])
def count(most: int) -> Response:
    """Counts, every so many `seconds`; when it is left, a note says so."""
    return sora.stream(counting(most, float(request.args.get("seconds", "0"))), name="count")


@views.post("/leaves/<int:most>")
@sora.stream(name="leaving", on_disconnect="cancel", timeout=5)
def leaves(most: int) -> Iterator[str]:
    yield from counting(most, 0.02)


@views.post("/fails/<how>")
@sora.stream
def fails(how: str) -> Iterator[str]:
    yield "so far"
    if how == "typed":
        raise UpstreamTimeout("it took long")
    raise ValueError(f"a {how} word")


@views.post("/hangs")
@sora.stream(timeout=0.3)
def hangs() -> Iterator[str]:
    yield "so far"
    let_pass(2)


@views.post("/model/<model>")
@sora.stream(name="model")
def model(model: str) -> Iterator[object]:
    client = openai.OpenAI(base_url=current_app.config["SORA_OPENAI_BASE_URL"], api_key="k", max_retries=0)
    with client:
        yield from client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )


def counting(most: int, seconds: float) -> Iterator[str]:
    try:
        for number in range(most):
            yield f"{number} "
            let_pass(seconds)
    finally:
        db.session.add(Note(owner="counter", text="left"))
        db.session.commit()
