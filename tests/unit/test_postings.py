"""The packed postings: put together they are what they would have been, and their scores are BM25's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.knowledge.postings import best, merged, packed

PASSAGES = st.lists(
    st.lists(st.sampled_from(["재고", "연차", "a", "b", "abc12345"]), max_size=12), min_size=1, max_size=20
)


@given(PASSAGES, PASSAGES)
def test_two_segments_put_together_are_as_one_made_at_once(
    first: list[list[str]], second: list[list[str]]
) -> None:
    rows = [(0, term, data) for term, data in packed(first)[0].items()]
    rows += [(1, term, data) for term, data in packed(second)[0].items()]

    assert merged(rows, {0: 0, 1: len(first)}, {}) == packed([*first, *second])[0]


@given(PASSAGES, st.data())
def test_what_is_deleted_is_left_out(passages: list[list[str]], data: st.DataObject) -> None:
    low = data.draw(st.integers(0, len(passages) - 1))
    high = data.draw(st.integers(low, len(passages) - 1))
    rows = [(7, term, postings) for term, postings in packed(passages)[0].items()]
    kept = [[] if low <= slot <= high else terms for slot, terms in enumerate(passages)]

    assert merged(rows, {7: 0}, {7: [(low, high)]}) == packed(kept)[0]


@given(PASSAGES)
def test_scores_are_those_of_bm25(passages: list[list[str]]) -> None:
    postings, total = packed(passages)
    weights = {"재고": 2.0, "a": 0.5, "nowhere": 1.0}
    data = {(0, term): packed_ for term, packed_ in postings.items()}
    mean = total / len(passages)

    found = best([(len(passages), [])], weights, data, mean=mean, limit=len(passages))

    def score(terms: list[str]) -> float:
        norm = 1.2 * (0.25 + 0.75 * len(terms) / max(mean, 1.0))
        return sum(
            weight * 2.2 * terms.count(term) / (terms.count(term) + norm) for term, weight in weights.items()
        )

    expected = {slot: score(terms) for slot, terms in enumerate(passages) if score(terms)}
    assert {slot for _, _, slot in found} == set(expected)
    for value, _, slot in found:  # lengths are kept to 4 %
        assert math.isclose(value, expected[slot], rel_tol=0.05)
    assert [entry[0] for entry in found] == sorted((entry[0] for entry in found), reverse=True)


@pytest.mark.parametrize("count", [1, 255, 70_000])
def test_a_term_may_stand_there_as_often_as_it_likes(count: int) -> None:
    postings, total = packed([["a"] * count, ["b"]])

    assert total == count + 1
    assert [
        slot for _, _, slot in best([(2, [])], {"a": 1.0}, {(0, "a"): postings["a"]}, mean=9.0, limit=5)
    ] == [0]


def test_no_passages_make_nothing() -> None:
    assert best([], {"a": 1.0}, {}, mean=1.0, limit=5) == []
    assert packed([[]]) == ({}, 0)
