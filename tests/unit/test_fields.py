from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from sora.config import Config
from sora.errors import InvalidRequest, TooLarge
from sora.web import fields
from sora.web.fields import Fields, parse_date
from sora.web.service import EXTENSION

APP = Flask(__name__)
APP.extensions[EXTENSION] = SimpleNamespace(config=Config(max_request_bytes=1000))

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture(autouse=True, scope="module")
def _in_a_request() -> Iterator[None]:
    with APP.test_request_context(headers={"Accept-Language": "en"}):
        yield


def read(data: bytes) -> Fields:
    with APP.test_request_context(method="POST", data=data, content_type="application/json"):
        return fields.body()


@given(st.binary(max_size=1100))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    try:
        read(data)
    except (InvalidRequest, TooLarge):
        return
    assert isinstance(value, dict)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_any_object_is_read_as_it_is(value: dict[str, Any]) -> None:
    data = json.dumps(value).encode()
    if len(data) <= 1000:
        assert read(data)._values == value


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False)])
def test_the_last_byte_that_fits(size: int, fits: bool) -> None:
    data = b"{" + b" " * (size - 2) + b"}"
    if fits:
        read(data)
    else:
        with pytest.raises(TooLarge):
            read(data)


@given(st.text())
def test_a_text_is_taken_whole_or_refused(text: str) -> None:
    found = Fields({"name": text})
    value = found.text("name", longest=50)
    usable = bool(text.strip()) and len(text) <= 50 and "\0" not in text
    assert value == (text if usable else "")
    assert bool(found._details) != usable


@given(st.text() | st.integers() | st.lists(st.text()) | st.none() | st.dates().map(str))
def test_a_date_is_one_of_the_calendar(value: Any) -> None:
    found = Fields({"date": value})
    date = found.date("date")
    assert bool(found._details) or str(date) == value


@given(st.dates())
def test_every_date_is_read(date: dt.date) -> None:
    assert parse_date(date.isoformat()) == date


@given(st.text(), st.integers(0, 100))
def test_a_number_is_plain_digits_in_its_range(text: str, number: int) -> None:
    found = Fields({"text": text, "number": str(number)})
    assert found.integer("number", low=0, high=100) == number and not found._details
    assert 3 <= found.integer("text", low=3, high=9) <= 9


def test_problems_are_collected_with_their_path() -> None:
    found = Fields({"input": {"type": "X"}, "list": []})
    inner = found.into("input")
    inner.text("body")
    inner.choice("type", {"F": "FEELING"})
    found.into("list").text("of no interest")
    with pytest.raises(InvalidRequest) as refused:
        found.check()
    assert refused.value.details == [
        {"field": "input.body", "message": "is required."},
        {"field": "input.type", "message": "must be one of: F"},
        {"field": "list", "message": "must be a JSON object."},
    ]
