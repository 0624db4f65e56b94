"""Embeddings over HTTP: from the simulator, and from servers that do worse."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sora.config import Config
from sora.errors import RunError, UpstreamError, UpstreamRateLimited, UpstreamTimeout
from sora.providers.embeddings import BATCH, Embeddings
from sora.simulator.embeddings import embed
from tests.support.simulator import Simulator


def made(url: str, model: str = "sim", *, retries: int = 0) -> Embeddings:
    return Embeddings(
        Config(openai_base_url=url, openai_api_key="k", embedding_model=model, provider_retries=retries)
    )


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """A server that gives these bodies, one per connection; its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads: list[threading.Thread] = []

        def start(*bodies: bytes) -> str:
            def work() -> None:
                for body in bodies:
                    connection, _ = listener.accept()
                    with connection, connection.makefile("rb") as asked:
                        length = 0
                        while (line := asked.readline().strip().lower()) != b"":
                            if line.startswith(b"content-length:"):
                                length = int(line.split(b":")[1])
                        asked.read(length)
                        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                        connection.sendall(head.encode() + body)

            threads.append(threading.Thread(target=work))
            threads[-1].start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

        yield start
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()


def said(*vectors: object, first: int = 0) -> bytes:
    data = [{"index": first + index, "embedding": vector} for index, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data}).encode()


def test_there_are_none_without_a_model() -> None:
    assert not made("http://127.0.0.1:9/v1", "")
    assert made("http://127.0.0.1:9/v1")


def test_vectors_come_in_the_order_of_the_texts(simulator: Simulator) -> None:
    texts = ["비가 온다", "The tram is late", "", "lone \ud83d"]
    vectors = made(simulator.url).embed(texts, timeout=5)
    assert vectors[0] == pytest.approx(embed("비가 온다"), abs=1e-6)
    assert vectors[1] == pytest.approx(embed("The tram is late"), abs=1e-6)
    assert [len(vector) for vector in vectors] == [256] * 4
    assert made(simulator.url).embed([], timeout=5) == []


def test_many_texts_go_in_batches_over_one_connection(simulator: Simulator) -> None:
    texts = [f"text {number}" for number in range(2 * BATCH + 1)]
    vectors = made(simulator.url).embed(texts, timeout=20)
    assert vectors[BATCH] == pytest.approx(embed(texts[BATCH]), abs=1e-6)
    assert len(vectors) == len(texts)
    asked = simulator.requests()
    assert [len(each["parameters"]["input"]) for each in asked] == [BATCH, BATCH, 1]
    assert len({each["connection"] for each in asked}) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "tries"),
    [
        ("500", UpstreamError, 3),
        ("429", UpstreamRateLimited, 3),
        ("refuse", UpstreamError, 3),
        ("404", UpstreamError, 1),
        ("401", UpstreamError, 1),
    ],
)
def test_faults_are_typed(simulator: Simulator, fault: str, kind: type[RunError], tries: int) -> None:
    with pytest.raises(kind) as caught:
        made(simulator.url, f"sim-{fault}", retries=2).embed(["a"], timeout=5)
    assert type(caught.value) is kind
    assert caught.value.__context__ is None
    assert len(simulator.requests()) == tries


def test_a_passing_fault_passes(simulator: Simulator) -> None:
    assert made(simulator.url, "sim-fail1x503", retries=1).embed(["a"], timeout=5)
    assert len(simulator.requests()) == 2


def test_the_timeout_is_kept(simulator: Simulator) -> None:
    begun = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        made(simulator.url, "sim-headers9000-500").embed(["a"], timeout=0.3)
    with pytest.raises(UpstreamRateLimited):
        made(simulator.url, "sim-429r5", retries=2).embed(["a"], timeout=2)
    assert time.monotonic() - begun < 1.5


def test_numbers_are_taken_too(serve: Callable[..., str]) -> None:
    url = serve(said([0.5, 1], [2, -1.5]))
    assert made(url).embed(["a", "b"], timeout=5) == [[0.5, 1.0], [2.0, -1.5]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        said([1.0]),
        said([1.0], [1.0], [1.0]),
        said([1.0], [1.0], first=1),
        said([1.0], [1.0, 2.0]),
        said([1.0], ["x"]),
        said("AAAA", "AAAA"),
        said("AAAA=", "????"),
        b'{"error": {"message": "no"}}',
    ],
)
def test_what_was_not_asked_for_is_an_error(serve: Callable[..., str], body: bytes) -> None:
    with pytest.raises(UpstreamError):
        made(serve(body)).embed(["a", "b"], timeout=5)
