"""nginx with the project's configuration before a server that does exactly as told."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.client import Stream, request
from tests.support.nginx import Nginx
from tests.support.waiting import wait_until

StartNginx = Callable[..., AbstractContextManager[Nginx]]
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nX-Sora-Run-Id: r\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def chunk(text: str) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text.encode()), text.encode())


class Upstream:
    """Takes one connection after another; `connections` are those that sent a whole request head."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.port: int = self.listener.getsockname()[1]
        self.heads: list[str] = []

    def accept(self) -> socket.socket:
        """The next connection, its request read (bodies are small here)."""
        connection, _ = self.listener.accept()
        connection.settimeout(10)
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(65536)
            assert more
            head += more
        self.heads.append(head.decode())
        return connection


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    with server.listener:
        yield server


@contextmanager
def streaming(
    upstream: Upstream, proxy: Nginx, path: str = "/s", **how: Any
) -> Iterator[tuple[socket.socket, Stream]]:
    """An open stream: both of its ends."""
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(Stream, proxy.url, path, **how)
        with upstream.accept() as connection:
            connection.sendall(HEAD)
            with opening.result() as stream:
                yield connection, stream


def refused(upstream: Upstream, proxy: Nginx, path: str, **how: Any) -> int:
    """The status of a request whose connection is closed unanswered."""
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(request, proxy.url, path, **how)
        upstream.accept().close()
        return asking.result().status


def test_events_arrive_one_by_one(start_nginx: StartNginx, upstream: Upstream) -> None:
    with start_nginx(upstream.port) as proxy, streaming(upstream, proxy) as (connection, stream):
        for text in ("오늘", " 하루", "☁️"):
            connection.sendall(chunk(f"data: {text}\n\n"))
            assert stream.take(1)[0].data == text  # it is here before the next is sent
        connection.sendall(b"0\r\n\r\n")
        assert stream.rest() == []
        assert stream.ended == "clean"


def test_a_killed_worker_is_not_a_clean_end(start_nginx: StartNginx, upstream: Upstream) -> None:
    with start_nginx(upstream.port) as proxy, streaming(upstream, proxy) as (connection, stream):
        connection.sendall(chunk("data: a\n\n"))
        assert stream.take(1)
        connection.close()
        assert stream.rest() == []
        assert stream.ended == "cut"


def test_a_client_that_leaves_is_noticed_at_once(start_nginx: StartNginx, upstream: Upstream) -> None:
    with start_nginx(upstream.port) as proxy, streaming(upstream, proxy) as (connection, stream):
        connection.settimeout(1)
        stream.close()
        assert connection.recv(1) == b""


def test_what_the_upstream_is_told(start_nginx: StartNginx, upstream: Upstream) -> None:
    with start_nginx(upstream.port) as proxy, streaming(upstream, proxy, "/s?ids=1"):
        head = upstream.heads[0]
        assert head.startswith("GET /s?ids=1 HTTP/1.1\r\n")
        assert "\r\nConnection:" not in head
        assert f"\r\nHost: 127.0.0.1:{proxy.port}\r\n" in head
        assert "\r\nX-Forwarded-Proto: http\r\n" in head
        assert "\r\nX-Forwarded-For: 127.0.0.1\r\n" in head


def test_a_long_korean_history_passes(start_nginx: StartNginx, upstream: Upstream) -> None:
    history = [{"role": role, "content": "가" * 800} for role in ("user", "assistant") * 15]
    path = "/api/chat/stream?" + urlencode(
        {"message": "나", "history": json.dumps(history, ensure_ascii=False)}
    )
    assert len(path) > 216_000
    with start_nginx(upstream.port) as proxy, streaming(upstream, proxy, path):
        assert upstream.heads[0].startswith(f"GET {path} ")


def test_an_upload_passes_whole(start_nginx: StartNginx, upstream: Upstream) -> None:
    body = b"a" * 12_000_000
    with start_nginx(upstream.port) as proxy, ThreadPoolExecutor(1) as pool:
        asking = pool.submit(request, proxy.url, "/api/ask", body=body)
        with upstream.accept() as connection:
            received = len(upstream.heads[0].partition("\r\n\r\n")[2])
            while received < len(body):
                received += len(connection.recv(1_000_000))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert asking.result().body == b"ok"


def test_what_is_too_long_is_said_in_words(start_nginx: StartNginx, upstream: Upstream) -> None:
    with start_nginx(upstream.port) as proxy:
        answer = request(proxy.url, "/api/chat/stream?history=" + "a" * 300_000)
    assert answer.status == 414
    assert answer.headers["Content-Type"] == "application/json" and answer.json()["code"] == "too_large"


def test_a_request_is_sent_once(start_nginx: StartNginx, upstream: Upstream) -> None:
    with start_nginx(upstream.port, upstream.port) as proxy:
        assert refused(upstream, proxy, "/s") == 502
        upstream.listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            upstream.accept()


def test_logs_hold_no_query_no_referer_no_ticket(start_nginx: StartNginx, upstream: Upstream) -> None:
    paths = (
        "/chat?query=SECRET",
        "/api/chat/stream/SECRET",
        "/chat/stream/SECRET",
        "/api/tickets/SECRET/events",
    )
    with start_nginx(upstream.port) as proxy:
        for path in paths:
            referer = {"Referer": "http://a/?SECRET"}
            with streaming(upstream, proxy, path, headers=referer) as (connection, stream):
                connection.close()  # in mid-stream, which nginx would report in its error log
                stream.rest()
        assert refused(upstream, proxy, "/api/chat/stream/init?SECRET", body=b"") == 502
        wait_until(lambda: "/init HTTP/1.1 502" in proxy.log_text(), what="the last line")
        log = proxy.log_text()
    assert "SECRET" not in log
    for line in ("GET /chat ", "GET /api/chat/stream/*** ", "GET /chat/stream/*** ", "GET /api/tickets/***"):
        assert line in log
    assert "run=r" in log


def test_tls_offers_http2_and_sends_others_there(
    start_nginx: StartNginx, upstream: Upstream, tmp_path: Path
) -> None:
    with start_nginx(upstream.port, certificate=self_signed(tmp_path)) as proxy:
        answer = request(proxy.url, "/s?a=1")
        assert answer.status == 308
        assert answer.headers["Location"] == "https://127.0.0.1/s?a=1"
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        plain = socket.create_connection(("127.0.0.1", proxy.tls_port or 0), timeout=10)
        with context.wrap_socket(plain) as connection:
            assert connection.selected_alpn_protocol() == "h2"


def test_the_apps_files_come_from_the_disk(
    start_nginx: StartNginx, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index-a1.js").write_text("export {}")
    (tmp_path / "index.html").write_text("Sora's alone to tell")
    with start_nginx(upstream.port, dist=tmp_path) as proxy:
        file = request(proxy.url, "/app/assets/index-a1.js")
        assert (file.status, file.body) == (200, b"export {}") and upstream.heads == []
        assert file.headers["Content-Type"] == "text/javascript"
        assert file.headers["Cache-Control"] == "max-age=31536000"
        for path in ("/app/assets/index-old.js", "/app/", "/app/index.html"):
            assert refused(upstream, proxy, path) == 502
        told = [head.split(" HTTP")[0] for head in upstream.heads]
    assert told == ["GET /app/assets/index-old.js", "GET /app/", "GET /app/index.html"]
    assert all("X-Forwarded-Proto: http" in head for head in upstream.heads)


def self_signed(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    chain, private = directory / "sora.pem", directory / "sora.key"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, private
