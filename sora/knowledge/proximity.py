"""Vectors as numpy has them: of length one, packed as 32-bit floats, little-endian; and which of many are near to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Numbers = Any  # an array of numpy's, whose stubs mypy is not made to read
Block = tuple[Numbers, Numbers]  # numbers of passages, and a row for each: its vector


def unit(vectors: Sequence[Sequence[float]]) -> Numbers:
    """A row of length one for each vector; zeros for one that has no direction."""
    rows: Numbers = np.array(vectors, np.float64)
    rows[~np.isfinite(rows).all(axis=1)] = 0.0
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0).astype(np.float32)


def packed(vectors: Sequence[Sequence[float]]) -> list[bytes]:
    """Each as bytes, of length one."""
    return [row.astype("<f4").tobytes() for row in unit(vectors)]


def block(rows: Sequence[tuple[int, bytes]], size: int) -> Block:
    """The (number, packed) of some passages, by rising number. One that has another size than `size` is near to nothing."""
    nothing = bytes(4 * size)
    data = b"".join(each if len(each) == 4 * size else nothing for _, each in rows)
    return np.array([number for number, _ in rows], np.int64), np.frombuffer(data, "<f4").reshape(-1, size)


def joined(blocks: Sequence[Block]) -> Block:
    """Several as one."""
    return np.concatenate([numbers for numbers, _ in blocks]), np.concatenate([rows for _, rows in blocks])


def without(blocks: Sequence[Block], gone: set[int]) -> list[Block]:
    """The blocks, rid of some numbers."""
    found: list[Block] = []
    for numbers, rows in blocks:
        kept = ~np.isin(numbers, list(gone))
        if kept.all():
            found.append((numbers, rows))
        elif kept.any():
            found.append((numbers[kept], rows[kept]))
    return found


def near(blocks: Sequence[Block], asked: Numbers, *, limit: int, least: float) -> list[tuple[float, int]]:
    """(cosine, number) of the `limit` nearest to `asked`, the nearest first, whose cosine is `least` or more. Takes some 20 ms
    for 50,000 vectors of 1,536."""
    if not blocks:
        return []
    numbers = np.concatenate([of for of, _ in blocks])
    cosines = np.concatenate([rows @ asked for _, rows in blocks])
    floor = least
    if limit < len(cosines):
        floor = max(floor, float(np.partition(cosines, -limit)[-limit]))
    found = np.flatnonzero(cosines >= floor)
    order = found[np.lexsort((numbers[found], -cosines[found]))[:limit]]
    return [(float(cosines[place]), int(numbers[place])) for place in order.tolist()]
