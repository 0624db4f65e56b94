"""Errors: one tree, stable codes, words in both languages."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

import pytest

from sora import errors
from sora.errors import MESSAGES, RequestError, RunError, SoraError, message


def tree(root: type[SoraError]) -> Iterator[type[SoraError]]:
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from tree(child)


ALL = [SoraError, *tree(SoraError)]
VALUES = {"title": "재고", "choices": "F, T", "low": 1, "high": 12}


def placeholders(words: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(words) if name is not None}


@pytest.mark.parametrize("error", ALL)
def test_every_code_has_words_in_both_languages(error: type[SoraError]) -> None:
    assert error.code in MESSAGES


@pytest.mark.parametrize("key", MESSAGES)
def test_all_words_can_be_said(key: str) -> None:
    korean, english = MESSAGES[key]

    assert re.search("[가-힣]", korean)
    assert english.isascii()
    assert placeholders(korean) == placeholders(english) <= set(VALUES)
    for locale in ("ko", "en"):
        said = message(key, locale, **VALUES)
        assert said and "{" not in said


def test_a_language_is_chosen() -> None:
    assert message("cancelled", "ko") == "취소되었습니다."
    assert message("cancelled", "en") == "Cancelled."
    assert message("field_range", "en", low=1, high=12) == "must be between 1 and 12."


def test_an_unknown_key_speaks_as_internal() -> None:
    assert message("no such key", "en") == message("internal", "en")


@pytest.mark.parametrize("error", [*tree(RequestError)])
def test_a_request_is_refused_with_a_client_or_busy_status(error: type[SoraError]) -> None:
    assert 400 <= error.status < 500 or error.status == 503
    assert error.retryable == (error.status in (429, 503) or error is errors.ConversationBusy)


@pytest.mark.parametrize("parent", [RequestError, RunError])
def test_codes_are_not_shared(parent: type[SoraError]) -> None:
    codes = [error.code for error in tree(parent)]

    assert len(set(codes)) == len(codes)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)(?:\s+(\d{3}) (\w+)|\s+([a-z_]+\b))?", errors.__doc__ or "")
    by_name = {error.__name__: error for error in ALL[1:]}

    assert {name for name, *_ in drawn} == set(by_name)
    for name, status, code, run_code in drawn:
        if status:
            assert (by_name[name].status, by_name[name].code) == (int(status), code)
        elif issubclass(by_name[name], RunError) and by_name[name] is not RunError:
            assert by_name[name].code == run_code


def test_a_refusal_says_its_code_unless_it_has_a_better_reason() -> None:
    plain = errors.Unauthorized()
    said = errors.Unauthorized("token_expired", retry_after=2)

    assert (plain.reason, str(plain), plain.details, plain.retry_after) == (
        "unauthorized",
        "unauthorized",
        [],
        None,
    )
    assert (said.code, said.reason, said.retry_after) == ("unauthorized", "token_expired", 2)


def test_details_are_the_refusals_own() -> None:
    details = [{"field": "body"}]
    refusal = errors.InvalidRequest(details=details)
    details.clear()

    assert refusal.details == [{"field": "body"}]
