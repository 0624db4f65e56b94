"""The text of a web page: what is shown, with its headings, lists and tables."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from sora.knowledge.gathered import Gathered
from sora.knowledge.plaintext import decoded

_UNSEEN = frozenset({"script", "style", "template", "noscript", "svg", "head", "select", "iframe", "object"})
_BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "figure", "footer",
        "form", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "tr", "ul",
    }
)  # fmt: skip
_HEADING = re.compile(r"h[1-6]")
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_-]{1,20})", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


def read(content: bytes, out: Gathered) -> None:
    """The page's text. Its encoding is UTF-8, else what it says itself."""
    parser = _Page(out)
    parser.feed(_decoded(content))
    parser.close()


def _decoded(content: bytes) -> str:
    said = _CHARSET.search(content[:4096])
    try:
        return content.decode("utf-8-sig" if said is None else said[1].decode())
    except (UnicodeDecodeError, LookupError):
        return decoded(content)


class _Page(HTMLParser):
    def __init__(self, out: Gathered) -> None:
        super().__init__(convert_charrefs=True)
        self._out = out
        self._unseen: list[str] = []
        self._title = False
        self._as_it_is = 0
        self._within_row = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title":
            self._title = True
        elif tag == "body":
            self._unseen.clear()  # nobody closes a head by hand
        elif tag in _UNSEEN:
            self._unseen.append(tag)
        elif _HEADING.fullmatch(tag):
            self._out.add(f"\n\n{'#' * int(tag[1])} ")
        elif tag == "li":
            self._out.add("\n- ")
        elif tag in ("td", "th"):
            self._out.add(" | " if self._within_row else "")
            self._within_row = True
        elif tag in _BLOCKS:
            self._as_it_is += tag == "pre"
            self._within_row = False
            self._out.add("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._title = False
            self._out.add("\n\n")
        elif tag in self._unseen:
            while self._unseen.pop() != tag:
                pass
        elif tag in _BLOCKS or _HEADING.fullmatch(tag):
            self._as_it_is -= tag == "pre" and self._as_it_is > 0
            self._out.add("\n\n" if tag in ("p", "table") or tag[0] == "h" else "\n")

    def handle_data(self, data: str) -> None:
        if self._title or not self._unseen:
            self._out.add(data if self._as_it_is else _SPACE.sub(" ", data))
