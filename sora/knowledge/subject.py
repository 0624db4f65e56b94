"""What a question is about: its words that name something, and whether a text knows them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from sora.knowledge.terms import terms

_WORD = re.compile(r"[^\W_]+(?:[-'.][^\W_]+)*")
_HANGUL = re.compile("[가-힣]")

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


class Overlap(NamedTuple):
    """So many of a question's words that name something are new to some texts, so many known; one may be known in part."""

    new: float
    known: float

    @property
    def share(self) -> float:
        """What is known of all, from 0 to 1."""
        return self.known / (self.new + self.known) if self.known else 0.0


def overlap(question: str, texts: Sequence[str]) -> Overlap:
    """A word is known when its terms stand in the texts, of a Korean one the first, for particles and endings may follow. What
    every question is made of ("어떻게", "please") names nothing. Takes a processor a microsecond for every few characters."""
    context = {term for text in texts for term in terms(text)}
    new = known = 0.0
    for word in dict.fromkeys(_WORD.findall(plain(question))):
        if _COMMON_ENGLISH.fullmatch(word) or _COMMON_KOREAN.match(word) or word.isdigit():
            continue
        parts = terms(word)
        if _HANGUL.search(word):
            share = 1.0 if parts[0] in context else sum(part in context for part in parts) / len(parts)
        else:
            share = float(any(part in context for part in parts))
        known += share
        new += 1.0 - share
    return Overlap(new, known)


def plain(text: str) -> str:
    """The text in one case and one form of each character, without space around it."""
    return unicodedata.normalize("NFKC", text).casefold().strip()
