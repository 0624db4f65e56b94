"""Cells as values."""

from __future__ import annotations

import pytest

from sora.knowledge.sheets import Column, Sheet, decoded, encoded, typed


@pytest.mark.parametrize(
    ("cells", "type", "values"),
    [
        (["1", "-2.5", "", "1,200,000"], "number", [1, -2.5, None, 1_200_000]),
        (["00123", "4"], "text", ["00123", "4"]),
        (["2026-01-20", "2026.1.5", "2026/12/31"], "date", ["2026-01-20", "2026-01-05", "2026-12-31"]),
        (["2026-02-30"], "text", ["2026-02-30"]),
        (["3개", "4"], "text", ["3개", "4"]),
        (["1,2"], "text", ["1,2"]),
        (["9" * 400], "text", ["9" * 400]),
        (["", ""], "text", [None, None]),
    ],
)
def test_a_column_has_the_type_of_all_its_cells(cells: list[str], type: str, values: list[object]) -> None:
    columns, rows = typed(["값"], [{"값": cell} for cell in cells])

    assert columns == (Column("값", type),)  # type: ignore[arg-type]
    assert [row["값"] for row in rows] == values


def test_a_row_may_lack_cells() -> None:
    assert typed(["a", "b"], [{"a": "1"}])[1] == [{"a": 1, "b": None}]


def test_sheets_are_what_they_were() -> None:
    sheets = (Sheet("재고", (Column("품번", "text"), Column("수량", "number")), 20),)

    assert decoded(encoded(sheets)) == sheets
    assert (encoded(()), decoded(None)) == (None, ())
