"""Rows of cells become a table with named columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from sora.knowledge.gathered import Gathered

_HEADER_WITHIN = 10  # rows above a header: a title, a date, an empty line
_NUMBER = re.compile(r"[-+(]?\s*[$€£¥₩]?\s*[\d.,\s]*\d\s*\)?\s*[%원개]?|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*")
_YEAR = re.compile(r"(?:19|20)\d\d")


class Table(NamedTuple):
    """Its columns each have a name; a row maps names to texts, and has no key where it has no cell any more: its last ones
    are empty."""

    name: str
    columns: tuple[str, ...]
    rows: list[dict[str, str]]


def tabled(name: str, rows: Iterable[list[str]], *, out: Gathered) -> Table:
    """A table of rows as they stand in a file; its text, a line for each row, goes to `out`.

    The first of the first ten rows that is as wide as most and holds words alone names the columns; where there is none they
    are called A, B, C … as a spreadsheet's. What stands above is in the text only. Empty rows are left out.
    """
    kept = []
    for cells in rows:
        if row := _stripped(cells):
            out.count(len(row))
            out.add(" | ".join(row) + "\n")
            kept.append(row)
    if not kept:
        return Table(name, (), [])
    header = _header(kept)
    body = kept if header is None else kept[header + 1 :]
    width = max(map(len, body), default=0)
    columns = _names([] if header is None else kept[header], width)
    return Table(name, columns, [dict(zip(columns, row, strict=False)) for row in body])


def _stripped(row: list[str]) -> list[str]:
    cells = [" ".join(cell.split()) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _header(rows: list[list[str]]) -> int | None:
    """The place of the row that names the columns."""
    usual = Counter(len(row) for row in rows[:100]).most_common(1)[0][0]
    for place, row in enumerate(rows[:_HEADER_WITHIN]):
        filled = [cell for cell in row if cell]
        if 2 * len(filled) > usual and len(row) <= 2 * usual:
            words = not _NUMBER.fullmatch(filled[0]) and all(
                _YEAR.fullmatch(cell) or not _NUMBER.fullmatch(cell) for cell in filled
            )
            return place if words else None
    return None


def _names(header: list[str], width: int) -> tuple[str, ...]:
    """A name for each column: the header's, told apart where two are the same; a letter where it has none."""
    names: dict[str, None] = {}
    for column in range(max(width, len(header))):
        wanted = (header[column] if column < len(header) else "") or _letter(column)
        name, number = wanted, 1
        while name in names:
            number += 1
            name = f"{wanted} {number}"
        names[name] = None
    return tuple(names)


def _letter(column: int) -> str:
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
