"""A text cut into passages: short enough to be quoted whole, each saying where in the document it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Characters of a passage, and of the end of the one before that it repeats.
SIZE = 600
OVERLAP = 100

_HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_BLANK = re.compile(r"\n\s*\n")
# A sentence ends with its mark and a space, or with its line.
_SENTENCE = re.compile(r"(?<=[.!?。！？…])\s+|\n+")
_SPACE = re.compile(r"\s+")


def split(text: str) -> Iterator[str]:
    """The passages of a text, in order: SIZE characters or fewer, and the headings above them.

    A passage ends where a paragraph does, else a sentence, else a word. It begins with up to OVERLAP characters, from the
    beginning of a sentence or a word on, of the one before under the same heading. Headings are Markdown's; the path of
    those that a passage stands under is its first line. Nothing of the text is left out but blank space.
    """
    for path, section in _sections(text):
        head = " > ".join(path)
        pieces = _packed(section)
        if head and not pieces:
            pieces = [""]  # a heading may be all there is
        for piece in pieces:
            yield f"{head}\n{piece}".strip()


def _sections(text: str) -> Iterator[tuple[list[str], str]]:
    """(headings above, text) of each section. A heading above further headings alone stands in their paths."""
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fenced = False

    def section(level: int) -> Iterator[tuple[list[str], str]]:
        body = "\n".join(lines).strip()
        alone = bool(path) and path[-1][0] >= level  # what comes next is not below it
        if body or alone:
            yield [name for _, name in path], body

    for line in text.splitlines():
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        level = len(heading[1])
        yield from section(level)
        path = [*[entry for entry in path if entry[0] < level], (level, heading[2])]
        lines = []
    yield from section(0)


def _packed(section: str) -> list[str]:
    """Paragraphs put together up to SIZE; one that is longer by itself is cut."""
    packed: list[str] = []
    now = ""
    for part in _parts(section):
        if now and len(now) + len(part) > SIZE:
            packed.append(now.strip())
            tail = _tail(now)
            now = tail if len(tail) + len(part) <= SIZE else ""
        now += part
    if now.strip():
        packed.append(now.strip())
    return packed


def _parts(section: str) -> Iterator[str]:
    """What a passage may end behind: paragraphs, else their sentences, else words, else SIZE characters."""
    for paragraph in _BLANK.split(section):
        if len(paragraph) <= SIZE:
            yield f"{paragraph.strip()}\n\n"
            continue
        for sentence in _SENTENCE.split(paragraph):
            if len(sentence) <= SIZE:
                yield f"{sentence} "
                continue
            for word in _SPACE.split(sentence):
                for start in range(0, len(word), SIZE):
                    yield f"{word[start : start + SIZE]} "


def _tail(passage: str) -> str:
    """The end of a passage, from a sentence's or at least a word's beginning on; empty where there is neither."""
    passage = passage.strip()
    if len(passage) <= OVERLAP:
        return ""
    tail = passage[-OVERLAP:]
    for boundary in (_SENTENCE, _SPACE):
        cut = boundary.search(tail)
        if cut is not None and cut.end() < len(tail):
            return f"{tail[cut.end() :]}\n"
    return ""
