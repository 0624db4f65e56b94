"""Wires the parts; the only module that knows them all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial, wraps
from typing import Any, ParamSpec, overload

import sqlalchemy as sa
from flask import Blueprint, Flask, Response
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from werkzeug.middleware.proxy_fix import ProxyFix

from sora.config import Config, load, require_secrets
from sora.engine.app_server import AppServer
from sora.engine.engine import Engine
from sora.engine.pipeline import Pipeline
from sora.errors import ConfigError, SoraError
from sora.knowledge.drift import Drift
from sora.knowledge.search import PAGES, Knowledge
from sora.knowledge.vectors import Vectors
from sora.pipelines.agent import AgentPipeline
from sora.pipelines.ask import AskPipeline
from sora.pipelines.chat import ChatPipeline
from sora.pipelines.review import ReviewPipeline
from sora.providers.choice import Choice
from sora.providers.dify import Dify
from sora.providers.embeddings import Embeddings
from sora.providers.openai_provider import OpenAIProvider
from sora.store.attachments import AttachmentStore
from sora.store.conversations import ConversationStore
from sora.store.crypto import Keyring
from sora.store.database import Database
from sora.store.models import Base
from sora.store.outbox import OutboxStore
from sora.store.reviews import ReviewStore
from sora.store.schema import MIGRATIONS
from sora.web import (
    agent,
    ask,
    chat,
    conversations,
    cors,
    documents,
    errors,
    operations,
    own,
    pages,
    reviews,
    runs,
    session,
    tickets,
)
from sora.web.auth import Tokens
from sora.web.service import EXTENSION, PrincipalLoader, Service

_DELIVERY_HOURS = 1 / 12  # a token for one delivery need not last: five minutes, for clocks that differ

#: What can be mounted.
ENDPOINTS = {
    part.views.name: part.views
    for part in (
        reviews,
        chat,
        ask,
        agent,
        conversations,
        documents,
        runs,
        session,
        tickets,
        operations,
        pages,
    )
}

#: Those whose runs ask a model of ours.
_KINDS = {"reviews", "chat", "ask", "agent"}

P = ParamSpec("P")


class Sora:
    """Sora in a Flask application: `Sora(app)`, or `Sora()` and `init_app(app)` later; the arguments are those of `init_app`."""

    def __init__(self, app: Flask | None = None, **how: Any) -> None:
        if app is not None:
            self.init_app(app, **how)

    def init_app(
        self,
        app: Flask,
        *,
        url_prefix: str = "",
        endpoints: Collection[str] | None = None,
        db: Any = None,
        principal_loader: PrincipalLoader | None = None,
    ) -> None:
        """Add Sora's routes under `url_prefix`, and `app.extensions["sora"]`. Starts nothing before the first run.

        `endpoints` names what is mounted, of ENDPOINTS; None: all. Without `reviews` there is no diary review, without `chat` no
        chat, without `ask` no question with files, without `agent` no agent; without any of them no model API is needed. `db` is
        a Flask-SQLAlchemy object that the application has already, an engine of SQLAlchemy or a URL: Sora's tables are in that
        database, which it reaches through connections of its own. `principal_loader` tells who sends a request, in the place of
        Sora's tokens and its session.
        Other settings come from the environment and from `app.config` (the same names, SORA_…). Raises ConfigError for
        settings it cannot start with, and RuntimeError for an application that has one already.
        """
        if EXTENSION in app.extensions:
            raise RuntimeError("this application has Sora already")
        mounted = _mounted(endpoints, own_auth=principal_loader is not None)
        config = load(app.config)
        if db is not None:
            config = replace(config, database_url=_url(app, db))
        require_secrets(config, tokens=principal_loader is None, model=bool(_KINDS & set(mounted)))
        prefix = f"/{url_prefix.strip('/')}" if url_prefix.strip("/") else ""
        service = _service(config, mounted, prefix)
        app.extensions[EXTENSION] = replace(service, principal_loader=principal_loader, url_prefix=prefix)
        app.register_blueprint(_blueprint(mounted, config), url_prefix=prefix or None)
        # `stream` refuses in views of the application's own, too.
        app.register_error_handler(SoraError, errors.answer)

    @overload
    def stream(
        self,
        source: Callable[P, Iterator[object]],
        *,
        name: str | None = ...,
        format: str = ...,
        on_disconnect: str | None = ...,
        timeout: float | None = ...,
    ) -> Callable[P, Response]: ...
    @overload
    def stream(
        self,
        source: Iterable[object],
        *,
        name: str | None = ...,
        format: str = ...,
        on_disconnect: str | None = ...,
        timeout: float | None = ...,
    ) -> Response: ...
    @overload
    def stream(
        self,
        source: None = None,
        *,
        name: str | None = ...,
        format: str = ...,
        on_disconnect: str | None = ...,
        timeout: float | None = ...,
    ) -> Callable[[Callable[P, Iterator[object]]], Callable[P, Response]]: ...
    def stream(
        self,
        source: Any = None,
        *,
        name: str | None = None,
        format: str = "native",
        on_disconnect: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Answer the request with a generator of the application's own, as a run: saved, resumed by Last-Event-ID, cancelled
        from anywhere, counted. In a view: `return sora.stream(generator)`; or `@sora.stream` on a view that is a generator.

        `source` yields texts, `sora.events`, or chunks of LangChain, LlamaIndex or openai. It is drawn on a thread
        (greenlet) of its own, from the first item on, with the request and the context variables of the view, but in an
        application context of its own; it is closed when the run ends. `name` is the run's kind, else the generator's own
        name. `timeout` is in seconds, for the whole; None: SORA_TOTAL_TIMEOUT. Blocks for the database alone. An
        Idempotency-Key starts one run; a GET with a Last-Event-ID starts none. Raises RequestError, which the application
        answers by itself, StoreError, and ValueError or TypeError for arguments that cannot be used.
        """
        answer = partial(own.stream, format=format, on_disconnect=on_disconnect, timeout=timeout)
        if source is None:
            return partial(
                self.stream, name=name, format=format, on_disconnect=on_disconnect, timeout=timeout
            )
        called = str(name or getattr(source, "__name__", "stream"))
        if not inspect.isgeneratorfunction(source):
            return answer(source, name=called)

        @wraps(source)
        def view(*args: Any, **kwargs: Any) -> Response:
            return answer(source(*args, **kwargs), name=called)

        return view


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
    Migrate(app, SQLAlchemy(app, metadata=Base.metadata), directory=str(MIGRATIONS))  # for `flask db` alone
    errors.handle(app)
    cors.allow(app, settings.allowed_origins)
    if proxies := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]
    return app


def _mounted(endpoints: Collection[str] | None, *, own_auth: bool) -> Collection[str]:
    if endpoints is None:
        return [name for name in ENDPOINTS if not (own_auth and name == "session")]
    unknown = set(endpoints) - set(ENDPOINTS)
    if unknown:
        raise ConfigError(
            f"no such endpoints: {', '.join(sorted(unknown))}; there are {', '.join(ENDPOINTS)}"
        )
    if own_auth and "session" in endpoints:
        raise ConfigError("the session holds Sora's own tokens: it goes with no principal_loader")
    return endpoints


def _url(app: Flask, db: Any) -> str:
    """Where the application's `db` is. Sora has an engine of its own on it, made for its transactions; theirs stays as it is."""
    if isinstance(db, str | sa.URL):
        url = sa.make_url(db)
    elif isinstance(db, sa.Engine):
        url = db.url
    else:
        with app.app_context():
            url = db.engine.url
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg2")
    elif url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise ConfigError("Sora needs PostgreSQL, or SQLite in a file: give it a database of its own as db=")
    return url.render_as_string(hide_password=False)


def _service(config: Config, mounted: Collection[str], prefix: str) -> Service:
    tokens = Tokens(config)
    keyring = Keyring(config.encryption_keys)
    config.instance.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(
        config.database, pool=config.database_pool, timeout=config.database_timeout, lease=config.lease
    )
    saved, talks = ReviewStore(keyring), ConversationStore(keyring)
    elsewhere = config.save_to == "http"
    embeddings = Embeddings(config) if config.embedding_model else None
    knowledge = Knowledge(
        database,
        pages=prefix + PAGES if "documents" in mounted else None,
        vectors=Vectors(database, embeddings) if embeddings is not None else None,
        similarity=config.embedding_similarity,
    )
    pipelines: list[Pipeline] = []
    if "reviews" in mounted:
        outbox = OutboxStore(keyring) if elsewhere else None
        pipelines.append(ReviewPipeline(config, reviews=saved, outbox=outbox))
    if "chat" in mounted:
        pipelines.append(ChatPipeline(config, conversations=talks, database=database))
    if "ask" in mounted:
        pipelines.append(
            AskPipeline(
                config,
                database=database,
                conversations=talks,
                attachments=AttachmentStore(keyring),
                knowledge=knowledge,
                drift=Drift(embeddings),
            )
        )
    provider = Choice(OpenAIProvider(config), {"dify": Dify(config)} if config.dify_base_url else {})
    if "agent" in mounted:
        pipelines.append(
            AgentPipeline(
                config,
                database=database,
                conversations=talks,
                knowledge=knowledge,
                provider=provider,
            )
        )
    engine = Engine(
        config,
        database=database,
        keyring=keyring,
        provider=provider,
        pipelines=pipelines,
        deliver=_app_server(config, tokens).deliver if elsewhere else None,
    )
    return Service(config, engine, saved, talks, knowledge, tokens)


def _app_server(config: Config, tokens: Tokens) -> AppServer:
    """Where finished reviews are posted: in the user's own name, if we can sign that."""

    def mint(owner: str, name: str, role: str) -> str:
        return tokens.issue(name, owner=owner, role=role, hours=_DELIVERY_HOURS)

    return AppServer(config, mint=mint if config.jwt_secret else None)


def _blueprint(mounted: Collection[str], config: Config) -> Blueprint:
    """All our views under one name, so that in somebody else's application our error handling ends where they do."""
    ours = Blueprint("sora", __name__)
    for name in mounted:
        ours.register_blueprint(ENDPOINTS[name])
    errors.handle(ours)
    ours.after_request(_private)
    cors.allow(ours, config.allowed_origins)
    return ours


def _private(response: Response) -> Response:
    """What we answer is one user's: no cache keeps it."""
    response.headers.setdefault("Cache-Control", "no-store")
    return response
