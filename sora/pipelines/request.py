"""What a run is asked for, as its row keeps it."""

from __future__ import annotations

from typing import Self

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The base of each kind's request: a plain value."""

    def encode(self) -> bytes:
        """The same bytes for the same request: a run's request and its MAC rest on them."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, request: bytes) -> Self:
        """What `encode` was given. Raises msgspec.DecodeError for anything else."""
        return msgspec.json.decode(request, type=cls)
