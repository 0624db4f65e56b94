"""Who asks: JSON Web Tokens signed with HMAC-SHA256, in a Bearer header or the session cookie (WIRE.md, A and F)."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from werkzeug.wrappers import Request

from sora.config import Config
from sora.errors import ConfigError, Forbidden, Unauthorized

GUEST = "guest"
_SAFE = ("GET", "HEAD", "OPTIONS")
_KEY_BYTES = 32  # RFC 7518, 3.2: a key of the hash's size or larger
_MAX_OWNER = 255


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may use the API. `id` owns what is saved; `expires_at` is in Unix seconds, None: never."""

    id: str
    name: str
    role: str
    expires_at: float | None = None


class Tokens:
    """Verifies and issues access tokens. Raises ConfigError for a secret too short for HS256."""

    def __init__(self, config: Config) -> None:
        key = config.jwt_secret.encode()
        if config.jwt_key_derivation == "sha256":
            key = hashlib.sha256(key).digest()
        if len(key) < _KEY_BYTES:
            raise ConfigError(
                f"SORA_JWT_SECRET must have {_KEY_BYTES} bytes or more (or set SORA_JWT_KEY_DERIVATION=sha256)"
            )
        self._key = key
        self._leeway = config.jwt_leeway
        self._jwt = jwt.PyJWT(
            options={"require": list(config.jwt_required_claims), "enforce_minimum_key_length": True}
        )

    def verify(self, token: str) -> Principal:
        """The token's user. Raises Unauthorized, whose reason says what is wrong with it."""
        try:
            claims = self._jwt.decode(token, self._key, algorithms=["HS256"], leeway=self._leeway)
        except jwt.ExpiredSignatureError:
            raise Unauthorized("token_expired") from None
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError):
            # PyJWT reads the header as JSON before it checks the signature: it may be nested without end.
            raise Unauthorized("token_invalid") from None
        if claims.get("category") == "refresh":
            raise Unauthorized("token_refresh")
        owner = _text(claims, "uuid", "sub", "username")
        if not owner or len(owner) > _MAX_OWNER:
            raise Unauthorized("token_invalid")
        expires_at = float(claims["exp"]) + self._leeway if "exp" in claims else None
        return Principal(owner, _text(claims, "username", "name"), _text(claims, "role"), expires_at)

    def issue(self, name: str, *, owner: str | None = None, hours: float = 24.0, role: str = "USER") -> str:
        """An access token for `name`. The same name is the same owner, unless an owner is given."""
        now = int(time.time())
        owner = owner or str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        claims = {"sub": owner, "uuid": owner, "username": name, "role": role, "category": "access"}
        return self._jwt.encode({**claims, "iat": now, "exp": now + int(hours * 3600)}, self._key, "HS256")


def authenticate(request: Request, config: Config, tokens: Tokens) -> Principal:
    """Who sends this request. A Bearer token goes before the cookie.

    Raises Unauthorized, and Forbidden for a change that another site's page asks for in the user's name. A token that
    was presented must be good, in guest mode too.
    """
    token = bearer(request)
    if token is not None:
        return tokens.verify(token)
    require_own_origin(request, config)
    cookie = request.cookies.get(config.session_cookie)
    if cookie is not None:
        return tokens.verify(cookie)
    if config.auth == "guest":
        return Principal(GUEST, "", "USER")
    raise Unauthorized


def bearer(request: Request) -> str | None:
    """The token in the Authorization header; None when there is no such header. May be empty."""
    given = request.authorization
    if given is None or given.type != "bearer":
        return None
    return given.token or ""


def require_own_origin(request: Request, config: Config) -> None:
    """A browser adds cookies by itself: what changes something with them must come from our own pages, or allowed ones.

    Without a cookie only a foreign Origin is refused. Raises Forbidden.
    """
    if request.method in _SAFE:
        return
    origin = request.headers.get("Origin")
    if origin is None and config.session_cookie not in request.cookies:
        return
    allowed = {
        request.host_url.rstrip("/").lower(),
        *(entry.rstrip("/").lower() for entry in config.allowed_origins),
    }
    if origin is None or origin.lower() not in allowed:
        raise Forbidden("origin_forbidden")


def _text(claims: Mapping[str, Any], *names: str) -> str:
    """The first of these claims that is a usable text; empty without one."""
    for name in names:
        value = claims.get(name)
        if isinstance(value, str) and value and value.isprintable():
            return value
    return ""
