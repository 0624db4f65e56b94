"""Who asks: JSON Web Tokens in a Bearer header or the session cookie (WIRE.md, A and F)."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jwt
from werkzeug.wrappers import Request

from sora.config import Config
from sora.errors import ConfigError, Forbidden, Unauthorized
from sora.web.issuers import Jwks, VerifyingKey, public_key

GUEST = "guest"
_SAFE = ("GET", "HEAD", "OPTIONS")
_KEY_BYTES = 32  # RFC 7518, 3.2: a key of the hash's size or larger
_MAX_OWNER = 255
_FOREVER = 32_503_680_000  # the year 3000, in Unix seconds
_MAX_KNOWN = 10_000  # tokens


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may use the API. `id` owns what is saved; `expires_at` is in Unix seconds, None: never."""

    id: str
    name: str = ""
    role: str = ""
    expires_at: float | None = None


class _Known(NamedTuple):
    """Whom a token was found to name, and the JWKS document whose key said so; None: a key of the settings, which stays."""

    principal: Principal
    document: object


class Tokens:
    """Verifies access tokens, by whichever issuer's key the settings name, and issues our own. See `sora.web.issuers`.

    A token that was good stays so until it expires, or the JWKS document is read again: its signature is not checked anew
    for each request. Raises ConfigError for a secret too short for HS256 and a key that cannot be used.
    """

    def __init__(self, config: Config) -> None:
        given = ((config.jwt_secret,) if config.jwt_secret else ()) + config.jwt_old_secrets
        self._secrets = [_hmac_key(secret, config.jwt_key_derivation) for secret in given]
        self._public = public_key(config.jwt_public_key) if config.jwt_public_key else None
        self._jwks = Jwks(config.jwt_jwks_url) if config.jwt_jwks_url else None
        self._config = config
        self._known: dict[bytes, _Known] = {}  # by digest: who reads our memory finds no token
        self._jwt = jwt.PyJWT(
            options={"require": list(config.jwt_required_claims), "enforce_minimum_key_length": True}
        )

    def verify(self, token: str) -> Principal:
        """The token's user. Raises Unauthorized, whose reason says what is wrong with it; and Overloaded when that cannot
        be told now, because a JWKS document does not come. Blocks for that alone, 2.5 s at most."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is None or not self._holds(known):
            known = self._check(token)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[digest] = known
        return known.principal

    def _holds(self, known: _Known) -> bool:
        expires_at = known.principal.expires_at
        if expires_at is not None and time.time() >= expires_at:
            return False
        return known.document is None or (self._jwks is not None and self._jwks.document() is known.document)

    def _check(self, token: str) -> _Known:
        try:
            claims, document = self._claims(token)
        except jwt.ExpiredSignatureError:
            raise Unauthorized("token_expired") from None
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError):
            # PyJWT reads the header as JSON before it checks the signature: it may be nested without end.
            raise Unauthorized("token_invalid") from None
        if claims.get("category") == "refresh":
            raise Unauthorized("token_refresh")
        config = self._config
        owner = _text(claims, config.jwt_owner_claim)
        if not owner or len(owner) > _MAX_OWNER:
            raise Unauthorized("token_invalid")
        # PyJWT takes any number; beyond this one neither a float nor a cookie's date holds it.
        expires_at = min(int(claims["exp"]), _FOREVER) + config.jwt_leeway if "exp" in claims else None
        name, role = _text(claims, config.jwt_name_claim), _text(claims, config.jwt_role_claim)
        return _Known(Principal(owner, name, role, expires_at), document)

    def issue(self, name: str, *, owner: str | None = None, hours: float = 24.0, role: str = "USER") -> str:
        """An access token for `name`. The same name is the same owner, unless an owner is given. Raises ConfigError without
        SORA_JWT_SECRET."""
        if not self._config.jwt_secret:
            raise ConfigError("SORA_JWT_SECRET is not set: only with it can tokens be made")
        now = int(time.time())
        owner = owner or str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        claims: dict[str, object] = {"sub": owner, "category": "access", "iat": now}
        config = self._config
        for names, value in (
            (config.jwt_owner_claim, owner),
            (config.jwt_name_claim, name),
            (config.jwt_role_claim, role),
        ):
            claims |= dict.fromkeys(names[:1], value)
        for claim, wanted in (("iss", config.jwt_issuer), ("aud", config.jwt_audience)):
            if wanted:
                claims[claim] = wanted[0]
        claims["exp"] = now + int(hours * 3600)
        return self._jwt.encode(claims, self._secrets[0], "HS256")

    def _claims(self, token: str) -> tuple[dict[str, Any], object]:
        """The claims, by the first key that made the signature; and the JWKS document, if it is from there."""
        header = jwt.get_unverified_header(token)
        if header.get("alg") == "HS256":
            keys = [VerifyingKey(secret, "HS256") for secret in self._secrets]
            return self._verified(token, keys), None
        if self._public is not None and header.get("alg") == self._public.algorithm:
            try:
                return self._verified(token, [self._public]), None
            except jwt.InvalidSignatureError:
                pass
        if self._jwks is not None and header.get("alg") in ("RS256", "ES256"):
            document = self._jwks.document()  # before the key is looked for: it may be in a newer one
            return self._verified(token, self._jwks.keys(header["alg"], header.get("kid"))), document
        raise jwt.InvalidSignatureError

    def _verified(self, token: str, keys: Sequence[VerifyingKey]) -> dict[str, Any]:
        config = self._config
        for key in keys:
            try:
                return self._jwt.decode(
                    token,
                    key.key,
                    algorithms=[key.algorithm],
                    leeway=config.jwt_leeway,
                    audience=config.jwt_audience or None,
                    issuer=config.jwt_issuer or None,
                )
            except jwt.InvalidSignatureError:
                continue
        raise jwt.InvalidSignatureError


def _hmac_key(secret: str, derivation: str) -> bytes:
    key = secret.encode()
    if derivation == "sha256":
        key = hashlib.sha256(key).digest()
    if len(key) < _KEY_BYTES:
        raise ConfigError(
            f"SORA_JWT_SECRET (and each of SORA_JWT_OLD_SECRETS) must have {_KEY_BYTES} bytes or more "
            "(or set SORA_JWT_KEY_DERIVATION=sha256)"
        )
    return key


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


def require_own_origin(request: Request, config: Config, *, starts: bool = False) -> None:
    """A browser adds cookies by itself: what changes something with them must come from our own pages, or allowed ones.

    Without a cookie only a foreign Origin is refused. `starts`: a GET changes something too. Raises Forbidden.
    """
    origin = request.headers.get("Origin")
    if request.method in _SAFE:
        # A page of our own sends no Origin with a GET; nor does another's image or link, but browsers tell where that is from.
        own = origin is None and request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        if own or not starts:
            return
    elif origin is None and config.session_cookie not in request.cookies:
        return
    allowed = {
        request.host_url.rstrip("/").lower(),
        *(entry.rstrip("/").lower() for entry in config.allowed_origins),
    }
    if origin is None or origin.lower() not in allowed:
        raise Forbidden("origin_forbidden")


def _text(claims: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of these claims that is a usable text; empty without one."""
    for name in names:
        value = claims.get(name)
        if isinstance(value, str) and value and value.isprintable():
            return value
    return ""
