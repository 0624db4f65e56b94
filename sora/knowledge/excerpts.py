"""Excerpts: what matters of a few texts for one question, where all of them together would be too much."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sora.knowledge.passages import split
from sora.knowledge.search import ranked

GAP = "\n…\n"

_GOLDEN = (math.sqrt(5) - 1) / 2


def excerpts(texts: Sequence[str], question: str, *, budget: int, size: Callable[[str], int]) -> list[str]:
    """Each text, or of one that is too long the passages that matter for the question, in their order, with GAP where
    something is left out.

    Together they have about `budget` of what `size` counts; what short ones leave the long ones get. The beginning of a text
    always stays, as its title or its columns are there. Takes a processor a second for a few million characters: not for a hub.
    """
    sizes = [size(text) for text in texts]
    found = list(texts)
    left = budget
    for done, which in enumerate(sorted(range(len(texts)), key=sizes.__getitem__)):
        share = left // (len(texts) - done)
        if sizes[which] > share:
            found[which] = _excerpt(texts[which], question, share, size)
        left -= min(sizes[which], share)
    return found


def _excerpt(text: str, question: str, budget: int, size: Callable[[str], int]) -> str:
    passages = list(split(text)) or [""]
    # Behind what fits the question the rest, evenly from the whole.
    rest = sorted(range(len(passages)), key=lambda at: at * _GOLDEN % 1)
    best = ranked(passages, question, limit=len(passages))
    chosen, left = {0}, budget - size(passages[0])
    for at in dict.fromkeys((*best, *rest)):
        if at in chosen:
            continue
        left -= size(passages[at])
        if left < 0:
            break
        chosen.add(at)
    shown = []
    for at in sorted(chosen):
        if at - 1 not in chosen and at:
            shown.append(GAP)
        elif shown:
            shown.append("\n")
        shown.append(passages[at])
    if len(passages) - 1 not in chosen:
        shown.append(GAP)
    return "".join(shown)
