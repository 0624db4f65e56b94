"""What is to be done with the rows of a table, and what it gives.

Nothing here is anybody's code: a plan is a filter, a grouping, an aggregate, an order and a limit over the columns there are, and
its numbers are the rows'.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sora.knowledge.sheets import Cell, Column, Row

Aggregate = Literal["sum", "avg", "min", "max", "count"]

LISTED = 50  #: rows of an answer

_HANGUL = re.compile("[가-힣]")
_ENGLISH = {"sum": "sum", "avg": "avg", "min": "min", "max": "max", "count": "count"}
_KOREAN = {"sum": "합계", "avg": "평균", "min": "최소", "max": "최대", "count": "개수"}


class Filter(NamedTuple):
    """A row stays if its cell of `column` is so; `value` may name another column, of the same row, when
    `of_column`."""

    column: str
    operator: Literal["=", "in", ">=", "<=", ">", "<"]
    value: Cell | tuple[str, ...]
    of_column: bool = False


class Plan(NamedTuple):
    """What is to be done with a table's rows."""

    filters: tuple[Filter, ...] = ()
    group: str = ""
    aggregate: Aggregate | None = None
    measure: str = ""
    descending: bool = True
    order: str = ""
    limit: int = LISTED


class Answer(NamedTuple):
    """What a plan gave: rows of these columns. `value` is the one number that answers, where there is one."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    value: Cell
    plan: Plan


def carried_out(plan: Plan, columns: Sequence[Column], rows: Sequence[Row]) -> Answer:
    """The rows that a plan gives; it works on all of them: call it aside for many."""
    kept = [row for row in rows if all(holds(one, row) for one in plan.filters)]
    names = tuple(column.name for column in columns)
    if plan.group:
        groups: dict[Cell, list[Row]] = {}
        for row in kept:
            groups.setdefault(row.get(plan.group), []).append(row)
        label = _label(plan)
        made: list[Row] = [{plan.group: key, label: _aggregated(plan, some)} for key, some in groups.items()]
        made.sort(key=lambda row: _key(row[label]), reverse=plan.descending)
        made = made[: plan.limit]
        return Answer((plan.group, label), tuple(made), made[0][label] if len(made) == 1 else None, plan)
    if plan.aggregate is not None:
        value = _aggregated(plan, kept)
        return Answer((_label(plan),), ({_label(plan): value},), value, plan)
    if plan.order:
        kept = [row for row in kept if row.get(plan.order) is not None]
        kept.sort(key=lambda row: _key(row[plan.order]), reverse=plan.descending)
    kept = kept[: plan.limit]
    value = kept[0].get(plan.measure) if len(kept) == 1 and plan.measure else None
    return Answer(names, tuple(kept), value, plan)


def holds(one: Filter, row: Row) -> bool:
    """Whether a row meets a condition. A cell that is empty meets none."""
    cell = row.get(one.column)
    value = row.get(str(one.value)) if one.of_column else one.value
    if cell is None or value is None:
        return False
    if isinstance(value, tuple):
        return cell in value
    if one.operator == "=":
        return cell == value
    if isinstance(cell, str) != isinstance(value, str):
        return False
    less, same = cell < value, cell == value  # type: ignore[operator]
    return {">=": not less, "<=": less or same, ">": not less and not same, "<": less}[one.operator]


def _aggregated(plan: Plan, rows: Sequence[Row]) -> Cell:
    if plan.aggregate == "count":
        return len(rows)
    values = [value for row in rows if isinstance(value := row.get(plan.measure), int | float)]
    if not values:
        return 0 if plan.aggregate == "sum" else None
    if plan.aggregate == "avg":
        return round(sum(values) / len(values), 4)
    if plan.aggregate == "sum":
        total = sum(values)
        return round(total, 6) if isinstance(total, float) else total
    return max(values) if plan.aggregate == "max" else min(values)


def _label(plan: Plan) -> str:
    """What the column of a total is called, in the language of the table."""
    names = (plan.measure, plan.group, *(one.column for one in plan.filters))
    words = _KOREAN if any(map(_HANGUL.search, names)) else _ENGLISH
    told = words[plan.aggregate or "count"]
    return told if plan.aggregate == "count" else f"{plan.measure} ({told})"


def _key(cell: Cell) -> tuple[bool, float, str]:
    return (
        cell is not None,
        cell if isinstance(cell, int | float) else 0.0,
        cell if isinstance(cell, str) else "",
    )
