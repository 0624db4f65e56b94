"""What a reader may take of a file, and what it has taken so far."""

from __future__ import annotations

import msgspec

from sora.errors import UnreadableFile
from sora.knowledge.plaintext import clean


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on files: how many a request has; and of each the bytes, the characters of text, the seconds (all files of a
    request together) and the memory (bytes) to read it, the cells of its tables and the area they span, pages, levels of
    JSON, members of an archive, its bytes when unpacked, and how many times its size that may be."""

    files: int = 10
    size: int = 20_971_520
    text: int = 1_000_000
    seconds: float = 30.0
    memory: int = 768 * 2**20
    cells: int = 500_000
    area: int = 4_000_000
    pages: int = 2_000
    depth: int = 100
    members: int = 10_000
    unpacked: int = 256 * 2**20
    ratio: int = 250


class Gathered:
    """Collects a file's text. Raises UnreadableFile as soon as there is more text, or more cells, than the limits allow."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._pieces: list[str] = []
        self._length = 0
        self._cells = 0

    def add(self, piece: str) -> None:
        """The text goes on with this."""
        self._length += len(piece)
        if self._length > self.limits.text:
            raise UnreadableFile("file_text", high=self.limits.text)
        self._pieces.append(piece)

    def count(self, cells: int) -> None:
        """That many cells more have been read."""
        self._cells += cells
        if self._cells > self.limits.cells:
            raise UnreadableFile("file_cells", high=self.limits.cells)

    def text(self) -> str:
        """All of it, cleaned."""
        return clean("".join(self._pieces))
