from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.knowledge.subject import overlap

TEXT = "연차는 입사 1년 차에 매달 하루씩 생긴다. Employees get 20 vacation days; part ABC-12345 is in stock."


@pytest.mark.parametrize(
    ("question", "share"),
    [("연차가 뭐야?", 1), ("연차를 어떻게 써요?", 1), ("How much vacation do employees get?", 1), ("abc-12345?", 1),
     ("강아지가 아파요", 0),
     ("연차와 강아지", 0.5), ("Red wine on a carpet", 0), ("안녕하세요?", 0), ("Please tell me more", 0), ("", 0), ("2026?", 0)],
)  # fmt: skip
def test_what_a_question_names_is_known_or_new(question: str, share: float) -> None:
    assert overlap(question, [TEXT]).share == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("question", ["어떻게 하면 좋을까요?", "왜?", "Please tell me more", "요약해 줘"])
def test_what_every_question_is_made_of_names_nothing(question: str) -> None:
    assert overlap(question, [TEXT]) == (0, 0)


@given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=3))
def test_any_text_has_a_share(question: str, texts: list[str]) -> None:
    found = overlap(question, texts)
    assert found.new >= 0 and found.known >= 0 and 0 <= found.share <= 1
    assert overlap(question, [question]).new == 0
