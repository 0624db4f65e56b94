"""The terms that a text is found by, in Korean and English, the same whatever the database.

Hangul, kana and ideographs are cut into overlapping pairs: 재고는 holds 재고, which a tokenizer of whole words misses, and so
does one of three characters. A lone character is a term of its own, also before a particle: 물을 holds 물. Other words are
stemmed lightly, and numbers lose their thousands separators. What has both letters and digits, or separators among digits,
is a term as a whole, without the separators, and in its pieces: ABC-12345 is found as ABC12345, abc and 12345.
"""

from __future__ import annotations

import functools
import re
import unicodedata

#: A longer term is cut.
LONGEST = 64

_PAIRED = "가-힣ᄀ-ᇿ぀-ヿ㐀-鿿"
_WORD = rf"[^\W_{_PAIRED}]"
_TOKENS = re.compile(rf"([{_PAIRED}]+)|({_WORD}+(?:[-_./]{_WORD}+)*)")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_PIECES = re.compile(r"[0-9]+|[^\W\d_]+")
_PARTICLES = frozenset("은는이가을를에의도만와과로")
_VOWELS = frozenset("aeiouy")


def terms(text: str) -> list[str]:
    """The terms of a text in order, each as often as it stands there."""
    text = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).casefold())
    found: list[str] = []
    for run, word in _TOKENS.findall(text):
        if run:
            if len(run) == 1:
                found.append(run)
            else:
                found += [run[at : at + 2] for at in range(len(run) - 1)]
                if len(run) == 2 and run[1] in _PARTICLES:
                    found.append(run[0])
        elif word.isascii() and word.isalpha():
            found.append(_stem(word))
        else:
            found += _pieces(word)
    return found


@functools.lru_cache(65_536)
def _pieces(word: str) -> tuple[str, ...]:
    pieces = _PIECES.findall(word)
    stems = tuple(_stem(piece) for piece in pieces)
    whole = "".join(pieces)
    if len(pieces) > 1 and any(piece.isdigit() for piece in pieces):
        return (whole[:LONGEST], *stems)
    return stems


@functools.lru_cache(65_536)
def _stem(word: str) -> str:
    """An English word without the endings of its forms: leave, leaves and leaving are one term; likewise carry and carried."""
    if len(word) > 4 and word.endswith(("ies", "ied")):
        word = word[:-3] + "y"
    elif len(word) > 5 and word.endswith("ing") and not _VOWELS.isdisjoint(word[:-3]):
        word = _single(word[:-3])
    elif len(word) > 4 and word.endswith("ed") and not _VOWELS.isdisjoint(word[:-2]):
        word = _single(word[:-2])
    elif len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:LONGEST]


def _single(word: str) -> str:
    """stopp(ed) is stop; call(ed), pass(ed) and add(ed) keep their double letters."""
    doubled = len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz"
    return word[:-1] if doubled else word
