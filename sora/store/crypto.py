"""Encryption at rest: AES-256-GCM fields bound to the place they stand in, and MACs; several keys for rotation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sora.errors import ConfigError, SoraError

_VERSION = 1
_NONCE = 12


class UnreadableError(SoraError):
    """A ciphertext that no key of ours opens in this place: moved, altered, or its key is gone."""


class Keyring:
    """Seals and opens fields. The first key writes, every key reads; keys are `id:base64 of 32 bytes`.

    A sealed field is `version|length of key id|key id|nonce|ciphertext and tag`, with table, column, row and owner as
    authenticated data: a value copied to another row or owner does not open. Raises ConfigError for a key that cannot be used.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ConfigError("SORA_ENCRYPTION_KEYS is not set")
        self._ciphers: dict[bytes, AESGCM] = {}
        self._macs: dict[bytes, bytes] = {}
        for entry in keys:
            name, _, encoded = entry.partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if not 0 < len(name.encode()) < 256 or len(key) != 32:
                raise ConfigError("SORA_ENCRYPTION_KEYS must be id:base64 of 32 bytes, comma-separated")
            if name.encode() in self._ciphers:
                raise ConfigError(f"SORA_ENCRYPTION_KEYS names the key {name} twice")
            self._ciphers[name.encode()] = AESGCM(key)
            # A MAC never shares its key with the cipher.
            self._macs[name.encode()] = hmac.digest(key, b"sora mac", hashlib.sha256)
        self._writer = next(iter(self._ciphers))
        self.names = tuple(name.decode() for name in self._ciphers)  # the first one writes
        self._head = prefix(self.names[0])

    def seal(self, plain: bytes, *, table: str, column: str, row: str, owner: str) -> bytes:
        """The encrypted field."""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._writer].encrypt(nonce, plain, _bound(table, column, row, owner))
        return self._head + nonce + sealed

    def open(self, sealed: bytes, *, table: str, column: str, row: str, owner: str) -> bytes:
        """The plain field. Raises UnreadableError."""
        if len(sealed) < 2 or sealed[0] != _VERSION:
            raise UnreadableError("not a sealed field")
        start = 2 + sealed[1]
        cipher = self._ciphers.get(bytes(sealed[2:start]))
        if cipher is None:
            raise UnreadableError("sealed with a key that is not in SORA_ENCRYPTION_KEYS")
        nonce, body = sealed[start : start + _NONCE], sealed[start + _NONCE :]
        try:
            return cipher.decrypt(bytes(nonce), bytes(body), _bound(table, column, row, owner))
        except (InvalidTag, ValueError):
            raise UnreadableError(f"{table}.{column} does not open in this place") from None

    def mac(self, data: bytes) -> bytes:
        """A keyed digest that tells equal data apart from different data without revealing it."""
        return self._writer + b":" + hmac.digest(self._macs[self._writer], data, hashlib.sha256)

    def same(self, mac: bytes, data: bytes) -> bool:
        """Whether `mac` was made of `data`, by any key of ours. A MAC of a key that is gone is not the same."""
        name, _, digest = bytes(mac).partition(b":")
        key = self._macs.get(name)
        return key is not None and hmac.compare_digest(digest, hmac.digest(key, data, hashlib.sha256))


def prefix(key: str) -> bytes:
    """What everything begins with that is sealed with the key of this id, and nothing else does."""
    name = key.encode()
    return bytes((_VERSION, len(name))) + name


def _bound(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"".join([len(part).to_bytes(4, "big") + part for part in encoded])
