"""The relays: Sora as shipped, a raw proxy, and the two that everybody writes. Each on one core with one worker."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from bench.workspace import HERE, RELAY_CORE, MissingError, Workspace, nginx, nginx_configuration, pinned
from tests.support import process
from tests.support.waiting import wait_until

_PYTHON = HERE / ".venv" / "bin" / "python"
SORA, NGINX, TUTORIAL, FASTAPI = "Sora", "nginx", "Flask tutorial", "FastAPI"
BARE, READING = "bare Python", "reading Python"
Turn = dict[str, str]  # a message as the model APIs have it: role, content


@dataclass(frozen=True, slots=True)
class Running:
    """A relay under way: where it listens, its first process, its folder, and the bytes of a request for a script."""

    name: str
    port: int
    pid: int
    path: str
    field: str
    home: Path
    token: str = ""

    def request(self, script: str, history: Sequence[Turn] = ()) -> bytes:
        """What makes the model play `script`: a POST, or with a `history` Sora's GET that takes one."""
        content: dict[str, object] = {self.field: script}
        if self.name == SORA:
            if history:
                query = urlencode({"message": script, "history": json.dumps(history, ensure_ascii=False)})
                return self._head("GET", f"/api/chat/stream?{query}")
            content |= {"type": "FEELING", "reviewDate": "2026-01-20"}
        elif self.name in (NGINX, BARE, READING):
            content = {
                "model": "gpt-4o-mini",
                "messages": [*history, {"role": "user", "content": script}],
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        elif history:
            content["history"] = list(history)
        body = json.dumps(content).encode()
        return (
            self._head(
                "POST", self.path, f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            )
            + body
        )

    def agent(self, script: str) -> bytes:
        """What makes the model play `script` for an agent (Sora alone)."""
        body = json.dumps({"message": script, "user_id": "bench"}).encode()
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return self._head("POST", "/api/chat/stream", more) + body

    def resume(self, run_id: str, after: int) -> bytes:
        """A GET of a run's events after the one numbered `after` (Sora alone)."""
        return self._head("GET", f"/api/runs/{run_id}/events", f"Last-Event-ID: {run_id}:1-{after}\r\n")

    def _head(self, method: str, path: str, more: str = "") -> bytes:
        bearer = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{bearer}{more}\r\n".encode()


class Relays:
    """Starts the relays, each fresh, against the workspace's model API."""

    def __init__(self, place: Workspace) -> None:
        self._place = place
        self._secret = secrets.token_urlsafe(48)
        self._keys = f"bench:{base64.b64encode(secrets.token_bytes(32)).decode()}"
        self._token = ""
        self._empty: Path | None = None

    @contextmanager
    def start(self, name: str, *, scheme: str = "http", database: Path | None = None) -> Iterator[Running]:
        """The relay, ready, until the end of the block. `database`: a copy of this one instead of an empty one (Sora)."""
        starters = {
            SORA: self._sora,
            NGINX: self._nginx,
            BARE: partial(self._plain, BARE, "bare"),
            READING: partial(self._plain, READING, "reading"),
            TUTORIAL: self._tutorial,
            FASTAPI: self._fastapi,
        }
        with starters[name](self._place.folder_for("relay"), scheme, database) as running:
            yield running

    @contextmanager
    def _sora(self, home: Path, scheme: str, database: Path | None) -> Iterator[Running]:
        port = process.free_port()
        env = self._sora_environment(home, scheme)
        if not self._token:
            self._token = _flask(env, "sora", "token", "--name", "bench").strip()
        if database is None:
            database = self._empty = self._empty or self._new_database()
        shutil.copy(database, home / "sora.db")
        command = [sys.executable, "-m", "gunicorn", "-c", "python:sora.serving", "wsgi:app"]
        options = ["--bind", f"127.0.0.1:{port}", "--workers", "1"]
        with pinned([*command, *options], core=RELAY_CORE, log=home / "log", port=port, env=env) as pid:
            wait_until(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), timeout=30, what="/readyz")
            yield Running(SORA, port, pid, "/stream/review", "body", home, self._token)

    @contextmanager
    def _nginx(self, home: Path, scheme: str, database: Path | None) -> Iterator[Running]:
        port = process.free_port()
        url = self._place.urls[scheme]
        configuration = nginx_configuration(
            home,
            server=f"listen 127.0.0.1:{port} backlog=16384;",
            upstream=f"server {url.partition('//')[2]};",
            location=f"proxy_pass {scheme}://model; proxy_ssl_verify on;"
            f" proxy_ssl_trusted_certificate {self._place.authority}; proxy_ssl_name localhost;",
        )
        command: list[str | Path] = [nginx(), "-c", configuration, "-p", home]
        with pinned(command, core=RELAY_CORE, log=home / "log", port=port) as pid:
            yield Running(NGINX, port, pid, "/v1/chat/completions", "", home)

    @contextmanager
    def _plain(
        self, name: str, module: str, home: Path, scheme: str, database: Path | None
    ) -> Iterator[Running]:
        port = process.free_port()
        with self._peer(
            [sys.executable, "-m", f"bench.peers.{module}", str(port)], home, scheme, port
        ) as pid:
            yield Running(name, port, pid, "/v1/chat/completions", "", home)

    @contextmanager
    def _tutorial(self, home: Path, scheme: str, database: Path | None) -> Iterator[Running]:
        port = process.free_port()
        command: list[str | Path] = [
            _PYTHON,
            "-m",
            "gunicorn",
            "--worker-class",
            "gevent",
            "--workers",
            "1",
            "--no-control-socket",
        ]
        options = ["--worker-connections", "10000", "--bind", f"127.0.0.1:{port}", "bench.peers.tutorial:app"]
        with self._peer([*command, *options], home, scheme, port) as pid:
            yield Running(TUTORIAL, port, pid, "/stream", "message", home)

    @contextmanager
    def _fastapi(self, home: Path, scheme: str, database: Path | None) -> Iterator[Running]:
        port = process.free_port()
        command: list[str | Path] = [
            _PYTHON,
            "-m",
            "uvicorn",
            "--workers",
            "1",
            "--no-access-log",
            "--log-level",
            "warning",
        ]
        options = ["--port", str(port), "--backlog", "16384", "bench.peers.usual_fastapi:app"]
        with self._peer([*command, *options], home, scheme, port) as pid:
            yield Running(FASTAPI, port, pid, "/stream", "message", home)

    @contextmanager
    def _peer(self, command: list[str | Path], home: Path, scheme: str, port: int) -> Iterator[int]:
        env = {
            "OPENAI_BASE_URL": f"{self._place.urls[scheme]}/v1",
            "OPENAI_API_KEY": "bench",
            "SSL_CERT_FILE": str(self._place.authority),
        }
        with pinned(command, core=RELAY_CORE, log=home / "log", port=port, env=env) as pid:
            yield pid

    def _sora_environment(self, home: Path, scheme: str) -> dict[str, str]:
        return {
            "SORA_DATABASE_URL": f"sqlite:///{home}/sora.db",
            "SORA_INSTANCE_PATH": str(home / "instance"),
            "SORA_OPENAI_BASE_URL": f"{self._place.urls[scheme]}/v1",
            "SORA_OPENAI_API_KEY": "bench",
            "SORA_AUTH": "required",
            "SORA_JWT_SECRET": self._secret,
            "SORA_ENCRYPTION_KEYS": self._keys,
            "SSL_CERT_FILE": str(self._place.authority),
        }

    def _new_database(self) -> Path:
        home = self._place.folder_for("database")
        _flask(self._sora_environment(home, "http"), "db", "upgrade")
        return home / "sora.db"


def _flask(env: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", *command],
        env={**os.environ, **env},
        cwd=process.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise MissingError(f"flask {' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (OSError, urllib.error.URLError):
        time.sleep(0.05)
        return False
