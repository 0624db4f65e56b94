from __future__ import annotations

from types import SimpleNamespace

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from sora.config import Config
from sora.errors import InvalidRequest, RequestError, TooLarge, UnreadableFile, UnsupportedMedia
from sora.web import form
from sora.web.fields import Fields
from sora.web.service import EXTENSION

APP = Flask(__name__)
APP.extensions[EXTENSION] = SimpleNamespace(
    config=Config(max_request_bytes=2000, max_file_size=500, max_files=3)
)
TYPE = "multipart/form-data; boundary=b-b"


def part(head: str, content: bytes) -> bytes:
    return b"--b-b\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + content + b"\r\n"


def read(
    body: bytes, *, type: str = TYPE, names: tuple[str, ...] = (), **how: object
) -> tuple[dict[str, str], list[form.Upload]]:
    """The texts under `names` and the files. Raises what is wrong with them."""
    with APP.test_request_context(method="POST", data=body, content_type=type, **how):
        fields, uploads = form.form(files="files")
        texts = {name: fields.text(name, blank=True, default="") for name in names}
        fields.check()
        return texts, uploads


@given(st.binary(max_size=600))
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    for whole in (
        body,
        b"--b-b\r\n" + body + b"\r\n--b-b--\r\n",
        part('name="files"; filename="a"', body) + b"--b-b--",
    ):
        try:
            read(whole)
        except RequestError:
            continue


NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8).filter(
    lambda name: name != "files"
)
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufffd-"), max_size=60)


@given(
    st.dictionaries(NAMES, PLAIN, max_size=4),
    st.lists(
        st.tuples(NAMES, st.binary(max_size=400).filter(lambda content: b"--b-b" not in content)), max_size=3
    ),
)
def test_what_is_sent_is_read_as_it_is(texts: dict[str, str], files: list[form.Upload]) -> None:
    body = b"".join(part(f'name="{name}"', text.encode()) for name, text in texts.items())
    body += b"".join(part(f'name="files"; filename="{name}"', content) for name, content in files)
    found, uploads = read(body + b"--b-b--\r\n", names=tuple(texts))
    assert found == texts and uploads == files


@pytest.mark.parametrize(
    ("body", "wrong", "field"),
    [
        (part('name="a"', b"\xff"), InvalidRequest, "a"),
        (part('name="a"', b"1") * 2, InvalidRequest, "a"),
        (part('name="files"', b"1"), InvalidRequest, "files"),
        (part('name="other"; filename="x"', b"1"), InvalidRequest, "other"),
        (part('name="files"; filename="x"', b"1" * 501), UnreadableFile, ""),
        (part('name="a"', b"1" * 2001), TooLarge, ""),
        (part('name="a"', b"1")[:-4], InvalidRequest, ""),
    ],
)
def test_what_is_wrong_is_told(body: bytes, wrong: type[RequestError], field: str) -> None:
    whole = body + b"--b-b--\r\n"
    with pytest.raises(wrong) as told:
        read(whole, names=("a",))
    assert [one["field"] for one in told.value.details] == ([field] if field else [])


def test_a_form_without_a_chosen_file_has_none() -> None:
    assert read(part('name="files"; filename=""', b"") + b"--b-b--\r\n") == ({}, [])


@pytest.mark.parametrize(
    "how", [{"type": "text/plain"}, {"type": "application/json"}, {"headers": {"Content-Encoding": "gzip"}}]
)
def test_another_kind_of_body_is_refused(how: dict[str, str]) -> None:
    with pytest.raises(UnsupportedMedia):
        read(part('name="a"', b"1") + b"--b-b--\r\n", **how)


NUMBERS = [
    ("0.5", 0.5), (" 1 ", 1), (1, 1), (0.25, 0.25), ("", None), (None, None), ("-0", 0),
    ("x", "field"), ("1e3", "field"), ("NaN", "field"), (True, "field"), ([], "field"), ("1.1", "field"),
    (10**40, "field"), (-1, "field"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "number"), NUMBERS)
def test_a_number_may_be_a_text(given: object, number: object) -> None:
    with APP.test_request_context():
        fields = Fields({"n": given})
        found = fields.number("n", low=0, high=1)
        if number == "field":
            with pytest.raises(InvalidRequest) as told:
                fields.check()
            assert [one["field"] for one in told.value.details] == ["n"] and found is None
        else:
            fields.check()
            assert found == number


def test_a_whole_number_has_no_fraction() -> None:
    with APP.test_request_context():
        fields = Fields({"a": "3", "b": 3.0, "c": 3.5, "d": "3.5"})
        assert [fields.number(name, low=1, high=9, whole=True) for name in "abcd"] == [3, 3, None, None]


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        (True, True),
        (False, False),
        (None, False),
        ("", False),
        ("true", True),
        (" False ", False),
        ("1", True),
        ("off", False),
    ],
)
def test_a_flag_may_be_a_text(given: object, flag: bool) -> None:
    with APP.test_request_context():
        fields = Fields({"f": given})
        assert fields.flag("f") is flag
        fields.check()


@pytest.mark.parametrize("given", [1, 0, "네", [], {}, "truee"])
def test_what_is_neither_true_nor_false_is_no_flag(given: object) -> None:
    with APP.test_request_context():
        fields = Fields({"f": given})
        assert fields.flag("f") is False
        with pytest.raises(InvalidRequest):
            fields.check()
