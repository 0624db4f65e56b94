"""What the views of one application work with."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app, request

from sora.config import Config
from sora.engine.engine import Engine
from sora.store.reviews import ReviewStore
from sora.web.auth import Principal, Tokens, authenticate

EXTENSION = "sora"


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that an application has one of; `app.extensions["sora"]`."""

    config: Config
    engine: Engine
    reviews: ReviewStore
    tokens: Tokens


def principal() -> Principal:
    """Who sends the request that is answered now. Raises Unauthorized or Forbidden."""
    return authenticate(request, service().config, service().tokens)


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
