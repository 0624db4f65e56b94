"""Questions over the shipped tables, with what is right: counted from the files, not by Sora."""

from __future__ import annotations

STOCK = "ABC-12345 부품의 재고는?"

#: A question, the table that answers it, and the one number.
NUMBERS: list[tuple[str, str, float]] = [
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
    ("부산 지점의 평균 매출액은?", "매출", 2524800),
    ("미래플라텍에서 사 온 품목의 수량 합계는?", "재고", 1311),
    ("2025년 11월 매출액 합계는?", "매출", 15351000),
    ("2025년 12월에 판매는 몇 건이야?", "매출", 9),
    ("가장 저렴한 품목은?", "재고", 2900),
]

#: A question, the table that answers it, and the first cells of the rows.
ROWS: list[tuple[str, str, list[str]]] = [
    ("지점별 매출액 합계를 알려줘", "매출", ["서울", "대전", "부산"]),
    ("매출액이 가장 높은 지점은?", "매출", ["서울"]),
    ("매출이 가장 많은 담당자는 누구야?", "매출", ["김하늘"]),
    ("서울과 부산의 매출액을 비교해줘", "매출", ["서울", "부산"]),
    ("창고별 품목은 몇 개?", "재고", ["인천", "평택", "대전", "부산"]),
    ("단가가 가장 비싼 품목 3개는?", "재고", ["ABC-20010", "DEF-30100", "ABC-12345"]),
    ("수량이 안전재고보다 적은 품목은?", "재고", ["ABC-12346", "DEF-30101", "GHI-41001", "PQR-70800"]),
    ("Which parts have a stock below 20?", "spare-parts", ["HB-7711-B", "HB-3301-F", "HB-2309-P"]),
    ("Top 3 parts by stock", "spare-parts", ["HB-6070-H", "HB-7712-C", "HB-5106-T"]),
    ("2026년 1월 매출액이 가장 높은 담당자는?", "매출", ["이도윤"]),
    ("상위 2개 지점의 매출액은?", "매출", ["서울", "대전"]),
    ("판매 수량이 가장 많은 제품은?", "매출", ["가습기 H50"]),
    ("수량이 1000개 이상인 품목은?", "재고", ["ABC-20011", "MNO-60701"]),
    ("대전 창고에 있는 품목은?", "재고", ["GHI-42000", "GHI-42001", "JKL-50500", "JKL-50501", "JKL-50502"]),
]

#: What no table answers: what it is about is not in them, or not all of it.
NONE = [
    "연차는 며칠까지 이월되나요?",
    "안녕하세요?",
    "인천 공항에 가는 길을 알려줘",
    "Who are you?",
    "",
    "?",
    "How many?",
    "제주 지점의 매출액 합계는?",
    "홍길동의 매출액 총합은?",
    "삼성전자가 거래처인 품목은 몇 개야?",
    "XYZ-99999 부품의 재고는?",
    "What were the total sales in Busan?",
    "How many items are in the Incheon warehouse?",
]
