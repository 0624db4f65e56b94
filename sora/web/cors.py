"""Which pages of other origins may use the API from a browser: those on the allow-list, and no others (WIRE.md, H)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import Blueprint, Flask
from flask_cors import CORS

from sora.errors import ConfigError

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
ALLOWED = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID")
EXPOSED = ("X-Sora-Run-Id", "Retry-After")
_PREFLIGHT_AGE = 600  # seconds a browser may remember that it was allowed to ask
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:[0-9]{1,5})?/?", re.IGNORECASE)


def allow(scope: Flask | Blueprint, origins: Sequence[str]) -> None:
    """Let pages of `origins` read what `scope` answers, refusals and streams too, and send the session cookie.

    Without origins nothing is added. A preflight never reaches a view, so it starts nothing and needs no token. What a
    proxy or the server refuses by itself is not answered here: a page of another origin cannot read that.
    Raises ConfigError for what is not one exact origin: with cookies a pattern would let in whoever fits it.
    """
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                "SORA_ALLOWED_ORIGINS must list exact origins, such as https://app.example.com or "
                f"http://localhost:3000, separated by commas; {origin!r} is none"
            )
    if origins:
        CORS(
            scope,
            origins=[origin.rstrip("/") for origin in origins],
            methods=METHODS,
            allow_headers=ALLOWED,
            expose_headers=EXPOSED,
            supports_credentials=True,
            max_age=_PREFLIGHT_AGE,
            always_send=False,
            intercept_exceptions=False,  # all errors are answered by our own handlers, before this
        )
