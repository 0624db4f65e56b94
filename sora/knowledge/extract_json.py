"""JSON, laid out so that a person and a model can read it."""

from __future__ import annotations

import json
from typing import Any

from sora.errors import UnreadableFile
from sora.knowledge.gathered import Gathered
from sora.knowledge.plaintext import decoded


def read(content: bytes, out: Gathered) -> None:
    """The same values on lines of their own, Hangul as itself. Raises UnreadableFile for what is not JSON or too deep."""
    depth = out.limits.depth
    try:
        value = json.loads(decoded(content))
    except RecursionError:
        raise UnreadableFile("file_depth", high=depth) from None
    if _deeper(value, depth):
        raise UnreadableFile("file_depth", high=depth)
    for piece in json.JSONEncoder(ensure_ascii=False, indent=1).iterencode(value):
        out.add(piece)


def _deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
