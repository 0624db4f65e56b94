from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.config import Config
from sora.errors import ConfigError, Unauthorized
from sora.web.auth import Tokens
from tests.support.client import JWT_SECRET, make_token
from tests.support.waiting import wait_until

CONFIG = Config(jwt_secret=JWT_SECRET)
TOKENS = Tokens(CONFIG)


def refusal(token: str, tokens: Tokens = TOKENS) -> str:
    with pytest.raises(Unauthorized) as refused:
        tokens.verify(token)
    return refused.value.reason


def test_one_name_is_one_owner() -> None:
    first, second, other = (TOKENS.verify(TOKENS.issue(name)) for name in ("보라", "보라", "다나"))
    assert first.id == second.id != other.id
    assert (first.name, first.role) == ("보라", "USER")
    claims = jwt.decode(TOKENS.issue("보라", hours=2), options={"verify_signature": False})
    assert set(claims) == {"sub", "uuid", "username", "role", "category", "iat", "exp"}
    assert claims["exp"] - claims["iat"] == 7200 and claims["category"] == "access"


@pytest.mark.parametrize(
    ("claims", "owner", "name"),
    [
        ({"uuid": "u", "sub": "s", "username": "n"}, "u", "n"),
        ({"sub": "s", "username": "n"}, "s", "n"),
        ({"username": "n"}, "n", "n"),
        ({"uuid": "u", "name": "n"}, "u", "n"),
        ({"uuid": "u"}, "u", ""),
        ({"uuid": "u", "username": 7}, "u", ""),
    ],
)
def test_who_owns_and_what_they_are_called(claims: dict[str, Any], owner: str, name: str) -> None:
    who = TOKENS.verify(jwt.encode({**claims, "exp": time.time() + 60}, JWT_SECRET, "HS256"))
    assert (who.id, who.name) == (owner, name)


@pytest.mark.parametrize(
    "claims",
    [
        {"uuid": None, "sub": None, "username": None},
        {"uuid": "x" * 256},
        {"uuid": "a\0b", "sub": None, "username": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e400},
        {"sub": 7},
        {"aud": "another service"},
        {"iat": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600},
    ],
)
def test_a_token_that_is_not_for_us(claims: dict[str, Any]) -> None:
    assert refusal(make_token("보라", **claims)) == "token_invalid"


def test_a_refresh_token_is_no_access_token() -> None:
    assert refusal(make_token("보라", category="refresh")) == "token_refresh"


def test_clocks_may_differ_by_the_leeway() -> None:
    now = int(time.time())
    assert TOKENS.verify(make_token("보라", exp=now - 20)).expires_at == now + 10
    assert refusal(make_token("보라", exp=now - 40)) == "token_expired"
    assert (
        refusal(make_token("보라", exp=now - 2), Tokens(Config(jwt_secret=JWT_SECRET, jwt_leeway=0)))
        == "token_expired"
    )
    assert TOKENS.verify(make_token("보라", iat=now + 20))


def test_required_claims() -> None:
    strict = Tokens(Config(jwt_secret=JWT_SECRET, jwt_required_claims=("exp", "iss")))
    assert refusal(make_token("보라"), strict) == "token_invalid"
    assert strict.verify(make_token("보라", iss="us"))
    lax = Tokens(Config(jwt_secret=JWT_SECRET, jwt_required_claims=()))
    assert lax.verify(make_token("보라", exp=None)).expires_at is None


def test_a_key_derived_by_sha256() -> None:
    """As the Spring original does it; the secret itself may then be short."""
    tokens = Tokens(Config(jwt_secret="short", jwt_key_derivation="sha256"))
    claims = {"username": "보라", "uuid": "u", "category": "access", "exp": int(time.time()) + 60}
    assert tokens.verify(jwt.encode(claims, hashlib.sha256(b"short").digest(), "HS256")).id == "u"
    assert tokens.verify(tokens.issue("보라")).name == "보라"
    assert refusal(make_token("보라"), tokens) == "token_invalid"
    with pytest.raises(ConfigError, match="SORA_JWT_SECRET"):
        Tokens(Config(jwt_secret="short"))


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"alg": "RS256"}, {"alg": "HS512"}, {"alg": "HS256", "crit": ["x"]}, []]
)
def test_another_algorithm_is_refused(header: Any) -> None:
    _, payload, signature = make_token("보라").split(".")
    for end in (signature, ""):
        forged = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
        assert refusal(f"{forged}.{payload}.{end}") == "token_invalid"


def test_a_header_nested_without_end_is_refused() -> None:
    nested = base64.urlsafe_b64encode(b"[" * 6000).decode()
    assert refusal(f"{nested}.e30.e30") == "token_invalid"


@given(st.one_of(st.text(), st.from_regex(r"[\w-]+\.[\w-]+\.[\w-]*", fullmatch=True)))
def test_no_text_but_ours_is_a_token(text: str) -> None:
    assert refusal(text) == "token_invalid"


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_token_that_was_altered_is_refused(at: int, character: str) -> None:
    token = make_token("보라", iat=1, exp=4_000_000_000)
    at %= len(token) - 1  # the last character has bits that say nothing
    if token[at] != character:
        assert refusal(token[:at] + character + token[at + 1 :]) == "token_invalid"


def test_a_token_that_was_good_ends_when_it_expires() -> None:
    tokens = Tokens(Config(jwt_secret=JWT_SECRET, jwt_leeway=0.0))
    token = make_token("보라", exp=int(time.time()) + 1)
    first = tokens.verify(token)
    assert tokens.verify(token) is first, "its signature was not checked again"
    wait_until(lambda: time.time() >= (first.expires_at or 0), what="its end")
    assert refusal(token, tokens) == "token_expired"


def test_what_is_known_of_tokens_has_a_bound() -> None:
    tokens = Tokens(CONFIG)
    first = tokens.verify(make_token("보라"))
    assert all(tokens.verify(make_token("보라", number=number)) for number in range(10_000))
    assert tokens.verify(make_token("보라")) is not first
    assert refusal(make_token("보라", category="refresh"), tokens) == "token_refresh"
