"""The words of a question, in Korean or English, as the columns, values, dates and bounds of a table that they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sora.knowledge.plan import Filter, holds
from sora.knowledge.sheets import Cell, Column, Row
from sora.knowledge.subject import overlap, plain

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
_BY = re.compile(r"(\w+)\s?별(?:로|\s|$|의)|\b(?:by|per|for each|each) (\w+)")
_PARTICLE = "(?:에서|에게|으로|부터|까지|은|는|이|가|을|를|의|에|도|와|과|랑|로)?(?:는|도|만)?(?![가-힣])"
_ENDING = re.compile(
    "에서|에게|으로|부터|까지|(?:이|인)?(?:야|요|에요|예요|가요?|지요?|고|니까?)|입니(?:까|다)|[되했하]나요|했(?:어|니|나)요?"
)
_WORD = re.compile(r"[^\W_]+(?:[-'.][^\W_]+)*")
# Words that questions about tables are made of, and that choose no rows.
_PLAIN_WORDS = (
    "판매 판매량 팔린 팔았 남은 남았 보유 보관 현재 회사 동안 기간 순위 금액 숫자 테이블 데이터 누적 "
    "sold sell supply supplied supplies stored left remaining currently company value sale units table data rank worth"
)
_SUBJECT = re.compile(
    r"(\w+?)(?:은|는|이|가)?\s*(?:어디(?:야|인가요|입니까)?|누구(?:야|인가요|입니까)?)?\s*\?*$|\bwhich (\w+)"
)
_RANKED = re.compile(
    r"(?:상위|하위|top|bottom)\s*\d+\s*(?:개|명|곳|가지)?\s*(\w+?)(?:의|별|은|는|이|가|을|를)?(?:\s|$)"
)
_PRICES = ("단가", "가격", "price", "cost")
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


def says(asked: str, word: str) -> bool:
    """Whether the question holds a word; an English one by itself."""
    if word not in asked:
        return False
    return not word.isascii() or re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", asked) is not None


def named(asked: str, columns: Sequence[Column]) -> list[Column]:
    """The columns that the question names, the longest name first: 안전재고 is not 재고 as well."""
    found: list[tuple[int, int, Column]] = []
    left = asked
    pairs = [(word, at, column) for at, column in enumerate(columns) for word in _words(column)]
    own = {plain(column.name.replace("_", " ")) for column in columns}
    for word, at, column in sorted(pairs, key=lambda pair: (-len(pair[0]), pair[0] not in own, pair[1])):
        if says(left, word) and not any(column is one for _, _, one in found):
            found.append((asked.find(word), at, column))
            left = left.replace(word, " ")
    return [column for _, _, column in sorted(found, key=lambda one: one[:2])]


def values(asked: str, columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[Filter], list[str]]:
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
        if says(left, word):
            column_name, value = cells[word]
            before = filters.get(column_name)
            if before is None:
                filters[column_name] = Filter(column_name, "=", value)
            else:
                others = before.value if isinstance(before.value, tuple) else (str(before.value),)
                filters[column_name] = Filter(column_name, "in", (*others, str(value)))
            used.append(word)
            left = left.replace(word, " ")
    return list(filters.values()), used


def without(asked: str, words: Sequence[str]) -> str:
    """The question without these words, and without the particles behind them."""
    for word in words:
        asked = re.sub(re.escape(word) + _PARTICLE, " ", asked).replace(word, " ")
    return asked


def unknown(asked: str, title: str, columns: Sequence[Column]) -> list[str]:
    """The words that name something which the table does not have. A sum that left them aside would be one of too much."""
    for pattern in (_COMPARE, _ISO, _KOREAN_MONTH, _ENGLISH_MONTH, _YEAR, _COLUMNS_COMPARED):
        asked = pattern.sub(" ", asked)
    known = [title, _PLAIN_WORDS, *(word for column in columns for word in _words(column))]
    words = [word for word in _WORD.findall(asked) if len(word) > 1 and not _ENDING.fullmatch(word)]
    return [word for word in words if overlap(word, known).new > 0.4]


def together(filters: Sequence[Filter], rows: Sequence[Row]) -> list[Filter]:
    """The conditions that some row meets all of: a word may be a value and only mean its column, as in "ABC-12345 부품"."""
    kept: list[Filter] = []
    for one in filters:
        if any(all(holds(each, row) for each in (*kept, one)) for row in rows):
            kept.append(one)
    return kept


def dates(asked: str, columns: Sequence[Column], rows: Sequence[Row]) -> list[Filter]:
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


def grouped(asked: str, columns: Sequence[Column], rows: Sequence[Row], *, subject: bool) -> str:
    """The column that the question groups by: it says so, or asks which of its values has the most of something."""
    texts = [column for column in columns if column.type == "text"]
    for korean, english in _BY.findall(asked):
        word = korean or english
        for column in texts:
            if any(word == name or (korean and word.endswith(name)) for name in _words(column)):
                return column.name
    if not subject:
        return ""
    if found := _RANKED.search(asked):
        word = found[1]
    elif found := _SUBJECT.search(asked):
        word = "담당자" if "누구" in found[0] else found[1] or found[2]
    else:
        return ""
    for column in texts:
        if word in _words(column) and 2 * len({row.get(column.name) for row in rows}) <= len(rows):
            return column.name
    return ""


def is_price(column: str) -> bool:
    """Whether what stands in a column cannot be added up."""
    name = plain(column.replace("_", " "))
    return any(price in name for price in _PRICES)


def compared(asked: str, columns: Sequence[Column], numbers: Sequence[Column]) -> list[Filter]:
    """The bounds that the question sets to these columns: a number, or another column."""
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


def implied(asked: str, columns: Sequence[Column]) -> str:
    """The measure that a superlative means by itself: what is cheap or expensive has a price, what is recent a date."""
    if re.search(r"비싸|비싼|싼|싸|저렴|cheapest|priciest|expensive", asked):
        wanted = ("단가", "price", "price_eur")
    elif re.search(r"최근|latest|earliest|오래된|이른", asked):
        return next((column.name for column in columns if column.type == "date"), "")
    else:
        return ""
    return next((column.name for column in columns if column.name in wanted), "")


def _words(column: Column) -> set[str]:
    name = plain(column.name.replace("_", " "))
    words = {name}
    for group in _SYNONYMS:
        if name in group or any(len(word) > 3 and word.isascii() and word in name.split() for word in group):
            words |= set(group)
    if name.isascii():
        words |= {word for word in name.split() if len(word) > 3}
    return words


def _span(year: str, month: int, day: str, *, latest: str) -> tuple[str, str]:
    first, last = (int(day), int(day)) if day else (1, 31)
    if not year and latest:
        year = latest[:4] if f"{month:02}" <= latest[5:7] else f"{int(latest[:4]) - 1}"
    return f"{year}-{month:02}-{first:02}", f"{year}-{month:02}-{last:02}"


def _distance(asked: str, column: Column, at: int) -> int:
    return min(
        (abs(at - asked.find(word)) for word in _words(column) if says(asked, word)), default=len(asked)
    )
