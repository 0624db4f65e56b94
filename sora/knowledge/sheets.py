"""Tables whose rows are values that can be compared and added up: each column has one type."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

#: A number, a date as YYYY-MM-DD, a text; None: the cell is empty.
Cell = int | float | str | None
Row = dict[str, Cell]

# A number with a leading zero is a name: 00123 is a code, not 123.
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,14}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,4})(?:\.[0-9]{1,15})?")
_DATE = re.compile(r"([0-9]{4})[-/.] ?([0-9]{1,2})[-/.] ?([0-9]{1,2})\.?(?:[T ]0{1,2}:00(?::00)?)?")


class Column(NamedTuple):
    """A column of a table."""

    name: str
    type: Literal["number", "date", "text"]


class Sheet(NamedTuple):
    """One table of a document: its columns, in order, and how many rows it has."""

    name: str
    columns: tuple[Column, ...]
    rows: int


_SHEETS = msgspec.json.Decoder(tuple[Sheet, ...])


def typed(columns: Sequence[str], rows: Sequence[dict[str, str]]) -> tuple[tuple[Column, ...], list[Row]]:
    """The columns, and the rows with their cells as values. A column is of numbers, or of dates, if each of its cells is one
    or empty, and of texts otherwise. Rows may lack cells."""
    types = [Column(name, _type([row.get(name, "").strip() for row in rows])) for name in columns]
    return tuple(types), [
        {name: _value(row.get(name, "").strip(), type) for name, type in types} for row in rows
    ]


def encoded(sheets: Sequence[Sheet]) -> str | None:
    """What `decoded` makes the sheets of again; None without any."""
    return msgspec.json.encode(sheets).decode() if sheets else None


def decoded(text: str | None) -> tuple[Sheet, ...]:
    """The sheets that `encoded` wrote down; none for None."""
    return _SHEETS.decode(text) if text else ()


def _type(cells: Sequence[str]) -> Literal["number", "date", "text"]:
    cells = [cell for cell in cells if cell]
    if cells and all(_NUMBER.fullmatch(cell) for cell in cells):
        return "number"
    if cells and all(_date(cell) for cell in cells):
        return "date"
    return "text"


def _value(cell: str, type: str) -> Cell:
    if not cell:
        return None
    if type == "number":
        plain = cell.replace(",", "")
        return float(plain) if "." in plain else int(plain)
    return _date(cell) if type == "date" else cell


def _date(cell: str) -> str | None:
    found = _DATE.fullmatch(cell)
    try:
        return dt.date(*map(int, found.groups())).isoformat() if found else None
    except ValueError:
        return None
