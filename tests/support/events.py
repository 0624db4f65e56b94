"""Events of every type, for tests that hold for any of them."""

from __future__ import annotations

from hypothesis import strategies as st

from sora.events import (
    Cancelled,
    Delta,
    Done,
    Error,
    Event,
    Metadata,
    Progress,
    Reasoning,
    Result,
    Source,
    Started,
    Usage,
)

#: Line ends of every kind, a BOM, an emoji beyond the BMP, nothing at all: what breaks a codec.
AWKWARD = (
    "", " ", "\n", "\r", "\r\n", "a\u2028b\u2029c\x85d", "\ufeff", "🌱", "오늘은", 'a"b\\c', "\x00\x1f\x7f", "data: x\n\nid: 9",
)  # fmt: skip

texts = st.text(max_size=12) | st.sampled_from(AWKWARD)
_integers = st.integers(-(2**63), 2**63 - 1)
_values = st.recursive(
    st.none() | st.booleans() | _integers | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
_data = st.dictionaries(texts, _values, max_size=3)
_counts = st.integers(0, 2**53)

terminals: st.SearchStrategy[Event] = st.one_of(
    st.builds(Done, texts), st.builds(Error, texts, texts, st.booleans()), st.just(Cancelled())
)
ongoing: st.SearchStrategy[Event] = st.one_of(
    st.builds(Started, texts),
    st.builds(Progress, texts, texts, texts, texts),
    st.builds(Reasoning, texts),
    st.builds(Delta, _counts, texts),
    st.builds(Source, texts, texts),
    st.builds(Metadata, _data),
    st.builds(Usage, _counts, _counts, _counts),
    st.builds(Result, _data),
)
logged = ongoing | terminals
