"""The application as it was before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Blueprint, Flask, Response, abort, g, jsonify, request, session
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    text: Mapped[str]


db = SQLAlchemy(model_class=Base)
views = Blueprint("notes", __name__, url_prefix="/notes")


@views.get("/")
def list_notes() -> Response:
    return jsonify(texts(g.user))


@views.post("/")
def add_note() -> tuple[Response, int]:
    text = request.get_json()["text"]
    if not text:
        abort(422)
    db.session.add(Note(owner=g.user, text=text))
    db.session.commit()
    return jsonify(text), 201


@views.get("/broken")
def broken() -> Response:
    raise ZeroDivisionError


def texts(owner: str) -> list[str]:
    query = db.select(Note.text).filter_by(owner=owner).order_by(Note.id)
    return list(db.session.scalars(query))


def create_app(database_url: str) -> Flask:
    """The host without Sora, and without its tables."""
    app = Flask("host")
    app.config.update(SECRET_KEY="the host's own", SQLALCHEMY_DATABASE_URI=database_url)
    db.init_app(app)
    app.register_blueprint(views)

    @app.post("/login/<name>")
    def login(name: str) -> Response:
        session["user"] = name
        return jsonify(name)

    @app.before_request
    def know() -> None:
        g.user = session.get("user", "nobody")

    @app.after_request
    def sign(response: Response) -> Response:
        response.headers["X-Host"] = "notes"
        if response.is_streamed:
            response.response = through(response.response)
        return response

    @app.errorhandler(404)
    def missing(error: Exception) -> tuple[str, int]:
        return "<h1>The host has no such page</h1>", 404

    @app.errorhandler(Exception)
    def failed(error: Exception) -> tuple[str, int]:
        return f"<h1>The host failed: {type(error).__name__}</h1>", getattr(error, "code", 500)

    app.wsgi_app = Counting(app.wsgi_app)  # type: ignore[method-assign]
    return app


def through(pieces: Iterable[Any]) -> Iterator[Any]:
    yield from pieces


class Counting:
    """A middleware that wraps what the application returns."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self.pieces = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        body = self._application(environ, start_response)
        try:
            for piece in body:
                self.pieces += 1
                yield piece
        finally:
            body.close()  # type: ignore[attr-defined]
