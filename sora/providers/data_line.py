"""The JSON of one data line of a model's stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """What makes a line a `kind`, passing over undecoded what that does not name. Text is as the upstream sent it, lone
    surrogates too. Raises ValueError for anything else."""
    typed = msgspec.json.Decoder(kind).decode

    def decode(line: bytes) -> T:
        try:
            return typed(line)
        except msgspec.DecodeError:
            # msgspec refuses the escape of a lone surrogate, which a server that cuts text by UTF-16 units does
            # send.
            return _leniently(line)
        except RecursionError:
            raise ValueError("too deep") from None

    def _leniently(line: bytes) -> T:
        try:
            return msgspec.convert(json.loads(line), kind)
        except RecursionError:
            raise ValueError("too deep") from None

    return decode
