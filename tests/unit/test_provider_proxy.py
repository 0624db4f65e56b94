"""With a proxy in the environment the model is reached through it, by the client's own transport."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from sora.config import Config
from sora.engine.generation import Call, CallCancelled, Finished, Generate, Message
from sora.errors import UpstreamTimeout
from sora.providers.chat_completions import ChatCompletions
from tests.support.simulator import Simulator


class Proxy(socketserver.StreamRequestHandler):
    """A forward proxy for one request with an http:// URL, as plain as they come."""

    server: Server

    def handle(self) -> None:
        method, url, version = self.rfile.readline().decode().split()
        head = [f"{method} {urlsplit(url).path} {version}\r\n".encode()]
        while (line := self.rfile.readline()) != b"\r\n":
            if not line.lower().startswith(b"connection:"):
                head.append(line)
        head.append(b"Connection: close\r\n")
        self.server.asked()
        (length,) = (int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length"))
        host, port = urlsplit(url).hostname, urlsplit(url).port
        with socket.create_connection((host, port)) as upstream:
            upstream.sendall(b"".join(head) + b"\r\n" + self.rfile.read(length))
            while True:
                ready, _, _ = select.select([self.connection, upstream], [], [])
                block = upstream.recv(65536) if upstream in ready else b""
                if self.connection in ready or not block:
                    return
                self.wfile.write(block)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = False  # closing the server waits for them
    asked: Callable[[], None] = staticmethod(lambda: None)  # called at each request, before it goes on


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        yield server
        server.shutdown()
        thread.join()


def ask(simulator: Simulator, model: str, call: Call) -> list[object]:
    provider = ChatCompletions(Config(openai_base_url=simulator.url, openai_api_key="k", gap_timeout=0.4))
    request = Generate(
        messages=(Message("user", "hello"),), models=(model,), max_tokens=50, temperature=0.0, top_p=1.0
    )
    return [piece for batch in provider.stream(request, call) for piece in batch]


def a_call(**bounds: float) -> Call:
    return Call(**{"connect": 5.0, "first_token": 5.0, "gap": 5.0, "total": 10.0, **bounds})


def test_an_answer_comes_through_the_proxy(simulator: Simulator, proxy: Server) -> None:
    pieces = ask(simulator, "sim-n20-d0", a_call())
    assert isinstance(pieces[-1], Finished)
    assert len([piece for piece in pieces if isinstance(piece, str)]) == 20
    (request,) = simulator.requests()
    assert request["finished"]


def test_deadlines_and_cancelling_reach_through_it(simulator: Simulator, proxy: Server) -> None:
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        ask(simulator, "sim-stall3", a_call(gap=0.4))
    assert time.monotonic() - started < 3

    call = a_call()
    timer = threading.Timer(0.3, call.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(CallCancelled):
        ask(simulator, "sim-stall3", call)
    timer.join()
    assert time.monotonic() - started < 2


def test_cancelled_before_the_headers_it_leaves_no_connection_open(
    simulator: Simulator, proxy: Server
) -> None:
    call = a_call()
    proxy.asked = call.cancel
    with pytest.raises(CallCancelled):
        ask(simulator, "sim-stall3", call)
    # A socket left open is a ResourceWarning, and thereby a failure.
