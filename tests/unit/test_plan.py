"""Questions over the shipped tables: the right number or row, in Korean and English."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import pytest

from sora.knowledge.plan import Answer, carried_out
from sora.knowledge.planner import planned, relevance
from sora.knowledge.sheets import Column, Row, typed
from tests.support import questions
from tests.support.process import ROOT


def table(name: str) -> tuple[tuple[Column, ...], list[Row]]:
    with (ROOT / "docs/samples" / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return typed(list(rows[0]), rows)


TABLES = {name: table(name) for name in ("재고", "매출", "spare-parts")}


def answered(question: str) -> tuple[str, Answer] | None:
    """What the table that fits best says; it must not be a matter of which comes first."""
    plans = [
        (relevance(question, name, columns, plan), name, carried_out(plan, columns, rows))
        for name, (columns, rows) in TABLES.items()
        if (plan := planned(question, name, columns, rows)) is not None
    ]
    best = [one for one in plans if one[0] == max(fits for fits, _, _ in plans)]
    assert len(best) <= 1, f"as well as each other: {[name for _, name, _ in best]}"
    return best[0][1:] if best else None


@pytest.mark.parametrize(("question", "name", "value"), questions.NUMBERS)
def test_one_number_answers(question: str, name: str, value: float) -> None:
    found = answered(question)
    assert found is not None
    assert (found[0], found[1].value) == (name, value)


@pytest.mark.parametrize(("question", "name", "first"), questions.ROWS)
def test_rows_answer(question: str, name: str, first: Sequence[str]) -> None:
    found = answered(question)
    assert found is not None
    cells = [next(iter(row.values())) for row in found[1].rows]
    assert (found[0], cells) == (name, list(first))


@pytest.mark.parametrize("question", questions.NONE)
def test_what_is_about_no_table_gets_no_plan(question: str) -> None:
    assert answered(question) is None


@pytest.mark.parametrize(
    ("question", "columns"),
    [
        ("창고별 재고 합계를 보여줘", ("창고", "수량 (합계)")),
        ("total stock by supplier", ("supplier", "stock (sum)")),
    ],
)
def test_a_total_is_named_in_the_language_of_its_table(question: str, columns: tuple[str, ...]) -> None:
    found = answered(question)
    assert found is not None and found[1].columns == columns
