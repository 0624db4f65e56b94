"""Questions about the rows of tables: a small plan made by rules from the words of the question, and carried out over the rows.

Nothing here is anybody's code: a plan is a filter, a grouping, an aggregate, an order and a limit over the columns there are, and
its numbers are the rows'.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sora.knowledge.sheets import Cell, Column, Row
from sora.knowledge.subject import plain

Aggregate = Literal["sum", "avg", "min", "max", "count"]

_PRICES = ("단가", "가격", "price", "cost")
_LISTED = 50  # rows of an answer

# What people call a column of these words, beside its name: any of a group stands for the others.
_SYNONYMS = (
    ("수량", "재고", "재고량", "수량은", "stock", "quantity", "in stock", "on hand", "units"),
    ("매출액", "매출", "판매액", "판매", "sales", "revenue"),
    ("단가", "가격", "값", "price", "cost"),
    ("지점", "지점별", "branch", "branches"),
    ("담당자", "담당", "누가", "sales rep", "person", "rep", "salesperson"),
    ("창고", "warehouse", "warehouses"),
    ("품명", "제품", "품목", "상품", "product", "products", "item", "items"),
    ("품번", "부품", "part", "parts", "part number", "part no"),
    ("거래처", "공급처", "supplier", "suppliers", "vendor"),
    ("분류", "종류", "category", "categories"),
    ("안전재고", "안전 재고", "safety stock"),
    ("입고일", "입고", "received", "arrival"),
    ("일자", "날짜", "date"),
    ("위치", "location", "shelf"),
    ("lead time", "납기", "리드타임", "lead time days"),
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
_BY = re.compile(r"(\w+)\s?별(?:로|\s|$|의)|\b(?:by|per|for each|each) (\w+)")
_SUBJECT = re.compile(
    r"(\w+?)(?:은|는|이|가)?\s*(?:어디(?:야|인가요|입니까)?|누구(?:야|인가요|입니까)?)?\s*\?*$|\bwhich (\w+)"
)
_TOP = re.compile(r"(?:상위|하위|top|bottom)\s*(\d{1,3})|(\d{1,2})\s*(?:개|가지|곳|명|건)(?:를|을|는|의|만)?")
_COMPARE = re.compile(
    r"(?P<n1>[\d,]+(?:\.\d+)?)\s*(?:개|원|일|유로|건)?\s*"
    r"(?P<ko>이상|이하|초과|미만|보다 (?:많|크|높|비싸|비싼)|보다 (?:적|작|낮|싸|싼))|"
    r"(?P<en>at least|at most|more than|less than|fewer than|over|under|above|below|cheaper than)\s+(?:eur |€)?"
    r"(?P<n2>[\d,]+(?:\.\d+)?)"
)
_OPERATORS = {
    "이상": ">=", "이하": "<=", "초과": ">", "미만": "<", "at least": ">=", "at most": "<=", "more than": ">", "over": ">",
    "above": ">", "less than": "<", "fewer than": "<", "under": "<", "below": "<", "cheaper than": "<",
}  # fmt: skip
_COLUMNS_COMPARED = re.compile(r"보다 (?:적|작|낮|부족)|미달|부족|\b(?:below|under|less than|short of)\b")
_ISO = re.compile(r"(\d{4})[-./](\d{1,2})[-./](\d{1,2})")
_KOREAN_MONTH = re.compile(r"(?:(\d{4})\s*년\s*)?(\d{1,2})\s*월(?:\s*(\d{1,2})\s*일)?")
_MONTHS = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
]  # fmt: skip
_ENGLISH_MONTH = re.compile(rf"\b({'|'.join(_MONTHS)})(?:\s+(\d{{4}}))?")
_YEAR = re.compile(r"(20\d\d)\s*년(?!\s*\d{1,2}\s*월)|\bin (20\d\d)\b")
_CODE = re.compile(r"[a-z]{1,6}-?\d{2,}(?:-[a-z0-9]+)*|\d+-[a-z0-9-]+")


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
    limit: int = _LISTED


class Answer(NamedTuple):
    """What a plan gave: rows of these columns. `value` is the one number that answers, where there is one."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    value: Cell
    plan: Plan


def planned(question: str, columns: Sequence[Column], rows: Sequence[Row]) -> Plan | None:
    """The plan for a question over a table; None when the question is not about it. Looks at every row once or twice: call it
    aside for many."""
    asked = plain(question)
    names = _named(asked, columns)
    numbers = [column for column in names if column.type == "number"]
    equal, used = _values(asked, columns, rows)
    equal = _together(equal, rows)
    filters = [*equal, *_dates(asked, columns, rows)]
    rest = asked
    for one in used:
        rest = rest.replace(one, " ")
    best = "max" if _MOST.search(rest) else "min" if _LEAST.search(rest) else None
    group = _grouped(rest, columns, rows, subject=best is not None)
    several = next((one.column for one in equal if one.operator == "in"), "")
    compared = _compared(rest, columns, numbers)
    filters += compared
    free = [one for one in numbers if one.name not in {two.column for two in compared}] or numbers
    free = sorted(free, key=lambda column: plain(column.name.replace("_", " ")) not in asked)
    measure = free[0].name if free else ""
    aggregate: Aggregate | None = None
    if _AVG.search(rest):
        aggregate = "avg"
    elif _SUM.search(rest):
        aggregate = "sum"
    elif _COUNT.search(rest) and not any(
        one.operator == "=" and _CODE.fullmatch(plain(str(one.value))) for one in equal
    ):
        aggregate = "count" if not measure or compared or not equal else "sum"
    if best and not measure and aggregate is None:
        measure = _implied(rest, columns)
    if aggregate in ("sum", "avg") and not measure:
        return None
    if several and measure and aggregate is None and not best:
        group = group or several  # "서울과 부산의 매출액": compared
    limit = _LISTED
    if found := _TOP.search(rest):
        limit = int(found[1] or found[2])
    if best or group:
        if not measure and not group:
            return None
        if group:
            aggregate = aggregate or ("sum" if measure else "count")
            return Plan(
                tuple(filters),
                group,
                aggregate,
                measure,
                best != "min",
                "",
                limit if limit != _LISTED or not best else 1,
            )
        if aggregate is None:
            return Plan(
                tuple(filters), "", None, measure, best == "max", measure, limit if limit != _LISTED else 1
            )
    if aggregate is not None:
        return Plan(tuple(filters), "", aggregate, measure) if names or equal else None
    asks = names or any(isinstance(one.value, str) and _CODE.fullmatch(plain(one.value)) for one in equal)
    return Plan(tuple(filters), "", None, measure) if (equal and asks) or compared else None


def carried_out(plan: Plan, columns: Sequence[Column], rows: Sequence[Row]) -> Answer:
    """The rows that a plan gives; it works on all of them: call it aside for many."""
    kept = [row for row in rows if all(_holds(one, row) for one in plan.filters)]
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


def relevance(question: str, columns: Sequence[Column], plan: Plan) -> float:
    """How well a plan fits its question, to choose among tables: its conditions count most, then the columns it names."""
    asked = plain(question)
    equal = sum(2.0 if one.operator in ("=", "in") else 1.0 for one in plan.filters)
    exact = sum(0.5 for column in columns if plain(column.name) in asked)
    korean = any("가" <= letter <= "힣" for column in columns for letter in column.name)
    alike = 1.5 if korean == any("가" <= letter <= "힣" for letter in asked) else 0.0
    return alike + equal + exact + 0.75 * len(_named(asked, columns)) + (1.0 if plan.group else 0.0)


def _words(column: Column) -> set[str]:
    name = plain(column.name.replace("_", " "))
    words = {name}
    for group in _SYNONYMS:
        if name in group or any(len(word) > 3 and word.isascii() and word in name.split() for word in group):
            words |= set(group)
    if name.isascii():
        words |= {word for word in name.split() if len(word) > 3}
    return words


def _says(asked: str, word: str) -> bool:
    if word.isascii():
        return re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", asked) is not None
    return word in asked


def _named(asked: str, columns: Sequence[Column]) -> list[Column]:
    """The columns that the question names, the longest name first: 안전재고 is not 재고 as well."""
    found: list[tuple[int, int, Column]] = []
    left = asked
    pairs = [(word, at, column) for at, column in enumerate(columns) for word in _words(column)]
    own = {plain(column.name.replace("_", " ")) for column in columns}
    for word, at, column in sorted(pairs, key=lambda pair: (-len(pair[0]), pair[0] not in own, pair[1])):
        if _says(left, word) and not any(column is one for _, _, one in found):
            found.append((asked.find(word), at, column))
            left = left.replace(word, " ")
    return [column for _, _, column in sorted(found, key=lambda one: one[:2])]


def _values(asked: str, columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[Filter], list[str]]:
    """The cells of text columns that the question holds, the longest first, and their words."""
    cells: dict[str, tuple[str, Cell]] = {}
    for column in columns:
        if column.type == "text":
            for row in rows:
                value = row.get(column.name)
                if isinstance(value, str) and len(word := plain(value)) > 1:
                    cells.setdefault(word, (column.name, value))
    filters: dict[str, Filter] = {}
    used: list[str] = []
    left = asked
    for word in sorted(cells, key=len, reverse=True):
        if _says(left, word):
            column_name, value = cells[word]
            before = filters.get(column_name)
            values = (
                () if before is None else before.value if isinstance(before.value, tuple) else (before.value,)
            )
            several = (*map(str, values), str(value))
            filters[column_name] = (
                Filter(column_name, "in", several) if values else Filter(column_name, "=", value)
            )
            used.append(word)
            left = left.replace(word, " ")
    return list(filters.values()), used


def _dates(asked: str, columns: Sequence[Column], rows: Sequence[Row]) -> list[Filter]:
    """The range of dates that the question names, in the first column of dates."""
    column = next((column.name for column in columns if column.type == "date"), None)
    if column is None:
        return []
    # A month without its year is the last one there is.
    latest = max((str(row.get(column) or "") for row in rows), default="")
    spans: list[tuple[str, str]] = []
    for year, month, day in _ISO.findall(asked):
        spans.append((f"{year}-{int(month):02}-{int(day):02}",) * 2)
    for found_year, month, day in _KOREAN_MONTH.findall(asked):
        spans.append(_span(found_year, int(month), day, latest=latest))
    for name, found_year in _ENGLISH_MONTH.findall(asked):
        spans.append(_span(found_year, _MONTHS.index(name) + 1, "", latest=latest))
    for one, other in _YEAR.findall(asked):
        spans.append((f"{one or other}-01-01", f"{one or other}-12-31"))
    if not spans:
        return []
    low, high = min(span[0] for span in spans), max(span[1] for span in spans)
    if (
        re.search(r"이후|부터(?!.*까지)|\b(?:since|after|from)\b(?!.*\b(?:to|until)\b)", asked)
        and len(spans) == 1
    ):
        return [Filter(column, ">=", low)]
    if re.search(r"이전|까지(?<!부터)|\b(?:before|until)\b", asked) and len(spans) == 1:
        return [Filter(column, "<=", high)]
    return [Filter(column, ">=", low), Filter(column, "<=", high)]


def _span(year: str, month: int, day: str, *, latest: str) -> tuple[str, str]:
    first, last = (int(day), int(day)) if day else (1, 31)
    if not year and latest:
        year = latest[:4] if f"{month:02}" <= latest[5:7] else f"{int(latest[:4]) - 1}"
    return f"{year}-{month:02}-{first:02}", f"{year}-{month:02}-{last:02}"


def _together(filters: Sequence[Filter], rows: Sequence[Row]) -> list[Filter]:
    """The conditions that some row meets all of: a word may be a value and only mean its column, as in "ABC-12345 부품"."""
    kept: list[Filter] = []
    for one in filters:
        if any(all(_holds(each, row) for each in (*kept, one)) for row in rows):
            kept.append(one)
    return kept


def _grouped(asked: str, columns: Sequence[Column], rows: Sequence[Row], *, subject: bool) -> str:
    """The column that the question groups by: it says so, or asks which of its values has the most of something."""
    texts = [column for column in columns if column.type == "text"]
    for korean, english in _BY.findall(asked):
        word = korean or english
        for column in texts:
            if any(word == name or (korean and word.endswith(name)) for name in _words(column)):
                return column.name
    found = _SUBJECT.search(asked) if subject else None
    if found is None:
        return ""
    word = "담당자" if "누구" in found[0] else found[1] or found[2]
    for column in texts:
        values = [row.get(column.name) for row in rows]
        if word in _words(column) and 2 * len(set(values)) <= len(values):
            return column.name
    return ""


def _compared(asked: str, columns: Sequence[Column], numbers: Sequence[Column]) -> list[Filter]:
    filters: list[Filter] = []
    for found in _COMPARE.finditer(asked):
        number = (found["n1"] or found["n2"]).replace(",", "")
        said = found["en"] or found["ko"]
        operator = _OPERATORS.get(said) or (">" if re.search("많|크|높|비싸|비싼", said) else "<")
        if numbers:
            column = min(numbers, key=lambda one: _distance(asked, one, found.start()))
            filters.append(Filter(column.name, operator, float(number)))  # type: ignore[arg-type]
    if not filters and len(numbers) >= 2 and _COLUMNS_COMPARED.search(asked):
        safety = next((one for one in numbers if "안전" in one.name or "safety" in one.name), None)
        other = next((one for one in numbers if one is not safety), None)
        if safety is not None and other is not None:
            filters.append(Filter(other.name, "<", safety.name, True))
    return filters


def _distance(asked: str, column: Column, at: int) -> int:
    return min(
        (abs(at - asked.find(word)) for word in _words(column) if _says(asked, word)), default=len(asked)
    )


def _implied(asked: str, columns: Sequence[Column]) -> str:
    """The measure that a superlative means by itself: what is cheap or expensive has a price, what is recent a date."""
    if re.search(r"비싸|비싼|싼|싸|저렴|cheapest|priciest|expensive", asked):
        wanted = ("단가", "price", "price_eur")
    elif re.search(r"최근|latest|earliest|오래된|이른", asked):
        return next((column.name for column in columns if column.type == "date"), "")
    else:
        return ""
    return next((column.name for column in columns if column.name in wanted), "")


def _holds(one: Filter, row: Row) -> bool:
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
    return "count" if plan.aggregate == "count" else f"{plan.measure} ({plan.aggregate})"


def _key(cell: Cell) -> tuple[bool, float, str]:
    return (
        cell is not None,
        cell if isinstance(cell, int | float) else 0.0,
        cell if isinstance(cell, str) else "",
    )
