"""Questions about the rows of tables: a small plan made by rules from the words of the question."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sora.knowledge.plan import LISTED, Aggregate, Filter, Plan
from sora.knowledge.sheets import Column, Row
from sora.knowledge.subject import plain
from sora.knowledge.wording import (
    compared,
    dates,
    grouped,
    implied,
    is_price,
    named,
    says,
    together,
    unknown,
    values,
    without,
)

_SUM = re.compile(
    r"합계|총합|총액|총 |총수량|합은|합쳐|모두 합|전체 (?:수량|매출|재고)|\b(?:total|sum|altogether|overall)\b"
)
_AVG = re.compile(r"평균|\b(?:average|mean|avg)\b")
_MOST = re.compile(
    r"가장 (?:많|높|비싼|비싸|큰|크|늦|최근|오래 걸리|긴)|제일 (?:많|높|비싼|비싸|큰|크|긴)|최대|최고|최근|상위|"
    r"\b(?:most|highest|largest|biggest|maximum|max|top|latest|best|longest|priciest)\b"
)
_LEAST = re.compile(
    r"가장 (?:적|낮|싼|싸|저렴|작|이른|빠른|짧|오래된)|제일 (?:적|낮|싼|싸|저렴|작|짧)|최소|최저|하위|"
    r"\b(?:least|lowest|smallest|fewest|minimum|min|bottom|cheapest|earliest|shortest)\b"
)
_COUNT = re.compile(r"몇 (?:개|건|종|가지|번|곳)|건수|개수|\b(?:how many|number of|count)\b")
_TOP = re.compile(r"(?:상위|하위|top|bottom)\s*(\d{1,3})|(\d{1,2})\s*(?:개|가지|곳|명|건)(?:를|을|는|의|만)?")
_CODE = re.compile(r"[a-z]{1,6}-?\d{2,}(?:-[a-z0-9]+)*|\d+-[a-z0-9-]+")


def planned(question: str, title: str, columns: Sequence[Column], rows: Sequence[Row]) -> Plan | None:
    """The plan for a question over the table of this title; None when the question is not about it, or names what is not in it.
    Looks at every row once or twice: call it aside for many."""
    plan = _planned(plain(question), columns, rows)
    if plan is None:
        return None
    # What the table does not have, a row that is shown tells by itself; a sum does not.
    rest = without(plain(question), values(plain(question), columns, rows)[1])
    for pattern in (_SUM, _AVG, _MOST, _LEAST, _COUNT, _TOP):
        rest = pattern.sub(" ", rest)
    missed = unknown(rest, title, columns)
    over_many = plan.aggregate is not None or bool(plan.order)
    return None if any(over_many or _CODE.fullmatch(word) for word in missed) else plan


def relevance(question: str, title: str, columns: Sequence[Column], plan: Plan) -> float:
    """How well a plan over the table of this title fits its question, to choose among tables: its conditions count most, then the
    columns that are named, by their own names or by others, and the table's own name; things go before dates."""
    asked = plain(question)
    conditions = sum(2.0 if one.operator in ("=", "in") else 1.0 for one in plan.filters)
    exact = sum(0.5 for column in columns if plain(column.name) in asked)
    korean = any("가" <= letter <= "힣" for column in columns for letter in column.name)
    alike = 1.5 if korean == any("가" <= letter <= "힣" for letter in asked) else 0.0
    names = 0.75 * len(named(asked, columns)) + (0.5 if says(asked, plain(title)) else 0.0)
    things = 0.25 if columns[0].type == "text" else 0.0
    return alike + conditions + exact + names + things + (1.0 if plan.group else 0.0)


def _planned(asked: str, columns: Sequence[Column], rows: Sequence[Row]) -> Plan | None:
    names = named(asked, columns)
    found, used = values(asked, columns, rows)
    equal = together(found, rows)
    rest = without(asked, used)
    bounds = compared(rest, columns, [column for column in names if column.type == "number"])
    filters = (*equal, *dates(asked, columns, rows), *bounds)
    measure = _measure(asked, names, bounds)
    aggregate = _aggregate(rest, equal, counts=not measure or bool(bounds) or not equal)
    most, least = _MOST.search(rest) is not None, _LEAST.search(rest) is not None
    if (most or least) and not measure and aggregate is None:
        measure = implied(rest, columns)
    if aggregate in ("sum", "avg") and not measure:
        return None
    group = grouped(rest, columns, rows, subject=(most or least) and not is_price(measure))
    if not group and measure and aggregate is None and not (most or least):
        group = next(
            (one.column for one in equal if one.operator == "in"), ""
        )  # "서울과 부산의 매출액": compared
    top = _TOP.search(rest)
    limit = int(top[1] or top[2]) if top else 1 if most or least else LISTED
    if group:
        descending = most or not least
        return Plan(filters, group, aggregate or _usual(measure), measure, descending, "", limit)
    if most or least:
        if not measure:
            return None
        if aggregate is None:
            return Plan(filters, "", None, measure, most, measure, limit)
    if aggregate is not None:
        return Plan(filters, "", aggregate, measure) if names or equal else None
    asks = bool(names) or any(
        isinstance(one.value, str) and _CODE.fullmatch(plain(one.value)) for one in equal
    )
    return Plan(filters, "", None, measure) if (equal and asks) or bounds else None


def _usual(measure: str) -> Aggregate:
    """What is told of a group when the question does not say."""
    return "count" if not measure else "avg" if is_price(measure) else "sum"


def _measure(asked: str, names: Sequence[Column], bounds: Sequence[Filter]) -> str:
    """The number that is asked for: one that is not just compared with, by its own name before another's."""
    numbers = [column for column in names if column.type == "number"]
    free = [one for one in numbers if one.name not in {two.column for two in bounds}] or numbers
    free = sorted(free, key=lambda column: plain(column.name.replace("_", " ")) not in asked)
    return free[0].name if free else ""


def _aggregate(asked: str, equal: Sequence[Filter], *, counts: bool) -> Aggregate | None:
    """How many rows there are or, where not `counts`, how many their measure says there are."""
    if _AVG.search(asked):
        return "avg"
    if _SUM.search(asked):
        return "sum"
    one_thing = any(one.operator == "=" and _CODE.fullmatch(plain(str(one.value))) for one in equal)
    if not _COUNT.search(asked) or one_thing:
        return None
    return "count" if counts else "sum"
