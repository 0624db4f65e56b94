"""The words of a simulated answer: shaped by the prompt, in its language, and open about being simulated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice
from random import Random
from typing import Any

from sora.simulator.citations import CITATIONS, Citation
from sora.simulator.scripts import MILLION, Script

Message = Mapping[str, Any]

_TOKEN = re.compile(r"\s?\S{1,5}|\s{1,6}")
_TAG = re.compile(r"</?\w+>")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_DISTRESS = re.compile(
    r"자살|자해|죽고\s*싶|죽어\s*버리|죽는\s*게\s*나|사라지고\s*싶|목숨을\s*끊|살기\s*싫|살고\s*싶지|손목을\s*(?:그|긋)|극단적\s*선택"
    r"|suicid|self[- ]?harm|(?:kill|harm|hurt|cut)(?:t?ing)?\s+myself|end\s+my\s+life"
    r"|(?:want|wish)\s+to\s+die|don[’']?t\s+want\s+to\s+live|better\s+off\s+dead",
    re.IGNORECASE,
)
_TONES: Mapping[str, re.Pattern[str]] = {
    "warm": re.compile(r"공감|따뜻|감정|위로|다정|feeling|empath|warm|gentle|comfort", re.IGNORECASE),
    "frank": re.compile(
        r"솔직|직설|논리|분석|이성|객관|사고형|thinking|frank|honest|logic|direct|analy", re.IGNORECASE
    ),
}


@dataclass(frozen=True, slots=True)
class _Voice:
    """Sentences of one tone in one language; {q} stands for words quoted from the user."""

    opening: str
    middle: tuple[str, ...]
    closing: str


_VOICES: Mapping[tuple[str, str], _Voice] = {
    ("ko", "warm"): _Voice(
        "(시뮬레이션 응답) ‘{q}’ 이야기를 들려줘서 고마워요. 😊",
        (
            "그 순간의 마음이 글에서 그대로 느껴졌어요.",
            "‘{q}’ 부분을 읽으면서 저도 모르게 고개를 끄덕였어요.",
            "누구라도 그런 하루에는 마음이 흔들렸을 거예요.",
            "그 감정을 숨기지 않고 적어 둔 것만으로도 충분히 잘하고 있어요. 🌱",
            "‘{q}’ 장면에서는 애쓴 흔적이 보여서 마음이 따뜻해졌어요.",
            "조금 지쳐 있었다면 오늘만큼은 천천히 쉬어도 괜찮아요.",
            "작은 일처럼 보여도 당신에게는 큰 의미였을 것 같아요.",
        ),
        "오늘의 당신을 가만히 안아 주고 싶어요. 내일도 이야기 들려줘요. 🍀",
    ),
    ("ko", "frank"): _Voice(
        "(시뮬레이션 응답) ‘{q}’부터 솔직하게 짚어 볼게요.",
        (
            "사실과 느낌을 나누어 보면 상황이 훨씬 또렷해집니다.",
            "‘{q}’ 부분은 원인이 아니라 결과에 가깝습니다.",
            "바꿀 수 있는 것은 오늘의 행동이고, 바꿀 수 없는 것은 이미 지난 일입니다.",
            "‘{q}’ 문제는 우선순위를 하나만 정하면 절반은 풀립니다.",
            "같은 일이 반복된다면 시간과 장소를 기록해 두고 비교해 보세요.",
            "잘한 점도 분명합니다. 하루를 글로 정리했다는 것 자체가 분석의 시작입니다.",
            "감정은 참고 자료로 두고, 다음 한 걸음을 구체적으로 적어 보세요. 📌",
        ),
        "결론은 간단합니다. 내일 할 일 하나를 지금 정하고, 끝나면 결과를 적으세요.",
    ),
    ("ko", "plain"): _Voice(
        "(시뮬레이션 응답) ‘{q}’에 대해 말씀드릴게요.",
        (
            "먼저 중요한 점부터 차례대로 정리해 보겠습니다.",
            "‘{q}’ 부분은 상황에 따라 답이 달라질 수 있습니다.",
            "첫째, 지금 알고 있는 것과 모르는 것을 나누어 보세요.",
            "둘째, 가장 작은 것부터 직접 확인해 보는 편이 빠릅니다.",
            "‘{q}’ 내용은 믿을 만한 자료와 함께 보시면 더 좋습니다. 📚",
            "셋째, 결과를 짧게 기록해 두면 다음에 다시 쓸 수 있습니다.",
            "비슷한 경우가 많으니 너무 걱정하지 않으셔도 됩니다. 🙂",
        ),
        "더 궁금한 점이 있으면 이어서 물어봐 주세요.",
    ),
    ("en", "warm"): _Voice(
        "(simulated answer) Thank you for telling me about “{q}”. 😊",
        (
            "I could feel what that moment was like for you.",
            "Reading “{q}”, I found myself nodding along.",
            "Anyone would have been moved by a day like this one.",
            "Writing it down without hiding it was already a kind thing to do for yourself. 🌱",
            "The part about “{q}” shows how much care you put into it.",
            "If you are tired, it is all right to rest a little tonight.",
            "It may look small, but it clearly meant a lot to you.",
        ),
        "Be gentle with yourself today, and tell me more tomorrow. 🍀",
    ),
    ("en", "frank"): _Voice(
        "(simulated answer) Let me be frank about “{q}”.",
        (
            "Separate what happened from how it felt, and the picture gets clearer.",
            "“{q}” looks like a result here, not a cause.",
            "What you can change is what you do next; the rest is already past.",
            "With “{q}”, choosing one priority solves half of the problem.",
            "If it keeps happening, write down when and where, and compare.",
            "You did one thing right: putting the day in order is where analysis starts.",
            "Treat the feeling as data and make the next step concrete. 📌",
        ),
        "The conclusion is simple: pick one thing for tomorrow, do it, and note the result.",
    ),
    ("en", "plain"): _Voice(
        "(simulated answer) Here is what I can say about “{q}”.",
        (
            "Let us start with the points that matter most.",
            "The answer to “{q}” depends on the situation.",
            "First, separate what you know from what you do not.",
            "Second, checking the smallest thing yourself is usually fastest.",
            "It helps to read about “{q}” in a source you trust. 📚",
            "Third, keep a short note of the result so that you can use it again.",
            "Many people meet the same question, so there is no need to worry. 🙂",
        ),
        "Ask me again if you would like to know more.",
    ),
}

_CARE: Mapping[str, tuple[str, ...]] = {
    "ko": (
        "(시뮬레이션 응답) 많이 힘드셨겠어요. 이야기해 주셔서 고맙습니다.",
        "혼자 견디지 않아도 돼요. 지금 자살예방 상담전화 109에 전화하면 24시간 누군가 들어 줍니다.",
        "청소년전화 1388도 있어요. 위급하면 119나 112로 연락하세요.",
        "가까운 사람에게 오늘 곁에 있어 달라고 말해 주세요. 💛",
    ),
    "en": (
        "(simulated answer) I am so sorry it hurts this much. Thank you for telling me.",
        "You do not have to carry it alone. In Korea call 109, day or night.",
        "Elsewhere call your local helpline (findahelpline.com lists them).",
        "If you are in danger now, call your emergency number.",
        "Please ask somebody close to stay with you today. 💛",
    ),
}

_REFUSAL: Mapping[str, str] = {
    "ko": "(시뮬레이션 응답) 죄송하지만 그 요청에는 답해 드릴 수 없습니다.",
    "en": "(simulated answer) I’m sorry, but I can’t help with that request.",
}
_REASONING: Mapping[str, str] = {
    "ko": "(시뮬레이션 추론) 사용자가 ‘{q}’에 대해 썼다. 무엇을 느꼈는지 먼저 살피고 짧게 답하자.",
    "en": "(simulated reasoning) The user wrote about “{q}”. See what matters to them, then answer.",
}

_AWKWARD: tuple[str, ...] = ("\ud83d", "\ude0a", " nul\x00", " \ud800lone", " \udfff.")
"""What `sim-surrogate` slips in: a smiling face split over two deltas, a NUL, two lone surrogates."""


def pieces(text: str) -> list[str]:
    """Cut a text into token-like pieces of one to six characters; joined they are the text again."""
    return _TOKEN.findall(text)


def plain_text(content: object) -> str:
    """The text of a message's content: a string, or the text parts of a list; anything else has none."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


class Answer:
    """The words a script answers these messages with: always the same ones for the same of both. After a web search (`searched`)
    they end with what was found."""

    def __init__(self, messages: Sequence[Message], script: Script, *, searched: bool = False) -> None:
        self._script = script
        turns = [(message.get("role"), plain_text(message.get("content"))) for message in messages]
        self._user = next((text for role, text in reversed(turns) if role == "user"), "")
        system = " ".join(text for role, text in turns if role in ("system", "developer"))
        self._random = Random(blake2b(repr(turns).encode()).digest())
        self._language = "ko" if _HANGUL.search(self._user or system) else "en"
        hits = {tone: len(pattern.findall(system)) for tone, pattern in _TONES.items()}
        tone = "plain" if hits["warm"] == hits["frank"] else max(hits, key=lambda name: hits[name])
        self._voice = _VOICES[self._language, tone]
        self._care = _CARE[self._language] if _DISTRESS.search(self._user) else ()
        self.citations: Sequence[Citation] = CITATIONS[self._language] if searched else ()
        self.query = " ".join(_WORD.findall(self._user)[:8])
        self.prompt_tokens = sum(len(pieces(text)) + 3 for _, text in turns)

    def reasoning(self) -> list[str]:
        """The pieces of what is thought before the text; none unless the script reasons."""
        return pieces(self._quoting(_REASONING[self._language])) if self._script.reasoning else []

    def text(self) -> Iterator[str]:
        """The pieces of the text, made one by one: as many as the script says, else about 60 to 120; then one for each of the
        `citations`, unless there is nothing to cite."""
        if self._script.empty:
            return iter(())
        words = self._words()
        return words if self._script.refusal else chain(words, (each.piece for each in self.citations))

    def _words(self) -> Iterator[str]:
        script = self._script
        if script.million:
            return self._million()
        if script.refusal:
            words: Iterator[str] = iter(pieces(_REFUSAL[self._language]))
        elif script.echo:
            words = iter(pieces(self._user))
        elif script.tokens is not None:
            words = self._endless()
        else:
            words = iter(self._usual())
        if script.surrogate:
            words = chain(islice(words, 2), _AWKWARD, words)
        return words if script.tokens is None else islice(words, script.tokens)

    def _usual(self) -> list[str]:
        if self._care:
            return pieces(" ".join(self._care))
        middle = self._voice.middle
        chosen = sorted(self._random.sample(range(len(middle)), 5))
        sentences = [self._voice.opening, *(middle[index] for index in chosen), self._voice.closing]
        return pieces(" ".join(map(self._quoting, sentences)))

    def _endless(self) -> Iterator[str]:
        yield from self._usual()
        more = self._care or self._voice.middle
        while True:
            for sentence in self._random.sample(more, len(more)):
                yield from pieces(" " + self._quoting(sentence))

    def _million(self) -> Iterator[str]:
        block = "".join(islice(self._endless(), 2000))
        text = block * (MILLION // len(block) + 1)
        return (text[start : start + 250] for start in range(0, MILLION, 250))

    def _quoting(self, sentence: str) -> str:
        """The sentence with a few of the user's words, at most three words and twenty characters, for {q}."""
        if "{q}" not in sentence:
            return sentence
        words = _WORD.findall(_TAG.sub(" ", self._user[:4000]))
        start = self._random.randrange(max(1, len(words) - 2))
        phrase = " ".join(words[start : start + 3])[:20].strip()
        return sentence.replace("{q}", phrase or ("이 이야기" if self._language == "ko" else "this"))
