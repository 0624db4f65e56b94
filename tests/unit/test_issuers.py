"""Tokens of other issuers: which keys count, for which algorithm, and what a JWKS document may hold."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.config import Config
from sora.errors import ConfigError, Overloaded, Unauthorized
from sora.web.auth import Tokens
from sora.web.issuers import Jwks, parse, public_key
from tests.support.client import JWT_SECRET, make_token
from tests.support.issuer import Issuer, KeyPair, Mood, issuer
from tests.support.waiting import in_time, wait_until

RSA, EC = KeyPair("r", "RS256"), KeyPair("e", "ES256")
OTHER = KeyPair("o", "ES256")
SMALL = KeyPair("s", "RS256", bits=1024)
PAIRS = pytest.mark.parametrize("pair", [RSA, EC], ids=["RS256", "ES256"])


def refusal(token: str, tokens: Tokens) -> str:
    with pytest.raises(Unauthorized) as refused:
        tokens.verify(token)
    return refused.value.reason


@PAIRS
def test_a_public_key_verifies(pair: KeyPair, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(pair.pem)
    for given_key in (pair.pem, pair.pem.replace("\n", "\\n"), str(file)):
        tokens = Tokens(Config(jwt_public_key=given_key))
        who = tokens.verify(pair.token("someone"))
        assert (who.id, who.name) == ("someone", "보라")
        assert refusal(KeyPair(pair.kid, pair.algorithm).token(), tokens) == "token_invalid"
        assert refusal(pair.token(exp=int(time.time()) - 100), tokens) == "token_expired"
    assert pair.pem[30:60] not in repr(Config(jwt_public_key=pair.pem))


@PAIRS
def test_a_public_key_is_never_a_secret(pair: KeyPair) -> None:
    """The classic: the header says HS256, and the HMAC key is the public key, which everybody knows."""
    both = Tokens(Config(jwt_public_key=pair.pem, jwt_secret=JWT_SECRET))
    alone = Tokens(Config(jwt_public_key=pair.pem))
    _, payload, _ = make_token("보라").split(".")
    for algorithm, digest in (("HS256", "sha256"), ("HS512", "sha512"), (pair.algorithm, "sha256")):
        header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).decode()
        signed = f"{header.rstrip('=')}.{payload}"
        for key in (pair.pem.encode(), pair.pem.strip().encode(), b""):
            mac = hmac.digest(key, signed.encode(), digest)
            forged = f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
            assert refusal(forged, both) == refusal(forged, alone) == "token_invalid"
    assert refusal(make_token("보라"), alone) == "token_invalid"
    assert both.verify(make_token("보라")) and both.verify(pair.token())


def test_an_algorithm_belongs_to_a_kind_of_key() -> None:
    tokens = Tokens(Config(jwt_public_key=RSA.pem))
    for algorithm in ("RS384", "RS512", "PS256"):
        token = jwt.encode({"sub": "s", "exp": time.time() + 60}, RSA.private, algorithm)
        assert refusal(token, tokens) == "token_invalid"
    assert refusal(EC.token(), tokens) == "token_invalid"


@pytest.mark.parametrize(
    "text", ["no such file", "-----BEGIN nothing", "-----BEGIN PUBLIC KEY-----\nx", SMALL.pem]
)
def test_a_key_that_cannot_be_used_stops_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match="SORA_JWT_PUBLIC_KEY") as refused:
        public_key(text)
    assert text not in str(refused.value)


def test_earlier_secrets_verify_and_sign_no_more() -> None:
    old, older = "the secret before, of 32 characters", "the one before that, of 32 characters"
    tokens = Tokens(Config(jwt_secret=JWT_SECRET, jwt_old_secrets=(old, older)))
    for secret in (JWT_SECRET, old, older):
        assert tokens.verify(make_token("보라", secret=secret)).name == "보라"
    assert refusal(make_token("보라", secret="another secret, of 32 characters"), tokens) == "token_invalid"
    assert refusal(make_token("보라", secret=older, exp=1), tokens) == "token_expired"
    assert jwt.decode(tokens.issue("보라"), JWT_SECRET, ["HS256"])["username"] == "보라"
    with pytest.raises(ConfigError, match="SORA_JWT_OLD_SECRETS"):
        Tokens(Config(jwt_secret=JWT_SECRET, jwt_old_secrets=("short",)))
    derived = Tokens(Config(jwt_secret="new", jwt_old_secrets=("old",), jwt_key_derivation="sha256"))
    claims = {"uuid": "u", "exp": int(time.time()) + 60}
    assert derived.verify(jwt.encode(claims, hashlib.sha256(b"old").digest(), "HS256")).id == "u"


def test_audience_and_issuer_are_demanded_of_all() -> None:
    config = Config(
        jwt_secret=JWT_SECRET,
        jwt_public_key=EC.pem,
        jwt_audience=("sora", "diary"),
        jwt_issuer=("https://login",),
    )
    tokens = Tokens(config)
    good: dict[str, Any] = {"aud": ["x", "diary"], "iss": "https://login"}
    assert tokens.verify(EC.token(**good)) and tokens.verify(make_token("보라", **good))
    for wrong in ({"aud": "x"}, {"aud": None}, {"iss": "https://login/"}, {"iss": None}):
        assert refusal(EC.token(**(good | wrong)), tokens) == "token_invalid"
        assert refusal(make_token("보라", **(good | wrong)), tokens) == "token_invalid"
    assert tokens.verify(tokens.issue("보라")).name == "보라", "our own have both"


def test_claims_may_have_other_names() -> None:
    config = Config(
        jwt_secret=JWT_SECRET,
        jwt_owner_claim=("https://id/user", "sub"),
        jwt_name_claim=("nickname",),
        jwt_role_claim=("group",),
    )
    tokens = Tokens(config)
    who = tokens.verify(
        make_token(
            "보라", **{"https://id/user": "u1", "nickname": "다나", "group": "editors", "uuid": "other"}
        )
    )
    assert (who.id, who.name, who.role) == ("u1", "다나", "editors")
    assert tokens.verify(make_token("보라", sub="u2")).id == "u2"
    own = tokens.verify(tokens.issue("가온", owner="u3"))
    assert (own.id, own.name, own.role) == ("u3", "가온", "USER")


def test_without_a_secret_no_token_is_made() -> None:
    with pytest.raises(ConfigError, match="SORA_JWT_SECRET"):
        Tokens(Config(jwt_public_key=EC.pem)).issue("보라")


def test_only_keys_that_verify_are_taken_from_a_document() -> None:
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"}
    private = ec_private()
    entries: list[Any] = [
        RSA.jwk(), EC.jwk(alg="ES256", use="sig", key_ops=["verify"]),
        secret, private, SMALL.jwk(), OTHER.jwk(use="enc"), OTHER.jwk(alg="RS256"), OTHER.jwk(key_ops=["sign"]),
        OTHER.jwk(crv="P-384"), OTHER.jwk(x="!"), {"kty": "OKP", "crv": "Ed25519", "x": "AA"}, {}, None, "x", 1,
    ]  # fmt: skip
    keys = parse(json.dumps({"keys": entries}).encode())
    assert [(key.kid, key.algorithm) for key in keys] == [("r", "RS256"), ("e", "ES256")]


def ec_private() -> dict[str, Any]:
    return dict(jwt.algorithms.ECAlgorithm.to_jwk(OTHER.private, as_dict=True))


@given(
    st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.text() | st.integers(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(st.sampled_from(["keys", "kty", "kid", "n", "e", "x", "crv"]), inner)
            ),
        ).map(lambda v: json.dumps(v).encode()),
    )
)
def test_what_is_no_document_is_told(document: bytes) -> None:
    with pytest.raises(ValueError):
        parse(document)


@pytest.mark.parametrize(
    "url", ["file:///etc/keys.json", "ftp://host/keys", "keys.json", "https://", "http://["]
)
def test_a_document_comes_by_http(url: str) -> None:
    with pytest.raises(ConfigError, match="SORA_JWT_JWKS_URL"):
        Jwks(url)


@pytest.fixture
def login() -> Iterator[Issuer]:
    with issuer(RSA, EC) as running:
        yield running


def test_a_document_is_read_once_for_all(login: Issuer) -> None:
    jwks = Jwks(login.url)
    threads = [threading.Thread(target=jwks.keys, args=("ES256", "e")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [key.kid for key in jwks.keys("RS256", "r")] == ["r"] and login.asked == 1
    assert jwks.keys("RS256", "e") == [], "each kid for its own kind"
    assert [key.kid for key in jwks.keys("ES256", None)] == ["e"], "a token need not name its key"
    for number in range(50):
        assert jwks.keys("ES256", f"made up {number}") == []
    assert login.asked == 1, "it was read a moment ago"


def test_a_new_key_is_looked_for_once_in_a_while(login: Issuer) -> None:
    jwks = Jwks(login.url, pause=0.2)
    assert jwks.keys("ES256", "e")
    login.keys = [OTHER]
    wait_until(lambda: jwks.keys("ES256", "o"), timeout=5, what="the new key")
    assert jwks.keys("ES256", "e") == [], "what the document no longer names is not good any more"


def test_a_withdrawn_key_goes_without_being_asked_for(login: Issuer) -> None:
    jwks = Jwks(login.url, fresh=0.1, pause=0.1)
    assert jwks.keys("ES256", "e")
    login.keys = [RSA]
    wait_until(lambda: not jwks.keys("ES256", "e"), timeout=5, what="its end")


def test_a_token_that_was_good_goes_with_its_key(login: Issuer) -> None:
    tokens = Tokens(Config(jwt_jwks_url=login.url))
    tokens._jwks = Jwks(login.url, fresh=0.1, pause=0.1)
    token = EC.token()
    assert tokens.verify(token) is tokens.verify(token)
    login.keys = [RSA]
    wait_until(lambda: _refused(token, tokens), timeout=5, what="its end")


def _refused(token: str, tokens: Tokens) -> bool:
    try:
        tokens.verify(token)
    except Unauthorized as error:
        return error.reason == "token_invalid"
    return False


@pytest.mark.parametrize("mood", ["hangs", "trickles", "fails", "babbles", "empty"])
def test_known_keys_go_on_whatever_the_server_does(
    login: Issuer, mood: Mood, caplog: pytest.LogCaptureFixture
) -> None:
    jwks = Jwks(login.url, fresh=0.0, pause=0.1)
    assert jwks.keys("ES256", "e")
    asked = login.asked
    with caplog.at_level(logging.WARNING, "sora.web.issuers"):
        login.mood = mood
        waited = time.monotonic()
        wait_until(lambda: jwks.keys("ES256", "e") and login.asked > asked + 1, timeout=10)

        def known() -> float:
            asked_at = time.monotonic()
            assert jwks.keys("ES256", "e")
            return time.monotonic() - asked_at

        assert in_time(known, within=0.1), "nobody waits for what is known"
        started = time.monotonic()
        with pytest.raises(Overloaded):
            jwks.keys("ES256", "o")
        assert time.monotonic() - started < 3
        wait_until(lambda: caplog.records, what="a log line")
    assert time.monotonic() - waited < 12
    assert "cannot be used" in caplog.text and login.url not in caplog.text
    login.mood, login.keys = "well", [EC, OTHER]
    wait_until(lambda: _known(jwks, "o"), timeout=5, what="the new key")


def _known(jwks: Jwks, kid: str) -> bool:
    try:
        return bool(jwks.keys("ES256", kid))
    except Overloaded:
        return False


def test_several_sources_are_told_apart(login: Issuer) -> None:
    static = KeyPair("static", "ES256")
    tokens = Tokens(Config(jwt_secret=JWT_SECRET, jwt_public_key=static.pem, jwt_jwks_url=login.url))
    assert tokens.verify(make_token("보라")) and tokens.verify(static.token()) and login.asked == 0
    assert tokens.verify(EC.token()) and tokens.verify(RSA.token()) and login.asked == 1
    assert refusal(OTHER.token(), tokens) == "token_invalid"
