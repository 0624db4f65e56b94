"""The session: a token kept in a cookie that no script can read (WIRE.md F)."""

from __future__ import annotations

import secrets
import time

from flask import Blueprint, Response, jsonify, request

from sora.errors import Unauthorized
from sora.web.auth import Principal, authenticate, bearer, require_own_origin
from sora.web.service import principal, service

views = Blueprint("session", __name__)
_GUEST_HOURS = 30 * 24.0


@views.post("/api/session")
def sign_in() -> Response:
    require_own_origin(request, service().config)
    token = _token()
    who = service().tokens.verify(token)
    response = jsonify(_shape(who))
    # The cookie goes with the token; one without an end goes with the browser.
    left = None if who.expires_at is None else max(0, int(who.expires_at - time.time()))
    response.set_cookie(
        service().config.session_cookie, token,
        max_age=left, secure=request.is_secure, httponly=True, samesite="Strict", path="/",
    )  # fmt: skip
    return response


@views.get("/api/session")
def who_am_i() -> Response:
    return jsonify(_shape(principal()))


@views.delete("/api/session")
def sign_out() -> Response:
    require_own_origin(request, service().config)
    response = Response(status=204)
    response.delete_cookie(
        service().config.session_cookie, secure=request.is_secure, httponly=True, samesite="Strict", path="/"
    )
    return response


def _token() -> str:
    """The token that was presented; in guest mode, without a good one in the cookie, that of a new guest."""
    token = bearer(request)
    if token is not None:
        return token
    if service().config.auth != "guest":
        raise Unauthorized
    cookie = request.cookies.get(service().config.session_cookie)
    if cookie is not None:
        try:
            authenticate(request, service().config, service().tokens)
            return cookie
        except Unauthorized:
            pass
    return service().tokens.issue("guest", owner=f"guest-{secrets.token_hex(16)}", hours=_GUEST_HOURS)


def _shape(who: Principal) -> dict[str, object]:
    return {"id": who.id, "name": who.name, "role": who.role, "expires_at": who.expires_at}
