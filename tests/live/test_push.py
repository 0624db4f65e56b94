"""Frames that go from a producer straight to a reader's socket: the same bytes, one writer at a time, and only where nobody
has wrapped the response."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.metrics import metrics
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.sse import Parser
from tests.support.user import DIARY, User, text_of
from tests.support.waiting import wait_until

PUSHED = "sora_pushed_pieces_total"


@pytest.fixture
def server(database_url: str, simulator: Simulator) -> Iterator[Server]:
    with Server(
        database_url, simulator.url, env={"SORA_MODEL": "sim-n100-d5", "SORA_HEARTBEAT": "0.02"}
    ) as server:
        yield server


def test_most_deltas_are_pushed_and_every_reader_gets_them_all(server: Server) -> None:
    user = User(server.url)
    run_id = user.start()
    streams = [
        user.open(f"/api/runs/{run_id}/events{query}") for query in ("", "?format=review", "?heartbeat=event")
    ]
    texts = []
    for stream in streams:
        with stream:
            texts.append(text_of([frame for frame in stream.rest() if frame.event != "ping"]))
            assert stream.ended == "clean"
    assert texts == [user.ended(run_id)["text"]] * 3
    assert metrics(server.url)[PUSHED] > 150


def test_a_reader_that_fills_its_socket_is_written_to_by_one_at_a_time(
    database_url: str, simulator: Simulator
) -> None:
    env = {"SORA_MODEL": "sim-million-d1", "SORA_HEARTBEAT": "0.01", "SORA_SEND_TIMEOUT": "20"}
    with Server(database_url, simulator.url, env=env) as server:
        user = User(server.url)
        run_id = user.start()
        path = f"/api/runs/{run_id}/events"
        with slow_client(server.url, path, user.token) as slow, user.open(path) as quick:
            quick_text = text_of([frame for frame in quick.rest() if frame.event != "ping"])
            # Only now, when the run has ended and its socket has long been full, the slow one reads.
            raw = b"".join(iter(lambda: slow.recv(65536), b""))
        head, _, body = raw.partition(b"\r\n\r\n")
        assert b"chunked" in head
        parser = Parser()
        frames = parser.feed(dechunked(body), 0.0)
        assert text_of(frames) == quick_text == user.ended(run_id)["text"]
        assert len(quick_text) == 1_000_000


def test_http_1_0_gets_no_chunks(server: Server) -> None:
    user = User(server.url)
    run_id = user.start()
    with slow_client(server.url, f"/api/runs/{run_id}/events", user.token, version="1.0") as client:
        raw = b"".join(iter(lambda: client.recv(65536), b""))
    body = raw.partition(b"\r\n\r\n")[2]
    assert body.startswith(b": open\n")
    assert text_of(Parser().feed(body, 0.0)) == user.ended(run_id)["text"]
    assert metrics(server.url)[PUSHED] > 50


def test_a_client_that_leaves_while_it_is_pushed_to_ends_its_reader_alone(server: Server) -> None:
    user = User(server.url)
    with user.open("/stream/review?ids=1", payload=DIARY) as leaving:
        run_id = leaving.headers["X-Sora-Run-Id"]
        leaving.take(20)
        with user.open(f"/api/runs/{run_id}/events") as staying:
            staying.take(5)
            leaving.reset()
            staying.rest()
            assert text_of(staying.frames) == user.ended(run_id)["text"]
    wait_until(lambda: metrics(server.url)["sora_active_readers"] == 0, what="no reader left")


def slow_client(url: str, path: str, token: str, *, version: str = "1.1") -> socket.socket:
    """A client with a small window that has sent its request and reads nothing yet."""
    address = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect((address.hostname, address.port))
    head = f"GET {path} HTTP/{version}\r\nHost: sora\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    client.sendall(head.encode())
    return client


def dechunked(body: bytes) -> bytes:
    """The body out of its chunks, which must be well formed to the very end."""
    parts = []
    while True:
        size, _, body = body.partition(b"\r\n")
        assert re.fullmatch(rb"[0-9A-Fa-f]+", size), size[:40]
        length = int(size, 16)
        assert body[length : length + 2] == b"\r\n"
        if not length:
            assert body == b"\r\n"
            return b"".join(parts)
        parts.append(body[:length])
        body = body[length + 2 :]
