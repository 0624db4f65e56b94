"""CSV and its kin: what parts the cells is found out, not asked."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from sora.knowledge.gathered import Gathered
from sora.knowledge.table import Table, tabled

_DELIMITERS = ",\t;|"
_SAMPLE = 65_536
_SAID = re.compile(r"sep=(.)\n")  # Excel's first line


def read(text: str, *, name: str, out: Gathered) -> Table:
    """The table in a text whose cells are parted by commas, tabs, semicolons or bars, and may be quoted (RFC 4180)."""
    if said := _SAID.match(text):
        delimiter, text = said[1], text[said.end() :]
    else:
        delimiter = max(_DELIMITERS, key=lambda candidate: _fit(text[:_SAMPLE], candidate))
    return tabled(name, _rows(text, delimiter), out=out)


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _fit(sample: str, delimiter: str) -> tuple[float, int]:
    """How well a delimiter explains a text: the share of rows that are of the same width, if that is more than one cell."""
    try:
        widths = Counter(len(row) for row in islice(_rows(sample, delimiter), 100) if row)
    except csv.Error:
        return 0.0, 0
    if not widths:
        return 0.0, 0
    width, rows = widths.most_common(1)[0]
    return (rows / widths.total(), width) if width > 1 else (0.0, 0)
