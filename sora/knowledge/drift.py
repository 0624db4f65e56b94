"""Topic drift: whether a question has left what was talked about before."""

from __future__ import annotations

import logging
import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Protocol

from sora.errors import RunError
from sora.knowledge.terms import terms

logger = logging.getLogger(__name__)

RECENT = 4  #: so many questions and their answers are what was talked about
_NEW = 1.6  # so many more new words than known ones are another topic
_POINTING = 3.0  # words, as many as a question says by itself that it changes the topic
_BACKING = 0.7  # and as many against it
_SIMILAR = 0.25  # cosine of two embeddings about one topic, at least
_TIMEOUT = 3.0  # seconds for the embeddings: nobody waits longer to be told of a drift
_LONGEST = 4000  # characters of a turn that are looked at

_WORD = re.compile(r"[^\W_]+(?:[-'.][^\W_]+)*")
_HANGUL = re.compile("[가-힣]")

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
# What questions are made of, whatever they are about.
_COMMON_KOREAN = re.compile(
    r"(?:어떻|어떡|어떤|어때|어디|언제|누구|누가|무엇|무슨|뭐|뭔|뭘|왜|얼마|몇|하나|하는|하면|하려|하고|해야|해도|해요|해줘|해주|해서|했|합니|할까|할때|"
    r"되나|되는|되면|되죠|돼|됩니|될까|있|없|좋|나쁘|싶|같|주세|주시|줘|줄래|줄까|달라|다르|알려|알고|알아|말해|보여|보이|찾아|추천|설명|소개|정리|요약|번역|"
    r"예시|예를|예제|이유|방법|경우|정도|필요|가능|관련|대해|대한|대하|위해|위한|통해|제일|가장|많|적|조금|자주|너무|정말|진짜|아주|매우|자꾸|계속|그냥|"
    r"만들|써|쓰|작성|짜|괜찮|궁금|문의|질문|답|이번|다음|요즘|지금|오늘|내일|어제|우리|저는|제가|나는|내가|저희|것|거|게|건|걸|수|때|좀|안|못|잘|한|두|세|"
    r"된|될|할|인가|인지|일까|이란|짧|길|쉽|쉬|자세|간단|표로|비교|차이|장점|단점|단계|목록|계획|종류|어려|정확|확인|방식|사용|이용|가격|비용|시간|"
    r"아니|네|응|예|감사|고마|안녕|부탁|혹시|만약|보통|원래|바로|먼저|모두|전부|각각|서로|함께|같이|따로|구체)"
)
_COMMON_ENGLISH = re.compile(
    "a|an|the|and|or|but|if|so|than|then|as|at|by|for|from|in|into|of|off|on|onto|out|over|to|up|with|without|about|"
    "after|before|i|me|my|mine|we|us|our|you|your|he|she|it|its|they|them|their|this|that|these|those|who|whom|whose|"
    "which|what|when|where|why|how|is|am|are|was|were|be|been|being|do|does|did|done|doing|have|has|had|can|could|"
    "will|would|shall|should|may|might|must|not|no|yes|please|thanks|thank|hello|hi|ok|okay|give|tell|show|make|"
    "write|explain|describe|list|suggest|recommend|find|help|need|want|know|get|take|use|using|let|go|see|say|mean|"
    "means|add|set|put|summarize|translate|compare|draft|plan|work|works|example|examples|more|less|most|least|much|"
    "many|some|any|all|every|each|other|another|same|different|better|best|good|bad|new|old|first|last|next|long|"
    "short|shorter|longer|big|small|large|early|late|still|even|just|only|also|too|very|really|actually|there|here|"
    "one|two|three|four|five|way|ways|thing|things|kind|type|difference|reason|reasons|between|during|day|days|time|"
    "times|much|often|i'm|i'd|i'll|i've|it's|that's|what's|don't|doesn't|didn't|isn't|aren't|can't|won't|let's|who's|"
    "where's|how's|happen|happens|look|try|keep|start|stop|again|afterwards|instead|enough|exactly|simply|both|"
    "either"
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
        any. Takes below a millisecond by words; embeddings may take seconds, cooperatively, and when they fail words decide."""
        recent = recent[-RECENT:]
        if not recent:
            return False
        new, known, pointing = _weights(question, recent)
        if self._embeddings is not None and new and not pointing:
            try:
                return self._similarity(self._embeddings, question, recent) < _SIMILAR
            except RunError as error:
                logger.warning("no embeddings for topic drift: %s", error.code)
        return new - known + pointing >= _NEW

    @staticmethod
    def _similarity(embeddings: Embeds, question: str, recent: Sequence[tuple[str, str]]) -> float:
        texts = [question[:_LONGEST], *(f"{asked}\n{answer}"[:_LONGEST] for asked, answer in recent)]
        asked, *turns = embeddings.embed(texts, timeout=_TIMEOUT)
        return max(_cosine(asked, turn) for turn in turns)


def _weights(question: str, recent: Sequence[tuple[str, str]]) -> tuple[float, float, float]:
    """What is new in a question, what is known, and how much it says itself that the topic is another (below zero: the same)."""
    said = _plain(question[:_LONGEST])
    context = {term for turn in recent for text in turn for term in terms(text[:_LONGEST])}
    new = known = 0.0
    for word in dict.fromkeys(_WORD.findall(said)):
        if _COMMON_ENGLISH.fullmatch(word) or _COMMON_KOREAN.match(word) or word.isdigit():
            continue
        parts = terms(word)
        if _HANGUL.search(word):
            # The first pair is the stem's; what follows may be particles and endings.
            share = 1.0 if parts[0] in context else sum(part in context for part in parts) / len(parts)
        else:
            share = float(any(part in context for part in parts))
        known += share
        new += 1.0 - share
    pointing = _POINTING if _CHANGE.search(said) else -_BACKING if _BACK.search(said) else 0.0
    return new, known, pointing


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    length = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return product / length if length else 0.0
