"""The provider's sockets against a peer that does what a well-behaved one never does, in clear and with TLS."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sora.config import Config
from sora.engine.generation import Call, CallCancelled, Finished, Generate, Message, Piece
from sora.errors import ContentFilter, UpstreamError, UpstreamTimeout
from sora.providers.chat_completions import ChatCompletions
from tests.support.waiting import in_time, let_pass, wait_until

LATE = 0.2
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
REQUEST = Generate(
    messages=(Message("user", "하이 \ud83d"),),
    models=("m",),
    max_tokens=9,
    temperature=0.0,
    top_p=1.0,
    locale="en",
)

Script = Callable[[socket.socket, threading.Event], None]


def data(text: str = "", *, finish: str | None = None) -> bytes:
    said = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


WHOLE = data("a") + data("b", finish="stop") + b"data: [DONE]\n\n"


def sized(body: bytes, *, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Peer:
    """A server that plays one script per request. `connections` counts those accepted."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.gone = threading.Event()
        self._scripts = list(scripts)
        self._tls = tls
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}/v1"

    def close(self) -> None:
        self._over.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._over.is_set():
                sock.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            sock.settimeout(0.05)
            while self._request(sock):
                self._scripts.pop(0)(sock, self._over)
        except OSError:
            pass
        finally:
            self.gone.set()
            sock.close()

    def _request(self, sock: socket.socket) -> bool:
        said = b""
        while not self._over.is_set() and self._scripts:
            try:
                if not (more := sock.recv(65_536)):
                    return False
            except TimeoutError:
                continue
            said += more
            head, _, body = said.partition(b"\r\n\r\n")
            sizes = [
                int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
            ]
            if sizes and len(body) >= sizes[0]:
                return True
        return False


def says(*parts: bytes, pause: float = 0.0) -> Script:
    """Sends these parts, with a pause after each."""

    def script(sock: socket.socket, over: threading.Event) -> None:
        for part in parts:
            sock.sendall(part)
            over.wait(pause)

    return script


def closes(*parts: bytes) -> Script:
    """Sends these parts and closes."""

    def script(sock: socket.socket, over: threading.Event) -> None:
        says(*parts)(sock, over)
        sock.shutdown(socket.SHUT_RDWR)

    return script


def trickles(*parts: bytes, drop: bytes) -> Script:
    """Sends these parts, then the same drop every 20 ms until the client has left."""

    def script(sock: socket.socket, over: threading.Event) -> None:
        says(*parts)(sock, over)
        while not over.wait(0.02):
            sock.sendall(drop)

    return script


@pytest.fixture
def start() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def new(*scripts: Script, tls: ssl.SSLContext | None = None) -> Peer:
        peers.append(Peer(*scripts, tls=tls))
        return peers[-1]

    yield new
    for peer in peers:
        peer.close()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's side of TLS for 127.0.0.1, trusted by clients made from now on."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    return context


def client(url: str, *, coalesce: float = 0.0) -> ChatCompletions:
    return ChatCompletions(Config(openai_base_url=url, provider_retries=0, coalesce=coalesce))


def call(**deadlines: float) -> Call:
    return Call(**{"connect": 5.0, "first_token": 5.0, "gap": 5.0, "total": 9.0, **deadlines})


def ask(provider: ChatCompletions, of: Call | None = None) -> list[list[Piece]]:
    return [list(batch) for batch in provider.stream(REQUEST, of or call())]


def refused(provider: ChatCompletions, of: Call) -> float:
    """How long a call took to end at a deadline."""
    begun = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        ask(provider, of)
    return time.monotonic() - begun


def text(batches: list[list[Piece]]) -> str:
    return "".join(piece for batch in batches for piece in batch if isinstance(piece, str))


def test_what_came_in_one_read_is_one_batch(start: Callable[..., Peer]) -> None:
    body = b"".join(data(str(index)) for index in range(10)) + WHOLE
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(line) + 1, line + b"\n") for line in body.split(b"\n")[:-1])
    peer = start(says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"))
    assert ask(client(peer.url)) == [[*"0123456789", "a", "b"], [Finished("stop", "m")]]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_any_cut_of_the_bytes_gives_the_same_answer(start: Callable[..., Peer], size: int) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in WHOLE.splitlines(keepends=True))
    answer = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    parts = [answer[index : index + size] for index in range(0, len(answer), size)]
    peer = start(says(*parts, pause=0.0002), says(sized(WHOLE)))
    provider = client(peer.url)
    assert text(ask(provider)) == text(ask(provider)) == "ab"
    assert peer.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + sized(WHOLE),
        sized(WHOLE.removesuffix(b"\n\n")),
        sized(WHOLE.replace(b"data: [DONE]\n\n", b"")),
    ],
)
def test_odd_but_whole(start: Callable[..., Peer], answer: bytes) -> None:
    peer = start(says(answer), says(answer))
    provider = client(peer.url)
    assert text(ask(provider)) == text(ask(provider)) == "ab"
    assert peer.connections == 1


@pytest.mark.parametrize(
    "script",
    [
        closes(b"HTTP/1.0 200 OK\r\n\r\n" + WHOLE),
        closes(HEAD + b"\r\n" + WHOLE),
        closes(HEAD + b"Content-Length: 9999\r\n\r\n" + WHOLE),
        says(sized(WHOLE) + b"HTTP/1.1 200 OK\r\n"),
        closes(sized(WHOLE)),
    ],
)
def test_whole_but_not_to_be_reused(start: Callable[..., Peer], script: Script) -> None:
    peer = start(script, says(sized(WHOLE)))
    provider = client(peer.url)
    assert text(ask(provider)) == "ab"
    assert peer.gone.wait(3)
    assert text(ask(provider)) == "ab"
    assert peer.connections == 2


@pytest.mark.parametrize(
    "script",
    [
        closes(),
        closes(HEAD),
        closes(HEAD + b"Content-Length: 9\r\n\r\n"),
        closes(HEAD + b"\r\n" + data("a")),
        closes(sized(data("a"))),
        closes(b"SSH-2.0-nobody\r\n"),
        closes(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30_000 + b"\r\n"),
        closes(sized(b"data: " + b"x" * 2_000_000)),
        closes(sized(b"{}", head=b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")),
        closes(sized(b"", head=b"HTTP/1.1 307 No\r\nLocation: http://127.0.0.1:1/\r\n")),
        closes(sized(b"e" * 200_000, head=b"HTTP/1.1 500 No\r\n")),
    ],
)
def test_not_an_answer(start: Callable[..., Peer], script: Script) -> None:
    with pytest.raises(UpstreamError):
        ask(client(start(script).url))


def test_a_filtered_prompt(start: Callable[..., Peer]) -> None:
    body = b'{"error": {"message": "filtered", "code": "content_filter"}}'
    head = b"HTTP/1.1 400 No\r\nContent-Type: application/json\r\n"
    with pytest.raises(ContentFilter):
        ask(client(start(says(sized(body, head=head))).url))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (trickles(b"HTTP/1.1 200 OK\r\n", drop=b"X: y\r\n"), 0.4),
        (trickles(HEAD + b"Content-Length: 99999\r\n\r\n", drop=b": x\n"), 0.4),
        (trickles(b"HTTP/1.1 500 No\r\nContent-Length: 99999\r\n\r\n", drop=b"x"), 0.4),
        (trickles(HEAD + b"Content-Length: 99999\r\n\r\n" + data("a"), drop=data()), 0.3),
        (trickles(HEAD + b"Content-Length: 99999\r\n\r\n" + data("a"), drop=b"data: "), 0.3),
    ],
)
def test_a_drip_does_not_move_a_deadline(start: Callable[..., Peer], script: Script, expected: float) -> None:
    def timed_out() -> float:
        peer = start(script)
        seconds = refused(client(peer.url), call(first_token=0.4, gap=0.3))
        assert seconds >= expected - 0.05
        assert peer.gone.wait(3)
        return seconds

    assert in_time(timed_out, within=expected + LATE)


def test_the_end_is_not_waited_for_long(start: Callable[..., Peer]) -> None:
    head = HEAD + b"Content-Length: 99999\r\n\r\n"

    def whole() -> float:
        peer = start(trickles(head + WHOLE, drop=b": x\n"))
        begun = time.monotonic()
        assert text(ask(client(peer.url))) == "ab"
        return time.monotonic() - begun

    assert in_time(whole, within=0.25 + LATE)


def test_the_usage_is_not_waited_for_long(start: Callable[..., Peer]) -> None:
    script = trickles(HEAD + b"Content-Length: 99999\r\n\r\n" + data("a", finish="stop"), drop=b": x\n")

    def finished() -> float:
        peer = start(script)
        begun = time.monotonic()
        assert ask(client(peer.url))[-1] == [Finished("stop", "m")]
        return time.monotonic() - begun

    assert in_time(finished, within=2 + LATE)


def test_tls_is_spoken_and_the_connection_reused(
    start: Callable[..., Peer], certificate: ssl.SSLContext
) -> None:
    peer = start(*[says(sized(WHOLE))] * 3, tls=certificate)
    provider = client(peer.url)
    assert [text(ask(provider)) for _ in range(3)] == ["ab"] * 3
    assert peer.connections == 1


def in_pieces(go: threading.Event) -> Script:
    """An answer whose second half, once asked for, is sent in three pieces."""

    def play(sock: socket.socket, over: threading.Event) -> None:
        sock.sendall(HEAD + b"Content-Length: 999\r\n\r\n" + data("a"))
        go.wait(5)
        for part in (data("b"), data("c"), data("d", finish="stop") + b"data: [DONE]\n\n"):
            sock.sendall(part)
            let_pass(0.02)
        over.wait(5)

    return play


@pytest.mark.parametrize("secure", [False, True])
def test_what_comes_within_the_window_leaves_together(
    start: Callable[..., Peer], certificate: ssl.SSLContext, secure: bool
) -> None:
    go, window = threading.Event(), 0.4
    peer = start(in_pieces(go), tls=certificate if secure else None)
    stream = client(peer.url, coalesce=window).stream(REQUEST, call())
    assert list(next(stream)) == ["a"], "the first one waits for nothing"
    begun = time.monotonic()
    go.set()
    assert list(next(stream)) == ["b", "c", "d"]
    assert time.monotonic() - begun >= window
    assert list(next(stream)) == [Finished("stop", "m")]


def test_a_window_does_not_move_a_deadline(start: Callable[..., Peer]) -> None:
    def timed_out() -> float:
        peer = start(says(HEAD + b"Content-Length: 999\r\n\r\n" + data("a"), pause=9))
        return refused(client(peer.url, coalesce=9.0), call(gap=0.2))

    assert in_time(timed_out, within=0.2 + LATE)


def test_cancel_within_the_window(start: Callable[..., Peer]) -> None:
    def cancelled() -> float:
        peer = start(says(HEAD + b"Content-Length: 999\r\n\r\n" + data("a"), pause=9))
        return stopped(client(peer.url, coalesce=9.0), lambda pieces: pieces)

    assert in_time(cancelled, within=LATE)


def test_a_certificate_must_be_trusted(
    start: Callable[..., Peer], certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UpstreamError):
        ask(client(start(says(sized(WHOLE)), tls=certificate).url))


def stopped(provider: ChatCompletions, when: Callable[[list[Piece]], object]) -> float:
    """Cancels a call once `when` is true: how long after the cancel it ended as one that was cancelled."""
    of, pieces, ends = call(), list[Piece](), list[BaseException]()

    def work() -> None:
        try:
            for batch in provider.stream(REQUEST, of):
                pieces.extend(batch)
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_until(lambda: when(pieces) or ends, what="the phase to cancel in")
    finally:
        begun = time.monotonic()
        of.cancel()
        thread.join(5)
    seconds = time.monotonic() - begun
    assert [type(end) for end in ends] == [CallCancelled]
    return seconds


def test_cancel_of_a_tls_stream(start: Callable[..., Peer], certificate: ssl.SSLContext) -> None:
    def cancelled() -> float:
        peer = start(says(HEAD + b"Content-Length: 999\r\n\r\n" + data("a"), pause=9), tls=certificate)
        return stopped(client(peer.url), lambda pieces: pieces)

    assert in_time(cancelled, within=LATE)


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """Accepts connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_cancel_of_a_tls_handshake(mute: socket.socket) -> None:
    def cancelled() -> float:
        begun = time.monotonic()
        provider = client(f"https://127.0.0.1:{mute.getsockname()[1]}/v1")
        return stopped(provider, lambda _: time.monotonic() - begun > 0.3)

    assert in_time(cancelled, within=LATE)


def test_a_tls_handshake_is_part_of_connecting(mute: socket.socket) -> None:
    def timed_out() -> float:
        provider = client(f"https://127.0.0.1:{mute.getsockname()[1]}/v1")
        seconds = refused(provider, call(connect=0.4))
        assert seconds >= 0.35
        return seconds

    assert in_time(timed_out, within=0.4 + LATE)


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A resolver that does not answer before the event is set."""
    answer, real = threading.Event(), socket.getaddrinfo

    def slow(host: str, port: int, **options: int) -> object:
        if options.get("flags"):
            return real(host, port, **options)
        answer.wait(10)
        return real("127.0.0.1", port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    yield answer
    answer.set()


def test_a_name_is_resolved(start: Callable[..., Peer], slow_names: threading.Event) -> None:
    slow_names.set()
    peer = start(says(sized(WHOLE)))
    assert text(ask(client(peer.url.replace("127.0.0.1", "name.invalid")))) == "ab"


def test_a_name_is_part_of_connecting(slow_names: threading.Event) -> None:
    def timed_out() -> float:
        seconds = refused(client("http://name.invalid/v1"), call(connect=0.3))
        assert seconds >= 0.25
        return seconds

    assert in_time(timed_out, within=0.3 + LATE)


def test_cancel_while_a_name_is_resolved(slow_names: threading.Event) -> None:
    def cancelled() -> float:
        begun = time.monotonic()
        return stopped(client("http://name.invalid/v1"), lambda _: time.monotonic() - begun > 0.2)

    assert in_time(cancelled, within=LATE)
