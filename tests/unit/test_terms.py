"""The terms of a text: what is to be found by what."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.knowledge.terms import LONGEST, terms


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("재고", "재고는 얼마나 남았나요"),
        ("연차", "올해연차를 모두 썼다"),
        ("물", "물 한 잔"),
        ("물", "물을 붓는다"),
        ("ABC-12345", "품번: ABC-12345, 수량: 3"),
        ("abc12345", "ABC-12345"),
        ("ABC-12345", "abc12345"),
        ("12345", "ABC-12345"),
        ("ABC/12345", "ABC-12345"),
        ("1200000", "매출 1,200,000원"),
        ("2026-01-20", "2026.01.20"),
        ("leaves", "annual leave"),
        ("carry", "carried over"),
        ("stopped", "it stops"),
        ("policy", "Policies"),
        ("ﾃｽﾄ", "テスト"),
        (unicodedata.normalize("NFD", "재고"), "재고"),
        ("CAFÉ", "café"),
        ("ＡＢＣ", "abc"),
    ],
)
def test_what_is_asked_is_found_in_what_is_said(asked: str, said: str) -> None:
    assert terms(asked)
    assert set(terms(asked)) <= set(terms(said))


@pytest.mark.parametrize(
    ("asked", "said"), [("재고", "재무 고객"), ("ABC-12345", "ABC-12346"), ("leave", "leaf")]
)
def test_something_else_is_not(asked: str, said: str) -> None:
    assert not set(terms(asked)) <= set(terms(said))


def test_pairs_do_not_reach_over_the_end_of_a_word() -> None:
    assert terms("재고 관리") == ["재고", "관리"]


@given(st.text())
def test_any_text_has_terms_that_a_database_holds(text: str) -> None:
    for term in terms(text):
        assert 0 < len(term) <= LONGEST
        assert "\0" not in term and not any(letter.isspace() for letter in term)
        term.encode()


@given(st.text(alphabet="재고는 가나다 abcABC 123-,. É"))
def test_case_and_composition_make_no_difference(text: str) -> None:
    assert terms(text) == terms(unicodedata.normalize("NFD", text)) == terms(text.upper())
