from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from sora.knowledge.excerpts import GAP, excerpts

FILLER = "\n\n".join(
    f"{number}절. 이 문단은 일반적인 내용을 담고 있으며 특별한 것이 없다. " * 6 for number in range(80)
)
TABLE = "품번,창고,수량\n" + "\n".join(f"ABC-{number:05},A,{number * 7}" for number in range(3000))


def test_what_is_short_stays_whole() -> None:
    assert excerpts(["하나", "둘"], "?", budget=10, size=len) == ["하나", "둘"]
    assert excerpts([], "?", budget=10, size=len) == []
    assert excerpts([" \n" * 20], "?", budget=10, size=len) == [""]


def test_what_matters_of_each_stays() -> None:
    handbook = FILLER + "\n\n연차는 입사 1년 차에 매달 하루씩 생긴다.\n\n" + FILLER
    note = "메모: 회의는 세 시."
    found = excerpts(
        [handbook, TABLE, note], "연차는 며칠이고 ABC-02345 재고는 몇 개야?", budget=6000, size=len
    )
    assert "연차는 입사 1년 차에" in found[0] and found[0].startswith("0절.")
    assert "ABC-02345,A,16415" in found[1] and found[1].startswith("품번,창고,수량")
    assert found[2] == note
    assert GAP in found[0] and GAP in found[1]
    assert sum(map(len, found)) < 6600


def test_what_one_leaves_another_gets() -> None:
    short, long = excerpts(["a" * 100, FILLER], "?", budget=5000, size=len)
    assert short == "a" * 100
    assert 3500 < len(long) < 5200


def test_a_question_that_tells_nothing_apart_gets_some_of_everywhere() -> None:
    [found] = excerpts([FILLER], "요약해 줘", budget=6000, size=len)
    places = [FILLER.index(piece[:8]) / len(FILLER) for piece in found.split(GAP) if piece]
    assert min(places) == 0 and max(places) > 0.7
    assert places == sorted(places)


@given(st.lists(st.text(max_size=3000), max_size=4), st.text(max_size=50), st.integers(0, 4000))
def test_every_text_is_there_and_most_of_the_budget_is_kept(
    texts: list[str], question: str, budget: int
) -> None:
    found = excerpts(texts, question, budget=budget, size=len)
    assert len(found) == len(texts)
    assert sum(map(len, found)) <= budget + len(texts) * 700  # a beginning of each, whatever the budget
    if sum(map(len, texts)) <= budget:
        assert found == texts


def test_a_large_file_takes_no_minute() -> None:
    start = time.process_time()
    excerpts([FILLER * 40], "연차", budget=20_000, size=len)
    assert time.process_time() - start < 10
