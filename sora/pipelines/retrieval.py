"""What the knowledge base has for a question: the passages that an answer may rest on."""

from __future__ import annotations

from collections.abc import Sequence

from sora.knowledge.search import Found, Knowledge
from sora.knowledge.subject import overlap
from sora.store.conversations import Turn

_PASSAGES = 5  # at most
_FITS = 0.5  # of the best passage's score: what fits the question worse is left out
_NAMED = 0.3  # of what the question names a passage has at least
_NAMING = 1000  # characters of a question that are looked at for that
_SHORT = 30  # characters of a question that is looked up together with the one before it


def query_of(question: str, turns: Sequence[Turn]) -> str:
    """What is searched for: a short question leans on the one before it."""
    before = [turn.content for turn in turns if turn.role == "user"][-1:]
    return "\n".join((question, *before)) if len(question) < _SHORT else question


def fitting(knowledge: Knowledge, owner: str, query: str) -> list[Found]:
    """The passages that fit by their words or are near by their meaning, the best first; none where none does. Blocks for the
    database. Raises StoreError."""
    found = knowledge.search(owner, query, limit=_PASSAGES)
    least = _FITS * max((one.words for one in found), default=0.0)
    return [
        one
        for one in found
        if one.near
        or (one.words >= least and overlap(query[:_NAMING], [one.title, one.text]).share >= _NAMED)
    ]


def named(query: str, texts: Sequence[str]) -> float:
    """How much of what the question names stands in these texts, from 0 to 1."""
    return overlap(query[:_NAMING], texts).share
