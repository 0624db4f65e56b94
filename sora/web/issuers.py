"""Whose signatures are good: our secret (HMAC), another issuer's public key, the keys of its JWKS document (RFC 7517).

A key has one algorithm, which its kind decides and no token's header changes: secrets verify HS256 alone, RSA keys RS256, P-256
keys ES256. So no public key is ever taken for a secret. Where several are set, a token's `alg` says which kind is asked:
HS256 the secrets; the others the public key first, then the JWKS document.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from sora.errors import ConfigError, Overloaded, RunError
from sora.providers.document import fetch

logger = logging.getLogger(__name__)

_MIN_RSA_BITS = 2048  # RFC 7518, 3.3
_MAX_KEYS = 32  # of a document: a token without a kid is tried with each
_PATIENCE = 2.5  # seconds: for a document, and for a request that waits for one
_FRESH = 30.0  # seconds after which a document in use is looked at again, in the background
_PAUSE = 5.0  # seconds between two looks, whatever is asked for
_IDLE = 600.0  # seconds without a look after which what is known is too old to be used before there was one


class VerifyingKey(NamedTuple):
    """A key and the one algorithm it verifies. `kid`: its name in a JWKS document, if it has one."""

    key: Any
    algorithm: str
    kid: str | None = None


def public_key(text: str) -> VerifyingKey:
    """SORA_JWT_PUBLIC_KEY: PEM text, in which `\\n` may stand for a line break, or the path of a PEM file.

    Raises ConfigError.
    """
    try:
        pem = text.replace("\\n", "\n") if "-----BEGIN" in text else Path(text).read_text("ascii")
        found = _verifying(load_pem_public_key(pem.encode("ascii")))
    except (OSError, ValueError, UnsupportedAlgorithm):
        found = None
    if found is None:
        raise ConfigError(
            "SORA_JWT_PUBLIC_KEY must be a public key in PEM, or the path of one: RSA of 2048 bits or more, or P-256"
        )
    return found


def parse(document: bytes) -> tuple[VerifyingKey, ...]:
    """The keys of a JWKS document that verify what we take. Others are left out: keys for encryption, secrets, private
    keys, kinds and sizes that are not ours. Raises ValueError for what is no such document, or has no key for us."""
    try:
        entries = json.loads(document)["keys"]
    except (KeyError, TypeError, RecursionError):
        raise ValueError("not a JWKS document") from None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS document")
    keys = tuple(key for entry in entries[:_MAX_KEYS] if (key := _entry(entry)) is not None)
    if not keys:
        raise ValueError("no key in it that can be used")
    return keys


class Jwks:
    """The keys of a JWKS URL, read when a token first needs them and kept fresh while there are tokens.

    A known key is used at once; a document older than `fresh` seconds is looked at again in the background. A key that is
    not known is looked for, by one request for all who wait, each for 2.5 s at most, and not again for `pause` seconds. What
    cannot be read, or is no such document, changes nothing: the keys that are known go on working. Cooperative under gevent.
    """

    def __init__(self, url: str, *, fresh: float = _FRESH, pause: float = _PAUSE) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError("SORA_JWT_JWKS_URL must be https://… or http://…")
        self._url = url
        self._fresh = fresh
        self._pause = pause
        self._lock = threading.Lock()
        self._keys: tuple[VerifyingKey, ...] = ()
        self._read_at = -math.inf
        self._looked_at = -math.inf
        self._failed = True
        self._look: threading.Event | None = None  # set when the look that is under way is over

    def keys(self, algorithm: str, kid: str | None) -> Sequence[VerifyingKey]:
        """The keys that may have signed a token with this header, none if there is none. Blocks for 2.5 s at most, and
        for a key that is known not at all (unless nothing was asked for ten minutes). Raises Overloaded when it cannot be
        told, because the document could not be read."""
        self.document()
        found = self._find(algorithm, kid)
        if not found:
            self._refresh(wait=True)
            found = self._find(algorithm, kid)
            if not found and self._failed:
                raise Overloaded(retry_after=self._pause)
        return found

    def document(self) -> object:
        """The document as it is known: the same object until it is read again. Blocks, and has it read again, as `keys` does
        for a key that is known."""
        now = time.monotonic()
        if now - self._looked_at > _IDLE:
            self._refresh(wait=True)
        elif now - self._read_at > self._fresh:
            self._refresh(wait=False)
        return self._keys

    def _find(self, algorithm: str, kid: str | None) -> Sequence[VerifyingKey]:
        of_kind = [key for key in self._keys if key.algorithm == algorithm]
        if kid is None:
            return of_kind
        return [key for key in of_kind if key.kid == kid] or [key for key in of_kind if key.kid is None]

    def _refresh(self, *, wait: bool) -> None:
        """Look at the document, unless it was looked at a moment ago; `wait`: for a look that is under way as well."""
        with self._lock:
            look = self._look
            if look is None and time.monotonic() - self._looked_at >= self._pause:
                look = self._look = threading.Event()
                self._looked_at = time.monotonic()
                threading.Thread(target=self._read, args=(look,), name="sora-jwks", daemon=True).start()
        if wait and look is not None:
            look.wait(_PATIENCE)

    def _read(self, look: threading.Event) -> None:
        problem = ""
        try:
            answer = fetch(self._url, timeout=_PATIENCE)
            if answer.status == 200:
                self._keys = parse(answer.body)
                self._read_at = time.monotonic()
            else:
                problem = f"status {answer.status}"
        except RunError as error:
            problem = f"{type(error).__name__}: {error}"
        except ValueError as error:
            problem = "not JSON" if isinstance(error, json.JSONDecodeError | UnicodeError) else str(error)
        except Exception as error:
            problem = type(error).__name__
        finally:
            if problem:
                logger.warning(
                    "the JWKS document cannot be used (%s); %d keys known", problem, len(self._keys)
                )
            self._failed = bool(problem)
            with self._lock:
                self._look = None
            look.set()


def _entry(entry: Any) -> VerifyingKey | None:
    """One JWK, if it is a public key that verifies signatures of a kind we take."""
    if not isinstance(entry, dict) or "d" in entry or entry.get("use", "sig") != "sig":
        return None
    if "verify" not in entry.get("key_ops", ("verify",)):
        return None
    try:
        if entry.get("kty") == "RSA":
            found = _verifying(RSAAlgorithm.from_jwk(entry))
        elif entry.get("kty") == "EC":
            found = _verifying(ECAlgorithm.from_jwk(entry))
        else:
            return None
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, UnsupportedAlgorithm):
        return None
    if found is None or entry.get("alg", found.algorithm) != found.algorithm:
        return None
    kid = entry.get("kid")
    return found._replace(kid=kid if isinstance(kid, str) else None)


def _verifying(key: object) -> VerifyingKey | None:
    if isinstance(key, RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
        return VerifyingKey(key, "RS256")
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return VerifyingKey(key, "ES256")
    return None
