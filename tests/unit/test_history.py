"""What a model gets to see of a conversation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sora.engine.generation import Image, Message
from sora.pipelines.chat import Said
from sora.pipelines.history import fitted, tokens

QUESTION = Message("user", "지금은요?")
texts = st.text(max_size=60)
turns_of_any_kind = st.lists(
    st.builds(Said, st.sampled_from(["user", "assistant"]), st.text(min_size=1, max_size=60)), max_size=20
)


def size(*messages: Message) -> int:
    return sum(4 + tokens(message.content) for message in messages)


def pair(number: int) -> list[Said]:
    return [Said("user", f"질문 {number}"), Said("assistant", f"답변 {number}")]


def contents(turns: list[Said], budget: int, *, system: str = "") -> list[str]:
    return [message.content for message in fitted(turns, system=system, question=QUESTION, budget=budget)]


def test_a_count_that_errs_on_the_safe_side() -> None:
    assert [tokens(text) for text in ("", "a", "abcd", "abcde", "안녕하세요", "ok 안녕", "🌱")] == [
        0, 1, 1, 2, 5, 3, 2,
    ]  # fmt: skip
    assert tokens("\ud800") >= 0, "nothing makes it fail"


def test_whole_turns_leave_from_the_beginning() -> None:
    turns = [*pair(1), *pair(2), *pair(3)]
    whole = ["질문 1", "답변 1", "질문 2", "답변 2", "질문 3", "답변 3"]
    one = size(Message("user", "질문 1"), Message("assistant", "답변 1"))
    asked = size(QUESTION)
    assert contents(turns, asked + 3 * one) == [*whole, QUESTION.content]
    assert contents(turns, asked + 3 * one - 1) == [*whole[2:], QUESTION.content]
    assert contents(turns, asked + one) == [*whole[4:], QUESTION.content]
    assert contents(turns, asked + one - 1) == contents(turns, 0) == [QUESTION.content]


def test_the_system_prompt_stays_and_costs() -> None:
    assert contents(pair(1), 0, system="규칙") == ["규칙", QUESTION.content]
    enough = size(QUESTION, *(Message(said.role, said.content) for said in pair(1)))
    assert len(contents(pair(1), enough)) == 3
    assert len(contents(pair(1), enough, system="규칙")) == 2


def test_images_cost() -> None:
    seen = Message("user", "뭐예요?", (Image("image/png", b"x"),))
    assert len(fitted(pair(1), system="", question=seen, budget=900)) == 1
    assert fitted(pair(1), system="", question=seen, budget=1100)[-1] is seen


def test_a_failed_answer_is_not_told() -> None:
    turns = [Said("user", "하나"), Said("assistant", ""), *pair(2)]
    assert contents(turns, 1000) == ["하나", "질문 2", "답변 2", QUESTION.content]


@given(turns=turns_of_any_kind, system=texts, budget=st.integers(-10, 400))
def test_as_many_of_the_last_turns_as_fit(turns: list[Said], system: str, budget: int) -> None:
    groups: list[list[Message]] = []
    for said in turns:
        if said.role == "user" or not groups:
            groups.append([])
        groups[-1].append(Message(said.role, said.content))
    always = ([Message("system", system)] if system else []), [QUESTION]
    choices = [
        [*always[0], *(message for group in groups[start:] for message in group), *always[1]]
        for start in range(len(groups) + 1)
    ]
    fitting = [choice for choice in choices if size(*choice) <= budget]
    assert (
        list(fitted(turns, system=system, question=QUESTION, budget=budget)) == (fitting or choices[-1:])[0]
    )
