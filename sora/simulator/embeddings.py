"""Embeddings that mean something without a model: texts that share letters point the same way."""

from __future__ import annotations

import base64
import math
import struct
import unicodedata
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

DIMENSIONS = 256
INPUTS = 2048


def embed(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A vector of length one, the same for the same text, near for similar texts (hashed character bigrams).

    Case, width and white space don't matter. A bigram that is repeated counts less each time.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    grams = Counter(a + b for a, b in zip(f" {plain}", f"{plain} ", strict=True))
    vector = [0.0] * dimensions
    for gram, times in grams.items():
        number = int.from_bytes(blake2b(gram.encode("utf-8", "replace"), digest_size=8).digest())
        vector[(number >> 1) % dimensions] += (1 if number & 1 else -1) * (1 + math.log(times))
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0:  # every bigram was cancelled by another: any direction will do
        return [1.0] + [0.0] * (dimensions - 1)
    return [value / length for value in vector]


def as_base64(vector: Sequence[float]) -> str:
    """The vector as OpenAI's clients ask for it by default: little-endian 32-bit floats in base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def texts(value: object) -> list[str] | None:
    """The texts of an `input`: a text, a list of tokens, or a list of either; None for anything else."""
    several = value if isinstance(value, list) and value and not isinstance(value[0], int) else [value]
    if len(several) > INPUTS:
        return None
    found = []
    for item in several:
        if isinstance(item, list) and item and all(type(token) is int for token in item):
            found.append(" ".join(map(str, item)))
        elif isinstance(item, str) and item:
            found.append(item)
        else:
            return None
    return found
