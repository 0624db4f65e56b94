"""Wires the parts; the only module that knows them all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from werkzeug.middleware.proxy_fix import ProxyFix

from sora.config import Config, load, require_secrets
from sora.engine.app_server import AppServer
from sora.engine.engine import Engine
from sora.pipelines.review import ReviewPipeline
from sora.providers.chat_completions import ChatCompletions
from sora.store.crypto import Keyring
from sora.store.database import Database
from sora.store.models import Base
from sora.store.outbox import OutboxStore
from sora.store.reviews import ReviewStore
from sora.web import errors, operations, pages, reviews, runs, session, tickets
from sora.web.auth import Tokens
from sora.web.service import EXTENSION, Service

_DELIVERY_HOURS = 1 / 12  # a token for one delivery need not last: five minutes, for clocks that differ
_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


class Sora:
    """Sora in a Flask application: `Sora(app)`, or `Sora()` and `init_app(app)` later.

    Settings come from the environment and from `app.config` (the same names, SORA_…). Adds its routes and
    `app.extensions["sora"]`; starts nothing before the first run. Raises ConfigError for settings it cannot
    start with, and RuntimeError for an application that has one already.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        if EXTENSION in app.extensions:
            raise RuntimeError("this application has Sora already")
        config = load(app.config)
        require_secrets(config)
        app.extensions[EXTENSION] = _service(config)
        app.register_blueprint(_blueprint())


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Sora as an application of its own, for a WSGI server. `config` gives settings that the environment does not.

    Reads the settings and opens nothing yet but the instance folder. Raises ConfigError.
    """
    app = Flask("sora", static_folder=None)
    app.config.update(config or {})
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    Sora(app)
    settings: Config = app.extensions[EXTENSION].config
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database
    Migrate(app, SQLAlchemy(app, metadata=Base.metadata), directory=str(_MIGRATIONS))  # for `flask db` alone
    errors.handle(app)
    if proxies := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]
    return app


def _service(config: Config) -> Service:
    tokens = Tokens(config)
    keyring = Keyring(config.encryption_keys)
    config.instance.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(config.database, pool=config.database_pool, timeout=config.database_timeout)
    saved = ReviewStore(keyring)
    elsewhere = config.save_to == "http"
    engine = Engine(
        config,
        database=database,
        keyring=keyring,
        provider=ChatCompletions(config),
        pipelines=[ReviewPipeline(config, reviews=saved, outbox=OutboxStore(keyring) if elsewhere else None)],
        deliver=_app_server(config, tokens).deliver if elsewhere else None,
    )
    return Service(config, engine, saved, tokens)


def _app_server(config: Config, tokens: Tokens) -> AppServer:
    """Where finished reviews are posted: in the user's own name, if we can sign that."""

    def mint(owner: str, name: str, role: str) -> str:
        return tokens.issue(name, owner=owner, role=role, hours=_DELIVERY_HOURS)

    return AppServer(config, mint=mint if config.jwt_secret else None)


def _blueprint() -> Blueprint:
    """All our views under one name, so that in somebody else's application our error handling ends where they do."""
    ours = Blueprint("sora", __name__)
    for part in (reviews, runs, session, tickets, operations, pages):
        ours.register_blueprint(part.views)
    errors.handle(ours)
    ours.after_request(_private)
    return ours


def _private(response: Response) -> Response:
    """What we answer is one user's: no cache keeps it."""
    response.headers.setdefault("Cache-Control", "no-store")
    return response
