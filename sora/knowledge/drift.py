"""Topic drift: whether a question has left what was talked about before."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from typing import Protocol

from sora.errors import RunError
from sora.knowledge.subject import overlap, plain

logger = logging.getLogger(__name__)

RECENT = 4  #: so many questions and their answers are what was talked about
_NEW = 1.6  # so many more new words than known ones are another topic
_POINTING = 3.0  # words, as many as a question says by itself that it changes the topic
_BACKING = 0.7  # and as many against it
_SIMILAR = 0.25  # cosine of two embeddings about one topic, at least
_TIMEOUT = 3.0  # seconds for the embeddings: nobody waits longer to be told of a drift
_LONGEST = 4000  # characters of a turn that are looked at

# Says by itself that another topic begins.
_CHANGE = re.compile(
    r"다른 (?:얘기|이야기|질문|주제)|(?:주제|화제)를? ?(?:바꿔|바꾸)|그건 그렇고|별개로|상관없(?:는|이)|새로운 (?:질문|주제)|"
    r"\b(?:by the way|unrelated|(?:different|another|new) (?:question|topic|subject)|"
    r"change of (?:topic|subject)|switching topics?)\b"
)
# Points back to what was said.
_BACK = re.compile(
    r"(?:^|\s)(?:그럼|그러면|그런데도|그래도|그래서|그리고|근데|그건|그거|그게|그걸|그 |그중|그때|거기|이건|이거|이게|이걸|저건|"
    r"위에서|위의|방금|앞에서|아까|더 |좀 더|조금 더|다시|또 |말고|대신|계속|나머지|둘 다|똑같|마찬가지|왜요?\s*\??$)|"
    r"(?:말고|대신)(?:\s|$)|"
    r"^(?:and|so|then|but|what about|how about|why|what if|which one|also|ok(?:ay)?|could you|can you)\b|"
    r"\b(?:it|its|that|those|they|them|their|this|these|instead|again|afterwards|then|else|either|more|shorter|longer|simpler|"
    r"same|former|latter|don't|just as)\b"
)


class Embeds(Protocol):
    """A model of embeddings."""

    def embed(self, texts: Sequence[str], *, timeout: float) -> list[list[float]]:
        """One vector for each text. Raises RunError."""
        ...


class Drift:
    """Tells whether a question has drifted: by embeddings where there are any, else by its words.

    By its words: those that name something (what every question is made of does not count) are known when their terms stand
    in the recent turns, else new; a topic is another one when enough is new that nothing known outweighs. A question that
    points back ("그럼 그건 얼마야?") has to say more that is new, and one that names nothing ("예시 더", "why?") never drifts.
    Mistaken drift costs the answer its context, so a doubtful question stays.
    """

    def __init__(self, embeddings: Embeds | None = None) -> None:
        self._embeddings = embeddings

    def drifted(self, question: str, recent: Sequence[tuple[str, str]]) -> bool:
        """Whether `question` is about something else than the recent (question, answer) turns, oldest first; never without
        any. Takes a few milliseconds by words; embeddings may take seconds, cooperatively, and when they fail words decide."""
        recent = recent[-RECENT:]
        if not recent:
            return False
        question = question[:_LONGEST]
        new, known = overlap(question, [text[:_LONGEST] for turn in recent for text in turn])
        pointing = _pointing(question)
        if self._embeddings is not None and new and not pointing:
            try:
                return self._similarity(self._embeddings, question, recent) < _SIMILAR
            except RunError as error:
                logger.warning("no embeddings for topic drift: %s", error.code)
        return new - known + pointing >= _NEW

    @staticmethod
    def _similarity(embeddings: Embeds, question: str, recent: Sequence[tuple[str, str]]) -> float:
        texts = [question, *(f"{asked}\n{answer}"[:_LONGEST] for asked, answer in recent)]
        asked, *turns = embeddings.embed(texts, timeout=_TIMEOUT)
        return max(_cosine(asked, turn) for turn in turns)


def _pointing(question: str) -> float:
    """How much a question says itself that the topic is another one; below zero: the same."""
    said = plain(question)
    return _POINTING if _CHANGE.search(said) else -_BACKING if _BACK.search(said) else 0.0


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    length = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return product / length if length else 0.0
