"""The cleaner: text that can be saved and sent, however the model cut it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from sora.engine.cleaner import Cleaner

#: Pieces with every kind of character, halves of pairs and NUL far more often than life has them.
pieces = st.text(
    st.sampled_from("\ud83c\udf31\ud800\udbff\udc00\udfff\0a가🌱\u2028\ufffd") | st.characters(codec=None),
    max_size=12,
)


#: Pieces as they arrive: some together.
batches = st.lists(st.lists(pieces, max_size=4), max_size=4)


def clean(*parts: list[str]) -> str:
    cleaner = Cleaner()
    return "".join([piece for part in parts for piece in cleaner.feed(part)] + cleaner.end())


def expected(text: str) -> str:
    """Said in another way: pairs are joined, what is left alone is replaced, NUL is dropped."""
    joined = re.sub(
        "[\ud800-\udbff][\udc00-\udfff]",
        lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"),
        text,
    )
    return re.sub("[\ud800-\udfff]", "\ufffd", joined).replace("\0", "")


@given(pieces)
def test_pairs_are_joined_the_lone_replaced_and_nul_dropped(text: str) -> None:
    assert clean([text]) == expected(text)


@given(batches)
def test_any_split_gives_the_cleaned_whole(parts: list[list[str]]) -> None:
    assert clean(*parts) == expected("".join(piece for part in parts for piece in part))


@given(batches)
def test_each_piece_can_be_saved_and_sent(parts: list[list[str]]) -> None:
    cleaner = Cleaner()
    for part in parts:
        for cleaned in cleaner.feed(part):
            assert cleaned and "\0" not in cleaned
            cleaned.encode()


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), max_size=4))
def test_clean_text_passes_at_once(parts: list[str]) -> None:
    assert Cleaner().feed(parts) == parts


@given(pieces)
def test_only_half_a_pair_is_held_back(text: str) -> None:
    cleaner = Cleaner()
    cleaned = "".join(cleaner.feed([text]))

    assert cleaned == expected(text[:-1] if "\ud800" <= text[-1:] <= "\udbff" else text)


def test_it_starts_afresh_after_its_end() -> None:
    cleaner = Cleaner()
    assert cleaner.feed(["\ud83c"]) == []
    assert cleaner.end() == ["\ufffd"]
    assert cleaner.feed(["\udf31"]) == ["\ufffd"]
    assert cleaner.end() == []
