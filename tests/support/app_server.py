"""An app server that reviews are posted to: it honours the Idempotency-Key, and fails as it is told."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import jwt

from tests.support import process

#: What to do with a post: a status to refuse it with, or store it and "answer", "lose" the answer (the connection is closed
#: without a word), or "hold" it back until `let_go`.
Action = int | Literal["answer", "lose", "hold"]


@dataclass(frozen=True, slots=True)
class Post:
    """One POST as it came. `number` counts those with its key, from 1; `claims` are those of its token, not verified."""

    key: str
    number: int
    headers: Mapping[str, str]
    content: dict[str, Any]

    @property
    def claims(self) -> dict[str, Any]:
        token = self.headers["Authorization"].removeprefix("Bearer ")
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return claims


class AppServer:
    """A context manager, which may be entered again and then remembers nothing. `stop` and `start` keep the port.

    `decide` says what happens to each post. With `upstream` (a URL) another server stores them and decides what is
    answered, else they are kept here.
    """

    def __init__(
        self, decide: Callable[[Post], Action] = lambda post: "answer", *, upstream: str = ""
    ) -> None:
        self.decide = decide
        self.posts: list[Post] = []
        self.stored: list[Post] = []  # one of each key, in the order they were stored
        self.headers: dict[str, str] = {}  # sent with every refusal
        self.open = 0  # posts under way
        self.busiest = 0  # the most of them at once
        self._upstream = upstream
        self._port = process.free_port()
        self._lock = threading.Lock()
        self._free = threading.Event()
        self._server: http.server.ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/reviews"

    def __enter__(self) -> Self:
        self.posts.clear()
        self.stored.clear()
        self._free.clear()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self.stop()

    def start(self) -> None:
        app_server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                app_server._take(self)

            def log_message(self, *_: object) -> None:
                pass

        class Listener(http.server.ThreadingHTTPServer):
            request_queue_size = 64
            daemon_threads = False  # waited for as it closes

        self._server = Listener(("127.0.0.1", self._port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """Away: connections are refused."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def let_go(self) -> None:
        """Answer what is held; from now on nothing is held any more."""
        self._free.set()

    def _take(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        key = handler.headers["Idempotency-Key"]
        with self._lock:
            number = 1 + sum(post.key == key for post in self.posts)
            post = Post(key, number, dict(handler.headers), json.loads(body))
            self.posts.append(post)
            self.open += 1
            self.busiest = max(self.busiest, self.open)
        try:
            action = self.decide(post)
            status = action if isinstance(action, int) else self._store(post, body)
            if action == "hold":
                self._free.wait(30)
        finally:
            with self._lock:
                self.open -= 1
        if action == "lose":
            return
        with contextlib.suppress(OSError):  # whoever asked may have given up
            handler.send_response(status)
            for name, value in self.headers.items() if isinstance(action, int) else ():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "2")
            handler.end_headers()
            handler.wfile.write(b"{}")

    def _store(self, post: Post, body: bytes) -> int:
        status = self._forward(post, body) if self._upstream else 201
        with self._lock:
            known = any(stored.key == post.key for stored in self.stored)
            if status in (200, 201) and not known:
                self.stored.append(post)
        return 200 if status == 201 and known else status

    def _forward(self, post: Post, body: bytes) -> int:
        address = urlsplit(self._upstream)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        try:
            connection.request("POST", address.path, body, dict(post.headers))
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()
