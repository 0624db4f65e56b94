"""Questions over the shipped tables: the right number or row, in Korean and English."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import pytest

from sora.knowledge.plan import Answer, carried_out, planned, relevance
from sora.knowledge.sheets import Column, Row, typed
from tests.support.process import ROOT


def table(name: str) -> tuple[tuple[Column, ...], list[Row]]:
    with (ROOT / "docs/samples" / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return typed(list(rows[0]), rows)


TABLES = {name: table(name) for name in ("재고", "매출", "spare-parts")}


def answered(question: str) -> tuple[str, Answer] | None:
    plans = [
        (relevance(question, columns, plan), name, carried_out(plan, columns, rows))
        for name, (columns, rows) in TABLES.items()
        if (plan := planned(question, columns, rows)) is not None
    ]
    return max(plans, key=lambda one: one[0])[1:] if plans else None


@pytest.mark.parametrize(
    ("question", "name", "value"),
    [
        ("ABC-12345 부품의 재고는?", "재고", 128),
        ("ABC-12345 부품의 단가는?", "재고", 189000),
        ("인천 창고의 수량 합계는?", "재고", 3969),
        ("한빛전자가 거래처인 품목은 몇 개야?", "재고", 5),
        ("완제품의 평균 단가는?", "재고", 160333.3333),
        ("2025년 12월 매출액 합계는?", "매출", 30651000),
        ("김하늘의 매출액 총합은?", "매출", 19125000),
        ("2026년 1월 서울 지점 매출액 합계는?", "매출", 5687000),
        ("12월 서울 매출액 합계는?", "매출", 17813000),
        ("2025-12-01부터 2025-12-15까지 매출액 합계는?", "매출", 15437000),
        ("로봇청소기 R7의 판매 수량 합계는?", "매출", 22),
        ("Total sales in December 2025?", "매출", 30651000),
        ("What is the stock of HB-7710-A?", "spare-parts", 34),
        ("What is the lead time of HB-3301-F?", "spare-parts", 21),
        ("What is the total stock of Mirae Plastics parts?", "spare-parts", 263),
        ("What is the average price of AP300 air purifier parts?", "spare-parts", 24.0),
        ("How many parts does Mirae Plastics supply?", "spare-parts", 3),
        ("Which part has the highest price?", "spare-parts", 49.9),
    ],
)
def test_one_number_answers(question: str, name: str, value: float) -> None:
    found = answered(question)
    assert found is not None
    assert (found[0], found[1].value) == (name, value)


@pytest.mark.parametrize(
    ("question", "name", "first"),
    [
        ("지점별 매출액 합계를 알려줘", "매출", ["서울", "대전", "부산"]),
        ("매출액이 가장 높은 지점은?", "매출", ["서울"]),
        ("매출이 가장 많은 담당자는 누구야?", "매출", ["김하늘"]),
        ("서울과 부산의 매출액을 비교해줘", "매출", ["서울", "부산"]),
        ("창고별 품목은 몇 개?", "재고", ["인천", "평택", "대전", "부산"]),
        ("단가가 가장 비싼 품목 3개는?", "재고", ["ABC-20010", "DEF-30100", "ABC-12345"]),
        ("수량이 안전재고보다 적은 품목은?", "재고", ["ABC-12346", "DEF-30101", "GHI-41001", "PQR-70800"]),
        ("Which parts have a stock below 20?", "spare-parts", ["HB-7711-B", "HB-3301-F", "HB-2309-P"]),
        ("Top 3 parts by stock", "spare-parts", ["HB-6070-H", "HB-7712-C", "HB-5106-T"]),
    ],
)
def test_rows_answer(question: str, name: str, first: Sequence[str]) -> None:
    found = answered(question)
    assert found is not None
    cells = [next(iter(row.values())) for row in found[1].rows]
    assert (found[0], cells) == (name, list(first))


@pytest.mark.parametrize(
    "question",
    [
        "연차는 며칠까지 이월되나요?",
        "안녕하세요?",
        "인천 공항에 가는 길을 알려줘",
        "Who are you?",
        "",
        "?",
        "How many?",
    ],
)
def test_what_is_about_no_table_gets_no_plan(question: str) -> None:
    assert answered(question) is None
