"""A file on its way into the knowledge base: what was extracted from it becomes a document with passages."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePath

from sora.errors import UnreadableFile
from sora.knowledge.documents import Draft
from sora.knowledge.extract import Extracted, Table
from sora.knowledge.passages import split
from sora.knowledge.sheets import Sheet, typed

# Part of every digest: files are taken in anew when what becomes of them changes.
_RULES = b"1\0"
_TITLE = re.compile(r"#{1,2}\s+(\S.*?)\s*#*")


def digest_of(content: bytes) -> str:
    """What tells this content of a file from another."""
    digest = hashlib.sha256(_RULES)
    digest.update(content)  # not put together with them: a copy of 20 MB is a wait
    return digest.hexdigest()


def draft_of(extracted: Extracted, *, source: str, digest: str) -> Draft:
    """A document of what was extracted. Each row of a table is a passage; a text is cut (`sora.knowledge.passages`).

    Works for a second on a few million characters: call it aside. Raises UnreadableFile for what has no text: an image.
    """
    name = extracted.name
    stem = PurePath(name).stem
    if extracted.kind == "image":
        raise UnreadableFile("file_no_text", name=name)
    if not any(table.rows for table in extracted.tables):
        title = next(filter(None, map(_TITLE.fullmatch, extracted.text.splitlines()[:20])), None)
        texts = list(split(extracted.text))
        return Draft(source, name, title[1] if title else stem, extracted.media_type, digest, texts)
    sheets: list[Sheet] = []
    texts, rows = [], []
    for table in extracted.tables:
        columns, values = typed(table.columns, table.rows)
        sheets.append(Sheet(table.name, columns, len(values)))
        texts += _lines(table, stem)
        rows += values
    return Draft(source, name, stem, extracted.media_type, digest, texts, tuple(sheets), rows)


def _lines(table: Table, stem: str) -> list[str]:
    """A passage for each row, which says by itself what its cells mean."""
    head = f"{table.name}\n" if table.name != stem else ""
    return [
        head + ", ".join(f"{name}: {cell}" for name, cell in row.items() if cell.strip())
        for row in table.rows
    ]
