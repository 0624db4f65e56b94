"""What the views of one application work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Request, current_app, request

from sora.config import Config
from sora.engine.engine import Engine
from sora.errors import Unauthorized
from sora.knowledge.search import Knowledge
from sora.store.conversations import ConversationStore
from sora.store.reviews import ReviewStore
from sora.web.auth import Principal, Tokens, authenticate, bearer, require_own_origin

EXTENSION = "sora"

#: Tells who sends a request; None: nobody that it knows.
PrincipalLoader = Callable[[Request], Principal | None]


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that an application has one of; `app.extensions["sora"]`."""

    config: Config
    engine: Engine
    reviews: ReviewStore
    conversations: ConversationStore
    knowledge: Knowledge
    tokens: Tokens
    principal_loader: PrincipalLoader | None = None
    url_prefix: str = ""


def principal() -> Principal:
    """Who sends the request that is answered now. Raises Unauthorized or Forbidden."""
    load = service().principal_loader
    if load is None:
        return authenticate(request, service().config, service().tokens)
    if bearer(request) is None:
        require_own_origin(request, service().config)  # what it goes by may be a cookie
    who = load(request)
    if who is None:
        raise Unauthorized
    return who


def service() -> Service:
    """The parts of the application that answers now."""
    found: Service = current_app.extensions[EXTENSION]
    return found


def locale() -> str:
    """`ko` or `en`: what the request prefers, else what the settings say."""
    default = service().config.locale
    # The default stands first, for `Accept-Language: *` takes the first.
    return (
        request.accept_languages.best_match([default, "en" if default == "ko" else "ko"], default) or default
    )
