"""What the data lines of a Chat Completions stream say."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from sora.providers.data_line import decoder


class Delta(msgspec.Struct, gc=False):
    """New text. Reasoning has two names among the compatible servers; a refusal is an answer too."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta | None = None
    finish_reason: str | None = None
    index: int = 0


class Tokens(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class Chunk(msgspec.Struct):
    """One chunk; all that is not named here is passed over undecoded."""

    choices: list[Choice] | None = None
    usage: Tokens | None = None
    error: Any = None

    def is_text(self) -> bool:
        """Whether it says a text and nothing else."""
        if self.choices is None or len(self.choices) != 1 or self.usage is not None or self.error is not None:
            return False
        (choice,) = self.choices
        delta = choice.delta
        if choice.index != 0 or choice.finish_reason or delta is None or not delta.content:
            return False
        return not (delta.refusal or delta.reasoning_content or delta.reasoning)


decode = decoder(Chunk)


class Mold:
    """What the lines of one answer have in common: nearly all are the same but for their text.

    A line that is the mold with another JSON string in the place of the text says the same with that text, whatever else is in
    it. To compare its ends and to decode the string takes a quarter of the time of decoding the line. Before `cast` none fits.
    """

    __slots__ = ("_after", "_before", "_casts", "_end", "_start")

    def __init__(self) -> None:
        self._before = self._after = b""
        self._start = self._end = 0  # of the string in a line; 0: nothing was cast
        self._casts = _CASTS

    def fit(self, line: bytes) -> str | None:
        """The text of a line that fits; None: it has to be decoded."""
        if self._start and line.startswith(self._before) and line.endswith(self._after):
            return _string_or_none(line[self._start : self._end])
        return None

    def fit_block(self, block: bytes) -> str | None:
        """The same for a block of the stream that is an event of this one line, which most blocks of a model at its pace are."""
        if (
            self._start
            and block.startswith(_FIELD)
            and block.endswith(_BLANK)
            and block.startswith(self._before, len(_FIELD))
            and block.endswith(self._after, 0, -len(_BLANK))
        ):
            return _string_or_none(block[self._start + len(_FIELD) : self._end - len(_BLANK)])
        return None

    def cast(self, line: bytes) -> None:
        """Take the shape of a line that says a text and nothing else. After a few no more: some servers' lines have no shape."""
        if not self._casts:
            return
        self._casts -= 1
        place = _CONTENT.search(line)
        if place is None:
            return
        start, end = place.span(1)
        before, after = line[:start], line[end:]
        # The only key of this name, however written, is the one that the text was found under.
        if (
            line.count(b'"content"') == 1
            and b"\\" not in before
            and b"\\" not in after
            and line.endswith(b"}")
        ):
            self._before, self._after = before, after
            self._start, self._end = start, -len(after)


def _string_or_none(json: bytes) -> str | None:
    try:
        return _string(json)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


_string = msgspec.json.Decoder(str).decode
_FIELD, _BLANK = b"data: ", b"\n\n"
_CONTENT = re.compile(rb'"content": ?("(?:[^"\\]|\\.)*")')
_CASTS = 4
