"""Text as it may be saved and sent: valid Unicode without NUL."""

from __future__ import annotations


class Cleaner:
    """Cleans one stream of pieces. A surrogate pair split over two pieces is joined; lone surrogates become U+FFFD and NUL is
    dropped: PostgreSQL refuses NUL, UTF-8 refuses surrogates, and JSON from a model may hold both."""

    def __init__(self) -> None:
        self._high = ""

    def feed(self, pieces: list[str]) -> list[str]:
        """The pieces, cleaned, those that are not empty; may hold back the last character until its other half has come."""
        text = "".join(pieces)
        # Nearly always there is nothing to clean, and one look tells it of all of them.
        if not self._high and "\0" not in text and "" not in pieces and _is_valid(text):
            return pieces
        return [clean for piece in pieces if (clean := self._clean(piece))]

    def _clean(self, piece: str) -> str:
        if self._high:
            piece, self._high = self._high + piece, ""
        if not _is_valid(piece):
            if "\ud800" <= piece[-1] <= "\udbff":
                piece, self._high = piece[:-1], piece[-1]
            piece = piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return piece.replace("\0", "")

    def end(self) -> list[str]:
        """What was held back, if anything."""
        held, self._high = self._high, ""
        return ["\ufffd"] if held else []


def _is_valid(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
