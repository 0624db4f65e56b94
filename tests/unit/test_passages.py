"""Texts cut into passages."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from sora.knowledge.passages import OVERLAP, SIZE, split

SENTENCE = "연차 휴가는 회사의 규정에 따라 매년 새로 부여된다. "
TEXTS = st.lists(
    st.sampled_from(
        ["# 제목\n", "## Part two\n", "\n\n", "\n", SENTENCE, "word ", "가" * 50, "```\n# no heading\n```\n"]
    )
).map("".join)


def test_a_passage_says_what_it_stands_under() -> None:
    text = "# 휴가\n\n머리말\n\n## 연차\n\n15일이다.\n\n## 병가\n\n10일이다.\n\n# 급여\n\n25일이다."

    assert list(split(text)) == [
        "휴가\n머리말",
        "휴가 > 연차\n15일이다.",
        "휴가 > 병가\n10일이다.",
        "급여\n25일이다.",
    ]


def test_a_heading_without_a_text_is_kept_once() -> None:
    assert list(split("# A\n## B\n# C\ntext\n# D")) == ["A > B", "C\ntext", "D"]


def test_what_looks_like_a_heading_in_code_is_code() -> None:
    assert list(split("# A\n```\n# comment\n```")) == ["A\n```\n# comment\n```"]


def test_a_long_text_is_cut_between_sentences_and_repeats_its_end() -> None:
    passages = list(split(SENTENCE * 100))

    assert len(passages) > 4
    for before, after in itertools.pairwise(passages):
        assert len(before) <= SIZE and before.endswith("부여된다.")
        repeated = after[: len(SENTENCE) - 1]
        assert before.endswith(repeated)


def test_what_has_no_end_is_cut_all_the_same() -> None:
    passages = list(split("가" * (3 * SIZE + 1)))

    assert [len(passage) for passage in passages] == [SIZE, SIZE, SIZE, 1]


@given(TEXTS)
def test_nothing_is_lost_and_nothing_is_long(text: str) -> None:
    passages = list(split(text))

    headings = sum(len(line) for line in text.splitlines()) if "#" in text else 0
    for passage in passages:
        assert passage == passage.strip() != ""
        assert len(passage) <= SIZE + OVERLAP + headings
    words = {word for word in re.split(r"[\s#]+", text) if word and len(word) <= SIZE}
    said = "\n".join(passages)
    assert all(word in said for word in words)
