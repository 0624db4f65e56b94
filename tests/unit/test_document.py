"""A document of another server: whole, or an error in time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sora.errors import UpstreamError, UpstreamTimeout
from sora.providers import document
from sora.providers.document import fetch
from tests.support import process
from tests.support.issuer import Issuer, KeyPair, Mood, issuer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with issuer(KeyPair("1")) as running:
        yield running


def test_it_comes_whole(server: Issuer) -> None:
    answer = fetch(server.url, timeout=3)
    assert (answer.status, answer.body) == (200, server.document()) and "date" in answer.headers
    server.mood = "fails"
    assert fetch(server.url, timeout=3).status == 500


def test_too_much_is_an_error(server: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_MAX_BYTES", 10)
    with pytest.raises(UpstreamError):
        fetch(server.url, timeout=3)


@pytest.mark.parametrize("url", ["http://[", "http://", f"http://127.0.0.1:{process.free_port()}/"])
def test_nobody_is_there(url: str) -> None:
    with pytest.raises(UpstreamError):
        fetch(url, timeout=3)


@pytest.mark.parametrize("mood", ["hangs", "trickles"])
@pytest.mark.parametrize("proxied", [False, True])
def test_it_is_not_waited_for_long(
    server: Issuer, mood: Mood, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.mood, url = mood, server.url
    if proxied:
        monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/keys.json"))
        url = "http://login.invalid/keys.json"
    started = time.monotonic()
    with pytest.raises((UpstreamError, UpstreamTimeout)):
        fetch(url, timeout=0.5)
    assert time.monotonic() - started < 1.5


def test_a_proxy_of_the_environment_is_used(server: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/keys.json"))
    assert fetch("http://login.invalid/keys.json", timeout=3).body == server.document()
