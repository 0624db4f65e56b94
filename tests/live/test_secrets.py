"""What people write, what they are answered and what opens doors is in no file in the clear: while Sora works, fails, is refused
and killed, and after."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
import sqlalchemy as sa

from tests.support import process
from tests.support.client import JWT_SECRET, make_token
from tests.support.leaks import files, leaks
from tests.support.nginx import Nginx, binary, nginx
from tests.support.postgres import Postgres, binaries, postgres
from tests.support.server import ENCRYPTION_KEYS, Server
from tests.support.simulator import Simulator
from tests.support.user import User, is_delta, text_of
from tests.support.waiting import wait_until

NAME = "비밀의화원지기"
API_KEY = "sk-a-key-that-nobody-may-see-0123456789"
SAID = ["라일락 향기가 났다", "아무에게도 말하지 않은 일", "lilac-diary-42", "한밤중의 바람 소리"]
DIARY = {
    "body": f"{SAID[0]}. {SAID[1]}을 적는다: {SAID[2]}\n{SAID[3]}.",
    "type": "F",
    "reviewDate": "2026-01-20",
}
LONG = {
    **DIARY,
    "body": DIARY["body"] + f"\n{SAID[3]}." * 1200,
}  # more than a page of a database, or a buffer of nginx
ENV = {
    "SORA_OPENAI_API_KEY": API_KEY, "SORA_MODEL": "sim-n120-d20", "SORA_LEASE": "2", "SORA_PROVIDER_RETRIES": "0",
    "SORA_GRACEFUL_TIMEOUT": "5", "GUNICORN_CMD_ARGS": "--log-level debug",
}  # fmt: skip


class Place(NamedTuple):
    """A database, and the files it is kept in."""

    url: str
    folder: Path
    postgres: Postgres | None


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(f"sqlite:///{tmp_path / 'sora.sqlite3'}", tmp_path, None)
    elif binaries() is None:
        pytest.skip("PostgreSQL is not installed · apt-get install postgresql")
    else:
        with postgres() as server:  # of its own: the session's holds what other tests wrote
            yield Place(server.create_database(), server.directory, server)


@pytest.mark.timeout(180)
def test_no_file_tells(place: Place, simulator: Simulator) -> None:
    if binary() is None:
        pytest.skip("nginx is not installed · apt-get install nginx-light")
    with (
        Server(place.url, simulator.url, env=ENV) as server,
        nginx(server.port) as proxy,
        telltale() as telltale_url,
    ):
        user = User(proxy.url, NAME)
        user.token = make_token(NAME, username=NAME)
        cookie = make_token(NAME, username=NAME, note="the cookie's own")
        ticket = user.request("/api/tickets", payload={"kind": "review", "input": DIARY}).json()["ticket"]
        answers: list[str] = []
        secret = {
            "diary": SAID,
            "name": [NAME],
            "answer": answers,
            "token": [user.token.rpartition(".")[2], user.token.split(".")[1], cookie.rpartition(".")[2]],
            "ticket": [ticket],
            "key": [API_KEY, JWT_SECRET, ENCRYPTION_KEYS.partition(":")[2]],
        }

        def check(when: str) -> None:
            places = [place.folder, server.instance.parent, *logs_of(proxy)]
            assert leaks(secret, places) == [], when

        with user.open("/stream/review?format=native", payload=LONG) as stream, half_sent(proxy, user):
            stream.until(lambda frame: frame.event == "delta" and frame.json()["index"] == 60)
            answers += phrases(text_of([frame for frame in stream.frames if is_delta(frame)]))
            assert answers
            check("while an answer is written")
            live = stream.rest()
            assert stream.ended == "clean" and live[-1].event == "done"
        answers += phrases(text_of([frame for frame in stream.frames if is_delta(frame)]))

        for url in (server.url, proxy.url):
            for data in bad_requests(user.token, cookie, ticket):
                status = exchange(url, data)
                assert status is None or status < 500 or status == 505, data
        use_everything(user, cookie, ticket)
        with Server(place.url, telltale_url, env={**ENV, "SORA_FALLBACK_MODELS": "another"}) as failing:
            run = user.request("/api/runs", at=failing.url, payload={"kind": "review", "input": DIARY}).json()
            assert user.ended(run["id"])["status"] == "failed"
            assert "failed" in failing.log_text(), "it does log what the model API did"
            assert leaks(secret, [failing.instance.parent]) == []

        with user.open("/stream/review?ids=1", payload=LONG) as stream:
            stream.take(30)
            killed = server.kill_worker()
            stream.rest()
            assert stream.ended == "cut"
        wait_until(lambda: killed not in server.worker_pids() and works(user), what="the next worker")
        assert user.ended(stream.headers["X-Sora-Run-Id"])["status"] == "interrupted"
        check("after a worker was killed")

        if place.postgres is not None:
            spool(place.postgres, server, user)
            check("with endings in the spool")
            assert list((server.instance / "spool").iterdir())
            server.start()
            wait_until(lambda: not list((server.instance / "spool").iterdir()), what="the spool's end")

        break_table(place.url)
        for path, how in (("/api/reviews", {}), ("/api/reviews", {"payload": {**LONG, "feedback": SAID[1]}})):
            assert user.request(path, **how).status >= 500
        with user.open("/stream/review?format=native", payload=DIARY) as stream:
            # SQLite says of a lost column what it says of a lost file: one is waited for, the other is an error.
            stream.until(lambda frame: frame.event in ("error", "progress"))
        check("after what must not happen")
        server.stop()
        check("when it has ended")
        assert "Traceback" not in server.log_text()


def phrases(answer: str) -> list[str]:
    """Parts of an answer: words as they stand in it, and pieces across them."""
    words = [word for word in re.findall(r"[가-힣]+", answer) if len(word) >= 5]
    return list(
        dict.fromkeys([*words[:6], *(answer[at : at + 12] for at in range(20, len(answer) - 12, 60))])
    )


def logs_of(proxy: Nginx) -> list[Path]:
    """All that nginx writes: its logs, and the bodies that it does not keep in memory."""
    return [path for path in files(proxy.directory) if path.suffix != ".conf"]


@contextmanager
def half_sent(proxy: Nginx, user: User) -> Iterator[None]:
    """A long diary that is still on its way through nginx."""
    body = json.dumps(LONG, ensure_ascii=False).encode()
    address = urlsplit(proxy.url)
    head = (
        f"POST /stream/review HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {user.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as client:
        client.sendall(head.encode() + body[:-100])
        assert (
            user.request("/healthz").status == 200
        )  # its one worker has turned to us: it has read the other, too
        for worker in process.children(int((proxy.directory / "nginx.pid").read_text())):
            opened = list(_opened(worker))
            assert opened and not [name for name in opened if "client_body" in name], (
                "a diary stays in memory"
            )
        yield


def _opened(process_id: int) -> Iterator[str]:
    """What a process has open; what it closes meanwhile is left out."""
    for path in Path(f"/proc/{process_id}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(path)


def bad_requests(token: str, cookie: str, ticket: str) -> Iterator[bytes]:
    """Requests to be refused, with what is not to be seen in every place of a request."""
    diary, good = quote(SAID[0]), f"Authorization: Bearer {token}"
    whole = json.dumps(DIARY, ensure_ascii=False).encode()
    json_type = "Content-Type: application/json"

    def of(line: str, *headers: str, body: bytes = b"") -> bytes:
        length = [f"Content-Length: {len(body)}"] if body else []
        head = [f"{line} HTTP/1.1", "Host: sora.test", "Connection: close", *length, *headers]
        return "\r\n".join([*head, "", ""]).encode() + body

    yield of("POST /stream/review", good, json_type, body=whole[:-5])
    yield of("POST /stream/review", good, json_type, body=json.dumps({**DIARY, "type": SAID[1]}).encode())
    yield of(
        "POST /stream/review", good, json_type, body=json.dumps({**DIARY, "reviewDate": SAID[1]}).encode()
    )
    yield of("POST /stream/review", good, json_type, body=whole.replace(b'"F"', b'"F", "type": "F"'))
    yield of("POST /stream/review", good, json_type, body=whole.decode().encode("utf-16"))
    yield of("POST /stream/review", good, "Content-Type: text/plain", body=whole)
    yield of("POST /stream/review", json_type, body=whole)
    yield of("POST /stream/review", f"Authorization: Bearer {token}x", json_type, body=whole)
    yield of(
        "POST /stream/review",
        f"Cookie: sora_session={cookie}",
        "Origin: http://evil.test",
        json_type,
        body=whole,
    )
    yield of("POST /stream/review", f"Cookie: sora_session={cookie}x", json_type, body=whole)
    yield of("POST /stream/review", good, json_type, "Transfer-Encoding: chunked", body=whole)
    yield of("POST /stream/review", good, json_type, "Transfer-Encoding: chunked") + b"zz\r\n" + whole
    yield of(f"POST /stream/review?body={diary}&token={token}", good, json_type, body=whole[:-5])
    yield of(f"GET /stream/review?body={diary}&token={token}&ticket={ticket}", good)
    yield of(f"GET /nothing?q={diary}", f"Referer: http://sora.test/?q={diary}", f"User-Agent: {SAID[2]}")
    yield of("GET /api/runs/abc/events", good, f"Last-Event-ID: {diary}")
    yield of("GET /api/runs", f"Idempotency-Key: {SAID[2]}", f"Authorization: {token}")
    yield of("GET /api/runs", f"{diary} {token}")  # a header without a colon
    yield of("GET /api/runs", f"X Y: {token}", good)
    yield of("GET /api/runs", f"{good}\0")
    yield of("GET /api/runs", f"X-Long: {SAID[2]}{'x' * 70_000}", good)
    yield of(f"GET /api/runs?q={SAID[0]}", good)  # not encoded
    yield f"{SAID[0]} {token}\r\n\r\n".encode()
    yield b'{"body": "' + whole
    yield of(f"get /api/runs?token={token}")
    yield of(f"GET /api/runs?token={token}").replace(b"HTTP/1.1", b"HTTP/7.7")
    yield of(f"GET /api/runs?q={'x' * 1_100_000}{diary}")
    for path in (
        f"/api/tickets/{ticket}", f"/api/tickets//{ticket}/events", f"//api/tickets/{ticket}/nothing",
        f"/api/tickets/./{ticket}/", f"/%61pi/tickets/{ticket}/events?format=nothing", f"http://sora.test/api/tickets/{ticket}/events?ids=7",
        f"/api/tickets/{ticket}x/events", f"/api/tickets/%2F{ticket}/events",
    ):  # fmt: skip
        yield of(f"GET {path}")
    yield of(f"POST /api/tickets/{ticket}/events", body=b"{}")


def exchange(url: str, data: bytes) -> int | None:
    """Sends what may not be HTTP; the status of the answer, None without one."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as client:
        answer = b""
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while got := client.recv(65536):
                answer += got
        except ConnectionError:
            pass
    match = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(match[1]) if match else None


def use_everything(user: User, cookie: str, ticket: str) -> None:
    """One request of each kind that is answered."""
    run_id = user.start()
    with user.open(f"/api/tickets/{ticket}/events") as stream:
        assert stream.rest()[-1].event == "done"
    signed_in = user.request("/api/session", method="POST", token=cookie)
    assert signed_in.headers["Set-Cookie"].startswith(f"sora_session={cookie}")
    by_cookie = {"Cookie": f"sora_session={cookie}"}
    assert user.request("/api/reviews", token=None, headers=by_cookie).status == 200
    kept = user.request(
        "/api/reviews", payload={**DIARY, "feedback": SAID[1]}, headers={"Idempotency-Key": "k"}
    )
    assert kept.status == 201
    assert user.ended(run_id)["status"] == "completed"
    retried = user.request(f"/api/runs/{run_id}/retry", body=b"").json()["id"]
    assert user.request(f"/api/runs/{retried}/cancel", body=b"").status == 200
    user.ended(retried)
    asked = user.request(
        "/api/ask?ids=1", timeout=30.0, **a_form(question=SAID[1], systemPrompt=SAID[3], sessionId="s")
    )
    assert asked.status == 200 and SAID[1] in user.request("/api/conversations/s").text
    again = user.request(f"/api/runs/{asked.headers['X-Sora-Run-Id']}/retry", body=b"").json()["id"]
    assert user.ended(again)["status"] == "completed"
    chat = {"message": DIARY["body"], "conversation_id": "c"}
    for _ in range(2):  # the second one is told of the first
        talk = user.request("/api/runs", payload={"kind": "chat", "input": chat}).json()["id"]
        assert user.ended(talk)["status"] == "completed"
    assert len(user.request("/api/conversations/c/messages").json()["items"]) == 4
    assert SAID[0] in user.request("/api/conversations/c").json()["title"]
    for path in (f"/api/runs/{retried}", f"/api/reviews/{kept.json()['id']}"):
        assert user.request(path, method="DELETE").status == 204


def a_form(**fields: str) -> dict[str, Any]:
    """A form with a file whose name and content are nobody's business."""
    parts = [(f'name="{name}"', value) for name, value in fields.items()]
    parts.append((f'name="files"; filename="{SAID[2]}.txt"', LONG["body"]))
    body = "".join(
        f"--x\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n" for head, value in parts
    )
    return {
        "body": f"{body}--x--\r\n".encode(),
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    }


def spool(database: Postgres, server: Server, user: User) -> None:
    """The server has to go while its database is away, in the midst of answers."""
    with ExitStack() as stack:
        for diary in (DIARY, LONG):
            stack.enter_context(user.open("/stream/review", payload=diary)).take(30)
        database.stop("immediate")
        try:
            server.stop()
        finally:
            database.start()


def break_table(url: str) -> None:
    """From now on no review can be saved or read."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE reviews RENAME COLUMN feedback TO gone"))


def works(user: User) -> bool:
    try:
        return user.request("/readyz").status == 200
    except OSError:
        return False


@contextmanager
def telltale() -> Iterator[str]:
    """A model API that repeats in every error what it was asked, with the key: its URL."""

    class Telltale(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            words = json.dumps(
                {"error": {"message": f"{self.headers['Authorization']} {body}", "code": body}}
            )
            if json.loads(body)["model"] == "another":
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                answer = f"data: {words}\n\ndata: {words[:-9]}\n\n"
            else:
                self.send_response(500)
                self.send_header("Content-Type", "application/json")
                answer = words
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Telltale)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
