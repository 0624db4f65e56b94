"""Text as it may be saved and sent: valid Unicode without NUL."""

from __future__ import annotations


class Cleaner:
    """Cleans one stream of pieces. A surrogate pair split over two pieces is joined; lone surrogates become U+FFFD and NUL is
    dropped: PostgreSQL refuses NUL, UTF-8 refuses surrogates, and JSON from a model may hold both."""

    def __init__(self) -> None:
        self._high = ""

    def feed(self, piece: str) -> str:
        """The piece, cleaned; may hold back its last character until its other half has come."""
        if self._high:
            piece, self._high = self._high + piece, ""
        try:
            piece.encode()
        except UnicodeEncodeError:
            if piece and "\ud800" <= piece[-1] <= "\udbff":
                piece, self._high = piece[:-1], piece[-1]
            piece = piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return piece.replace("\0", "") if "\0" in piece else piece

    def clean(self, pieces: list[str]) -> bool:
        """Whether these pieces, the next ones, are as they should be: then they need not be fed."""
        text = "".join(pieces) if len(pieces) != 1 else pieces[0]
        if self._high or "\0" in text or "" in pieces:
            return False
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
        return True

    def end(self) -> str:
        """What was held back."""
        held, self._high = self._high, ""
        return "\ufffd" if held else ""
