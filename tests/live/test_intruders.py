"""Requests that mean no good: forged log lines, forged senders, requests inside requests."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import process
from tests.support.client import request
from tests.support.nginx import binary, nginx
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import User
from tests.support.waiting import wait_until

INNER = b"GET /inner HTTP/1.1\r\nHost: sora.test\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: sora.test\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server(_simulator: Simulator, module_url: str) -> Iterator[Server]:
    with Server(module_url, _simulator.url) as server:
        yield server


def exchange(server: Server, data: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    address = urlsplit(server.url)
    answer = b""
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as client:
        client.sendall(data)
        while got := client.recv(65536):
            answer += got
    return answer


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("line", "authorized", "status"),
    [
        ("POST /stream/review", False, 401),
        ("POST /stream/review", True, 415),
        ("POST /nothing", False, 404),
        ("PUT /api/runs", False, 405),
    ],
)
def test_the_body_of_a_refused_request_is_no_request(
    server: Server, line: str, authorized: bool, status: int, chunked: bool
) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(INNER)}"
    token = f"Authorization: Bearer {User(server.url).token}\r\n" if authorized else ""
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER) if chunked else INNER
    head = f"{line} HTTP/1.1\r\nHost: sora.test\r\n{token}{framing}\r\n\r\n".encode()

    answers = exchange(server, head + body + LAST)

    assert answers.startswith(b"HTTP/1.1 %d " % status)
    assert answers.count(b"HTTP/1.1 ") == 2 and answers.count(b"HTTP/1.1 200 ") == 1
    assert "/inner" not in server.log_text()


def test_a_path_makes_no_line_of_its_own_in_the_log(server: Server) -> None:
    assert request(server.url, "/a%0D%0A10.0.0.1%20%22GET%20/forged%22%20200%1B[31m/%EC%86%8C").status == 404
    wait_until(lambda: "/forged" in server.log_text(), what="the line in the log")
    [line] = [line for line in server.log_text().splitlines() if "/forged" in line]
    assert line.startswith("127.0.0.1 ") and "/a%0D%0A10.0.0.1%20%22GET" in line and line.isprintable()
    assert "/%EC%86%8C" in line


def test_nobody_is_believed_about_the_client_unasked(server: Server) -> None:
    user = User(server.url)
    forged = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.test",
        "SCRIPT_NAME": "/a",
        "PATH_INFO": "/healthz",
    }
    answer = user.request("/api/session", method="POST", headers={**forged, "Origin": server.url})
    assert answer.status == 200 and "Secure" not in answer.headers["Set-Cookie"]
    assert user.request("/a/healthz", headers=forged).status == 404
    evil = {**forged, "Origin": "https://evil.test", "Cookie": "sora_session=x"}
    assert user.request("/api/session", method="DELETE", token=None, headers=evil).status == 403


def test_the_numbers_stay_inside(server: Server) -> None:
    if binary() is None:
        pytest.skip("nginx is not installed · apt-get install nginx-light")
    with nginx(server.port) as proxy:
        for path in ("/metrics", "/%6detrics", "//metrics", "/./metrics", "/metrics?a=1"):
            answer = request(proxy.url, path)
            assert answer.status == 404 and answer.json()["code"] == "not_found"
        assert request(proxy.url, "/metrics/").status == 404
    assert request(server.url, "/metrics").status == 200


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_guest_mode_for_everybody_is_warned_of(
    tmp_path: Path, simulator: Simulator, host: str, warned: bool
) -> None:
    log, port = tmp_path / "log", process.free_port()
    env = {
        **os.environ, "SORA_INSTANCE_PATH": str(tmp_path / "instance"), "HOST": host, "PORT": str(port), "WORKERS": "1",
        "SORA_OPENAI_BASE_URL": simulator.url,
    }  # fmt: skip
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "sora", "serve"]
    serve = process.start(command, log=log, env=env, death_signal=signal.SIGTERM)
    try:
        wait_until(
            lambda: serve.poll() is not None or "curl -N" in log.read_text(), timeout=60, what="the start"
        )
        said = log.read_text()
        assert ("Guest mode" in said and "게스트 모드" in said and f"0.0.0.0:{port}" in said) is warned, said
    finally:
        process.stop(serve, timeout=40)
