from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.quality.drift import HELD_OUT, LEAST, TUNED, balanced_accuracy, cases, report
from sora.errors import UpstreamTimeout
from sora.knowledge.drift import Drift
from sora.simulator.embeddings import embed

STOCK = [
    ("ABC-12345 재고가 얼마야?", "창고 A에 120개, 창고 B에 35개로 모두 155개입니다. 단가는 3,200원입니다.")
]
LEAVE = [("How many vacation days do I get?", "Employees get 20 vacation days a year; five carry over.")]


@pytest.mark.parametrize("language", ["ko", "en"])
def test_drift_is_told_on_questions_it_was_not_tuned_on(language: str) -> None:
    assert balanced_accuracy(Drift(), cases(HELD_OUT, language)) >= LEAST


def test_the_labelled_set_is_balanced_and_its_halves_share_no_conversation() -> None:
    every = [*cases(TUNED), *cases(HELD_OUT)]
    assert len(every) >= 80
    assert set(Counter((case["language"], case["half"], case["drifted"]) for case in every).values()) == {12}
    assert not {case["conversation"] for case in cases(TUNED)} & {
        case["conversation"] for case in cases(HELD_OUT)
    }


def test_the_report_gives_the_figures() -> None:
    assert f"{balanced_accuracy(Drift(), cases(HELD_OUT)):.3f}" in "\n".join(report())


@pytest.mark.parametrize(
    "question",
    ["그럼 그건 얼마야?", "왜?", "예시 더", "더 자세히", "표로 정리해 줘", "영어로 번역해 줘", "창고 B는?",
     "why?", "And the other one?", "Explain that in more detail", "", "   ", "???", "1", "👍"],
)  # fmt: skip
def test_a_question_that_points_back_or_names_nothing_stays(question: str) -> None:
    assert not Drift().drifted(question, STOCK)


@pytest.mark.parametrize(
    "question",
    [
        "강아지가 초콜릿을 먹었는데 어떡하지?",
        "화제를 바꿔서, 점심 메뉴 추천해 줘",
        "By the way, what is the weather in Busan like?",
    ],
)
def test_another_topic_drifts(question: str) -> None:
    assert Drift().drifted(question, STOCK)
    assert Drift().drifted(question, LEAVE)


def test_the_first_question_never_drifts() -> None:
    assert not Drift().drifted("강아지가 초콜릿을 먹었는데 어떡하지?", [])


def test_only_the_last_turns_count() -> None:
    others = [(f"노트북 {number}", "배터리가 빨리 닳습니다.") for number in range(4)]
    question = "창고 재고 단가 알려 줘"
    assert not Drift().drifted(question, [*others, *STOCK])
    assert Drift().drifted(question, [*STOCK, *others])


class Model:
    """Embeddings as the simulator makes them; none, when it is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.asked: list[Sequence[str]] = []

    def embed(self, texts: Sequence[str], *, timeout: float) -> list[list[float]]:
        self.asked.append(texts)
        if self.away:
            raise UpstreamTimeout("away")
        return [embed(text) for text in texts]


def test_embeddings_decide_where_there_are_any() -> None:
    model = Model()
    drift = Drift(model)
    assert drift.drifted("Set up a Kubernetes readiness probe", STOCK)
    assert not drift.drifted("ABC-12345 재고 단가 세금 포함이야?", STOCK)
    assert len(model.asked) == 2
    assert not drift.drifted("왜?", STOCK)
    assert len(model.asked) == 2, "a question that names nothing costs no call"


def test_without_an_answer_of_the_model_words_decide() -> None:
    model = Model(away=True)
    assert Drift(model).drifted("강아지가 초콜릿을 먹었는데 어떡하지?", STOCK)
    assert not Drift(model).drifted("창고 B의 재고 단가는 비싼 편인가?", STOCK)
    assert len(model.asked) == 2


@given(st.text(max_size=60), st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=3))
def test_any_text_can_be_asked(question: str, recent: list[tuple[str, str]]) -> None:
    drifted = Drift().drifted(question, recent)
    assert not drifted or recent
    assert not Drift().drifted(question, [*recent, (question, "")]), "asked once more it is no other topic"


def test_a_long_question_takes_no_longer() -> None:
    start = time.process_time()
    Drift().drifted("가나 다라 그 " * 50_000, [("a " * 100_000, "b " * 100_000)] * 4)
    assert time.process_time() - start < 1.0
