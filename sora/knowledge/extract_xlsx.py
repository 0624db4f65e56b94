"""The tables of a workbook, through Calamine: one for each sheet that is shown."""

from __future__ import annotations

import datetime as dt
import io
import re
from itertools import chain

from sora.errors import UnreadableFile
from sora.knowledge.archive import Archive
from sora.knowledge.gathered import Gathered
from sora.knowledge.table import Table, tabled

_CELL = re.compile(rb"<(?:\w+:)?c[\s>/](?:[^>]*?\br=[\"']([A-Z]{1,3})([0-9]{1,7})[\"'])?")
_OVERLAP = 256
Value = int | float | str | bool | dt.time | dt.date | dt.datetime | dt.timedelta


def read(content: bytes, *, out: Gathered) -> tuple[Table, ...]:
    """A table of each visible sheet with something in it, in the workbook's order. Formulas stand with their last value.

    Raises UnreadableFile, before anything is expanded, for more cells than the limits allow, or cells so far apart.
    """
    from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum  # no worker needs it

    _measure(Archive(content, out.limits))
    book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    tables = []
    for sheet in book.sheets_metadata:
        if sheet.typ is not SheetTypeEnum.WorkSheet or sheet.visible is not SheetVisibleEnum.Visible:
            continue
        cells = ([_shown(value) for value in row] for row in book.get_sheet_by_name(sheet.name).iter_rows())
        rows = filter(any, cells)
        if (first := next(rows, None)) is not None:
            out.add(f"\n## {sheet.name}\n")
            tables.append(tabled(sheet.name, chain([first], rows), out=out))
    if not tables:
        raise UnreadableFile("file_no_text")
    return tuple(tables)


def _measure(archive: Archive) -> None:
    """Reads every member through, so that a bomb is met here, and looks how many cells the sheets have, empty
    ones too, and what they span: a reader makes room for all of it."""
    cells = 0
    for name in archive.names:
        rest, last, widest = b"", 0, 0
        for chunk in archive.chunks(name):
            if not name.lower().startswith("xl/worksheets/"):
                continue
            data = rest + chunk
            # A tag may go on in the next chunk: what begins in the last bytes is looked at then.
            ends = max(0, len(data) - _OVERLAP) if len(chunk) == 65_536 else len(data)
            found = 0
            for cell in _CELL.finditer(data):
                if cell.start() >= ends:
                    break
                found += 1
                if cell[1]:
                    last, widest = max(last, int(cell[2])), max(widest, _number(cell[1]))
            cells += found
            if max(cells, last * widest) > archive.limits.area:
                raise UnreadableFile("file_cells", high=archive.limits.cells)
            rest = data[ends:]


def _number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


def _shown(value: Value) -> str:
    """A cell as a text: dates as ISO 8601 has them, numbers with the 15 digits that a spreadsheet shows."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "seconds") if value.time() != dt.time.min else value.date().isoformat()
    return str(value)
