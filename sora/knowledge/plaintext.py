"""Bytes that are text become text: encodings, and the characters that are of use."""

from __future__ import annotations

import codecs
import re
import unicodedata

from sora.errors import UnreadableFile

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
_SPACE = re.compile("\r\n?|[\x0c\x85\u2028\u2029]")
_BLANK = re.compile(r"[ \t]+$|\n(?:[ \t]*\n){2,}", re.MULTILINE)


def decoded(content: bytes) -> str:
    """Text in UTF-8, in UTF-16 or UTF-32 with their mark, in CP949 (EUC-KR: what Excel writes in Korea), else Windows-1252.

    A few broken bytes in UTF-8 become U+FFFD. Raises UnreadableFile for bytes that are no text.
    """
    text = _decoded(content)
    # Text has hardly any of these: a terminal's colours, a stray form feed. A NUL stands in none.
    odd = len(_CONTROL.findall(text[:100_000]))
    if "\0" in text or odd > 2 + min(len(text), 100_000) // 200:
        raise UnreadableFile("file_disguised")
    return text


def clean(text: str) -> str:
    """The text NFC, its lines ended by \\n, without control characters, spaces at a line's end and heaps of empty lines."""
    text = _CONTROL.sub("", _SPACE.sub("\n", unicodedata.normalize("NFC", text)))
    return _BLANK.sub(lambda blank: "\n\n" if blank[0].startswith("\n") else "", text).strip("\n")


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    for encoding in ("utf-8", "cp949"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            pass
    text = content.decode("utf-8", errors="replace")
    if text.count("\ufffd") * 500 <= len(text):
        return text
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        raise UnreadableFile("file_disguised") from None
