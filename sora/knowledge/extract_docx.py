"""The text of a Word document: paragraphs, headings, lists and tables, as they stand after its changes."""

from __future__ import annotations

from typing import NoReturn
from xml.parsers import expat

from sora.errors import UnreadableFile
from sora.knowledge.archive import Archive
from sora.knowledge.gathered import Gathered

_WORD = frozenset(
    {
        "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "http://purl.oclc.org/ooxml/wordprocessingml/main",
    }
)
_COMPATIBILITY = "http://schemas.openxmlformats.org/markup-compatibility/2006"
_DELETED = frozenset({"del", "moveFrom"})


def read(content: bytes, out: Gathered) -> None:
    """The body's text, then the foot- and endnotes'. A row of a table is a line, its cells parted by bars."""
    archive = Archive(content, out.limits)
    styles = _Styles()
    _parse(archive, "word/styles.xml", styles)
    for part in ("word/document.xml", "word/footnotes.xml", "word/endnotes.xml"):
        _parse(archive, part, _Body(out, styles.marks))
        out.add("\n")


class _Handler:
    """Gets a part's elements of the Word namespace by their local names, attributes likewise."""

    def start(self, name: str, attributes: dict[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, data: str) -> None: ...


def _parse(archive: Archive, part: str, handler: _Handler) -> None:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def local(name: str) -> str:
        namespace, _, short = name.rpartition(" ")
        if namespace in _WORD:
            return short
        return "fallback" if (namespace, short) == (_COMPATIBILITY, "Fallback") else ""

    def start(name: str, attributes: dict[str, str]) -> None:
        if known := local(name):
            handler.start(known, {key.rpartition(" ")[2]: value for key, value in attributes.items()})

    def end(name: str) -> None:
        if known := local(name):
            handler.end(known)

    def refuse(*_: object) -> NoReturn:
        raise UnreadableFile("file_broken")  # Office writes no document type; an entity bomb needs one

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = handler.text
    parser.StartDoctypeDeclHandler = refuse
    found = False
    for chunk in archive.chunks(part):
        found = True
        parser.Parse(chunk, False)
    if found:
        parser.Parse(b"", True)


class _Styles(_Handler):
    """What stands before a paragraph of a style: a heading's or a list's mark. A style's id may be in its author's language,
    its name is not."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}
        self._id = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "style":
            self._id = attributes.get("styleId", "")
        elif name == "name" and self._id:
            words = attributes.get("val", "").lower().split()
            if len(words) == 2 and words[0] == "heading" and words[1] in "123456":
                self.marks[self._id] = "#" * int(words[1]) + " "
            elif words == ["title"]:
                self.marks[self._id] = "# "
            elif words[:2] in (["list", "bullet"], ["list", "number"]):
                self.marks[self._id] = "- "


class _Body(_Handler):
    def __init__(self, out: Gathered, styles: dict[str, str]) -> None:
        self._out = out
        self._styles = styles
        self._skipped = 0
        self._shown = False  # inside of a text element
        self._paragraphs: list[
            tuple[list[str], list[str]]
        ] = []  # (text, marks before it), a text box's inside of its own
        self._rows: list[list[str]] = []  # cells, of a table in a table inside of its own
        self._cells: list[list[str]] = []  # paragraphs

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._skipped or name == "fallback" or name in _DELETED:
            self._skipped += 1
        elif name == "p":
            self._paragraphs.append(([], []))
        elif name == "tr":
            self._rows.append([])
        elif name == "tc":
            self._cells.append([])
        elif name == "t":
            self._shown = True
        elif self._paragraphs:
            text, marks = self._paragraphs[-1]
            if name in ("tab", "br", "cr") and not (
                name == "tab" and attributes
            ):  # with them it is a tab stop
                text.append("\t" if name == "tab" else "\n")
            elif name == "pStyle" and (mark := self._styles.get(attributes.get("val", ""))):
                marks[:] = [mark]
            elif name == "numPr" and not marks:
                marks.append("- ")

    def end(self, name: str) -> None:
        if self._skipped:
            self._skipped -= 1
        elif name == "t":
            self._shown = False
        elif name == "p" and self._paragraphs:
            text, marks = self._paragraphs.pop()
            self._say("".join(text), "".join(marks))
        elif name == "tc" and self._cells:
            paragraphs = self._cells.pop()
            if self._rows:
                self._rows[-1].append(" ".join(paragraphs))
        elif name == "tr" and self._rows:
            self._say(" | ".join(self._rows.pop()), "")
        elif name == "tbl" and not self._cells:
            self._out.add("\n")

    def text(self, data: str) -> None:
        if self._shown and not self._skipped and self._paragraphs:
            self._paragraphs[-1][0].append(data)

    def _say(self, line: str, mark: str) -> None:
        if not line.strip():
            return
        if self._cells:
            self._cells[-1].append(" ".join(line.split()))
        else:
            self._out.add(f"\n{mark}{line}\n\n" if mark.startswith("#") else f"{mark}{line}\n")
