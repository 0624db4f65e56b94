"""What the index is made of: for each term of a segment, where it stands and how often, packed; and the scores from that.

A posting is four bytes, little-endian: the passage's slot in its segment (16 bits), how often the term stands in it (8, at
most 255), and the class of the passage's length (8). So one read gives all that BM25 needs, and no column of lengths is
looked up. numpy, which only this module and proximity.py import, adds up tens of thousands of them in a millisecond; it is loaded
with the first search, being 20 MB that a worker without a knowledge base need not have.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sora.knowledge.index import Ranges

Numbers = Any  # an array of numpy's, whose stubs mypy is not made to read

_K1, _B = 1.2, 0.75
_CLASSES = 16  # of length, for each doubling of it
# The length that each class stands for; 4 % off at most.
_LENGTHS = 2.0 ** (np.arange(256) / _CLASSES) - 1.0


def packed(passages: Iterable[Sequence[str]]) -> tuple[dict[str, bytes], int]:
    """The postings of each term of passages in slots 0, 1, 2 …, in the terms' order; and how many terms stand there."""
    ids: dict[str, int] = {}
    places = [[ids.setdefault(term, len(ids)) for term in terms] for terms in passages]
    lengths = np.array([len(terms) for terms in places])
    which = np.concatenate([np.array(place, np.int64) for place in places])
    keys, counts = np.unique(which << 16 | np.repeat(np.arange(len(places)), lengths), return_counts=True)
    classes = np.minimum(255, np.rint(np.log2(1 + lengths) * _CLASSES).astype(np.int64))
    slots = keys & 0xFFFF
    entries = slots | np.minimum(counts, 255) << 16 | classes[slots] << 24
    return _by_term(list(ids), keys >> 16, entries), len(which)


def merged(
    rows: Sequence[tuple[int, str, bytes]], moves: Mapping[int, int], gone: Mapping[int, Ranges]
) -> dict[str, bytes]:
    """The postings of several segments as those of one. `rows`: (segment, term, postings); `moves`: by how much the slots of
    each segment move; `gone`: those of its slots that are left out."""
    if not rows:
        return {}
    ids: dict[str, int] = {}
    rows = sorted(rows, key=lambda row: moves[row[0]])
    which = np.array([ids.setdefault(term, len(ids)) for _, term, _ in rows])
    sizes = np.array([len(data) // 4 for _, _, data in rows])
    entries = np.frombuffer(b"".join(data for _, _, data in rows), "<u4").astype(np.int64)
    whose: Numbers = np.repeat([segment for segment, _, _ in rows], sizes)
    which, slots = np.repeat(which, sizes), entries & 0xFFFF
    kept: Numbers = np.ones(len(entries), bool)
    for segment, ranges in gone.items():
        for first, last in ranges:
            kept &= (whose != segment) | (slots < first) | (slots > last)
    entries += np.repeat([moves[segment] for segment, _, _ in rows], sizes)
    which, entries = which[kept], entries[kept]
    order = np.argsort(which, kind="stable")
    return _by_term(list(ids), which[order], entries[order])


def _by_term(terms: Sequence[str], which: Numbers, entries: Numbers) -> dict[str, bytes]:
    """`entries`, of the terms `which` in rising order, packed term by term, those that have any."""
    data = entries.astype("<u4").tobytes()
    after: Numbers = np.searchsorted(which, np.arange(len(terms)), side="right") * 4
    ends: list[int] = [0, *after.tolist()]
    places = {term: place for place, term in enumerate(terms) if ends[place + 1] > ends[place]}
    return {term: data[ends[places[term]] : ends[places[term] + 1]] for term in sorted(places)}


def best(
    segments: Sequence[tuple[int, Ranges]],
    weights: Mapping[str, float],
    data: Mapping[tuple[int, str], bytes],
    *,
    mean: float,
    limit: int,
) -> list[tuple[float, int, int]]:
    """(score, segment, slot) of the `limit` best passages by BM25, the best first, ties by place.

    `segments`: span and deleted slots of each; `weights`: of the terms, in the order in which they are added up; `data`: the
    postings of a segment (its place in `segments`) and a term; `mean`: the mean length of
    passages. Takes about a millisecond for 100,000 postings.
    """
    bases = [0, *itertools.accumulate(span for span, _ in segments)]
    keys = [(place, term) for term in weights for place in range(len(segments)) if (place, term) in data]
    if not keys:
        return []
    # All postings at once, term by term: a step of numpy for each of them would cost more than what it does.
    sizes = [len(data[key]) // 4 for key in keys]
    entries = np.frombuffer(b"".join(data[key] for key in keys), "<u4")
    slots = (entries & 0xFFFF) + np.repeat(np.array([bases[place] for place, _ in keys]), sizes)
    counts = (entries >> 16 & 0xFF).astype(np.float64)
    norms = _K1 * (1 - _B + _B * _LENGTHS / max(mean, 1.0))
    gains: Numbers = np.repeat(np.array([weights[term] for _, term in keys]) * (_K1 + 1), sizes)
    scores = np.bincount(slots, gains * counts / (counts + norms[entries >> 24]), minlength=bases[-1])
    for base, (_, deleted) in zip(bases, segments, strict=False):
        for first, last in deleted:
            scores[base + first : base + last + 1] = 0.0
    floor = np.partition(scores, -limit)[-limit] if limit < len(scores) else 0.0
    found = np.flatnonzero(scores >= floor if floor > 0 else scores > 0)
    order = found[np.lexsort((found, -scores[found]))[:limit]].tolist()
    places = [bisect.bisect_right(bases, slot) - 1 for slot in order]
    return [
        (float(scores[slot]), place, slot - bases[place]) for slot, place in zip(order, places, strict=True)
    ]
