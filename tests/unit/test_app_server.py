"""Posting a letter to an app server, and what its answers mean."""

from __future__ import annotations

import email.utils
import logging
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote

import msgspec
import pytest

from sora.config import Config
from sora.engine.app_server import AppServer, Outcome
from sora.errors import ConfigError
from sora.store.outbox import Letter
from tests.support.app_server import AppServer as Receiver

CONTENT = {"body": "비가 왔다.", "type": "FEELING", "reviewDate": "2026-01-20", "feedback": "그랬군요. 🌧"}
LETTER = Letter(msgspec.Raw(msgspec.json.encode(CONTENT)), "보라", "ROLE_USER")


def config(url: str, **settings: object) -> Config:
    return Config(app_server_url=url, app_server_timeout=0.5, **settings)  # type: ignore[arg-type]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def deliver(receiver: Receiver) -> Outcome:
    return AppServer(config(receiver.url), mint=lambda *who: "token").deliver("key", "owner", LETTER)


def test_it_posts_what_the_contract_says_in_the_user_s_name(receiver: Receiver) -> None:
    app_server = AppServer(config(receiver.url), mint=lambda *who: quote("/".join(who)))

    assert app_server.deliver("the-key", "owner", LETTER) == Outcome("delivered", "201")
    assert app_server.deliver("the-key", "owner", LETTER) == Outcome("delivered", "200")

    post = receiver.posts[0]
    assert (post.key, post.content) == ("the-key", CONTENT)
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["Authorization"] == "Bearer owner/%EB%B3%B4%EB%9D%BC/ROLE_USER"
    assert "X-Sora-Owner" not in post.headers


def test_without_a_secret_it_comes_with_our_token_and_says_whose_it_is(receiver: Receiver) -> None:
    app_server = AppServer(config(receiver.url, app_server_token="ours"), mint=None)

    assert app_server.deliver("the-key", "보라/1", LETTER).what == "delivered"

    assert receiver.posts[0].headers["Authorization"] == "Bearer ours"
    assert receiver.posts[0].headers["X-Sora-Owner"] == "%EB%B3%B4%EB%9D%BC%2F1"


@pytest.mark.parametrize("status", [302, 408, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_go_better_later_is_tried_again(receiver: Receiver, status: int) -> None:
    receiver.decide = lambda post: status
    assert deliver(receiver) == Outcome("retry", str(status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422, 451])
def test_what_is_refused_for_good_is_dead(receiver: Receiver, status: int) -> None:
    receiver.decide = lambda post: status
    assert deliver(receiver) == Outcome("dead", str(status))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0", 0.0), ("999999999", 300.0), ("-3", 0.0), ("soon", 0.0), ("1e9", 0.0), ("", 0.0)],
)
def test_retry_after_is_bounded(receiver: Receiver, text: str, seconds: float) -> None:
    receiver.decide = lambda post: 503
    receiver.headers = {"Retry-After": text}
    assert deliver(receiver).retry_after == seconds


def test_retry_after_may_be_a_date(receiver: Receiver) -> None:
    receiver.decide = lambda post: 429
    receiver.headers = {"Retry-After": email.utils.formatdate(time.time() + 60, usegmt=True)}
    assert 50 < deliver(receiver).retry_after <= 60
    receiver.headers = {"Retry-After": email.utils.formatdate(time.time() - 60, usegmt=True)}
    assert deliver(receiver).retry_after == 0
    receiver.headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:00"}  # without a zone it is no moment
    assert deliver(receiver).retry_after == 0


def test_an_answer_that_is_lost_is_tried_again(receiver: Receiver) -> None:
    receiver.decide = lambda post: "lose"
    assert deliver(receiver) == Outcome("retry", "RemoteProtocolError")


def test_an_answer_that_does_not_come_is_tried_again(receiver: Receiver) -> None:
    receiver.decide = lambda post: "hold"
    started = time.monotonic()
    assert deliver(receiver) == Outcome("retry", "ReadTimeout")
    assert 0.4 < time.monotonic() - started < 3


def test_nobody_there_is_tried_again(receiver: Receiver) -> None:
    receiver.stop()
    assert deliver(receiver) == Outcome("retry", "ConnectError")


def test_an_answer_without_an_end_has_said_its_status(receiver: Receiver) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    app_server = AppServer(config(f"http://127.0.0.1:{listener.getsockname()[1]}/x"), mint=lambda *who: "t")

    def answer() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            try:
                sock.sendall(b"HTTP/1.1 201 Created\r\n\r\n")
                while True:
                    sock.sendall(b"x" * 10_000)
            except OSError:
                pass

    thread = threading.Thread(target=answer)
    thread.start()
    assert app_server.deliver("key", "owner", LETTER) == Outcome("delivered", "201")
    thread.join(5)
    listener.close()


def test_nothing_of_it_is_logged(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.decide = lambda post: 400
    deliver(receiver)
    AppServer(config(receiver.url, app_server_token="hush-hush"), mint=None).deliver("key", "보라", LETTER)
    receiver.stop()
    deliver(receiver)
    for word in ("비가", "그랬군요", "token", "hush-hush"):
        assert word not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.internal/api",
        "ftp://app/x",
        "http://",
        "http:///x",
        "http://u:pass-word@app/x",
        "http://app:port/x",
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^SORA_APP_SERVER_URL must") as refusal:
        AppServer(config(url), mint=None)
    assert "pass-word" not in str(refusal.value)


def test_a_token_that_no_header_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^SORA_APP_SERVER_TOKEN must") as refusal:
        AppServer(config("http://app/x", app_server_token="비밀 hush"), mint=None)
    assert "hush" not in str(refusal.value)
