"""`flask sora …` as a user types it, on a clone without settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import jwt
import pytest

from sora.cli import group
from tests.support import process
from tests.support.client import request
from tests.support.sse import Parser
from tests.support.waiting import wait_until
from tests.support.web import DIARY

pytestmark = pytest.mark.timeout(120)


def flask(instance: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "sora", *command],
        cwd=process.ROOT,
        env={**os.environ, "SORA_INSTANCE_PATH": str(instance), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def commands(at: click.Command, *path: str) -> list[list[str]]:
    """Every command from here on, as its words."""
    below = at.commands if isinstance(at, click.Group) else {}
    return [
        list(path),
        *(words for name, command in below.items() for words in commands(command, *path, name)),
    ]


@contextmanager
def serving(instance: Path, port: int, **env: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = instance.parent / "log"
    server = process.start(
        [sys.executable, "-m", "flask", "--app", "wsgi", "sora", "serve"],
        log=log,
        env={**os.environ, "SORA_INSTANCE_PATH": str(instance), "PORT": str(port), "WORKERS": "1", **env},
        death_signal=signal.SIGTERM,
    )
    try:
        wait_until(
            lambda: server.poll() is not None or "curl -N" in log.read_text(),
            timeout=60,
            what="the announcement",
        )
        assert server.poll() is None, log.read_text()
        yield server, log
    finally:
        process.stop(server, timeout=40)


def test_it_runs_on_a_fresh_clone_and_leaves_nothing_behind(tmp_path: Path) -> None:
    instance, port = tmp_path / "instance", process.free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(instance, port) as (server, log):
        assert url in log.read_text() and "simulated" in log.read_text()
        assert request(url, "/api/search?q=ABC-12345").json()["items"], "the samples"
        secrets = instance / "development.env"
        assert secrets.stat().st_mode & 0o777 == 0o600 and instance.stat().st_mode & 0o777 == 0o700
        kept = secrets.read_text()
        [line] = [line for line in log.read_text().splitlines() if "curl -N" in line]
        told = subprocess.run(
            ["bash", "-c", line], cwd=process.ROOT, capture_output=True, timeout=60, check=True
        )
        streamed = "".join(frame.json()["value"] for frame in Parser().feed(told.stdout))
        [review] = request(url, "/api/reviews").json()["items"]
        assert review["feedback"] == streamed and review["type"] == "FEELING"

        page = {"Origin": "http://localhost:5173"}
        allowed = request(url, "/api/session", headers=page).headers["Access-Control-Allow-Origin"]
        assert allowed == page["Origin"], "a front end that is being developed"

        token = flask(instance, "token", "--name", "보라").stdout
        assert token.count("\n") == 1
        assert request(url, "/api/session", token=token.strip()).json()["name"] == "보라"

        taken = flask(instance, "serve", "--port", str(port))
        assert (
            taken.returncode == 1 and f"127.0.0.1:{port}" in taken.stderr and "Traceback" not in taken.stderr
        )

        family = process.descendants(server.pid)
        assert len(family) >= 3, "gunicorn, its worker, the simulator"
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=40) == 0
        wait_until(lambda: not any(map(process.alive, family)), timeout=5, what="the children's end")
    assert "Traceback" not in log.read_text()
    for hidden in (kept.split("SORA_JWT_SECRET=")[1].split("\n")[0], token.strip(), "창밖을 오래"):
        assert hidden not in log.read_text().replace(line, "")
    flask(instance, "config")
    assert secrets.read_text() == kept, "made once"


def test_the_environment_goes_first(tmp_path: Path) -> None:
    instance, port = tmp_path / "instance", process.free_port()
    given = {"SORA_AUTH": "required", "SORA_JWT_SECRET": "x" * 32, "SORA_FRONTEND": str(tmp_path / "no-app")}
    with serving(instance, port, **given) as (server, log):
        assert "SORA_JWT_SECRET" not in (instance / "development.env").read_text()
        url = f"http://127.0.0.1:{port}"
        assert request(url, "/stream/review", payload=DIARY).status == 401
        assert "make -s token" in log.read_text()
        assert "npm" in log.read_text() and "npm" in request(url, "/app/").text
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=40) == 0


def test_origins_that_are_not_exact_stop_the_start(tmp_path: Path) -> None:
    stopped = flask(
        tmp_path / "instance", "serve", "--port", str(process.free_port()), SORA_ALLOWED_ORIGINS="*"
    )
    assert stopped.returncode == 1 and "Traceback" not in stopped.stderr
    assert "SORA_ALLOWED_ORIGINS must list exact origins" in stopped.stderr and "'*'" in stopped.stderr


def test_a_token_needs_the_secret(tmp_path: Path) -> None:
    missing = flask(tmp_path / "instance", "token", "--name", "보라")
    assert missing.returncode == 1 and not missing.stdout and "SORA_JWT_SECRET" in missing.stderr
    short = flask(tmp_path / "instance", "token", "--name", "보라", SORA_JWT_SECRET="short")
    assert short.returncode == 1 and "32" in short.stderr and "Traceback" not in short.stderr
    secret = "s" * 32
    one, same, other = (
        jwt.decode(
            flask(tmp_path / "instance", "token", "--name", name, SORA_JWT_SECRET=secret).stdout.strip(),
            secret,
            ["HS256"],
        )
        for name in ("보라", "보라", "다나")
    )
    assert one["uuid"] == same["uuid"] != other["uuid"]


def test_settings_are_shown_without_secrets(tmp_path: Path) -> None:
    shown = flask(tmp_path / "instance", "config", SORA_JWT_SECRET="a secret", SORA_MODEL="a-model")
    assert shown.returncode == 0 and "a-model" in shown.stdout and "a secret" not in shown.stdout
    wrong = flask(tmp_path / "instance", "config", SORA_AUTH="maybe")
    assert wrong.returncode == 1 and "SORA_AUTH" in wrong.stderr and "Traceback" not in wrong.stderr


@pytest.mark.parametrize("command", commands(group), ids=" ".join)
def test_every_command_tells_what_it_does(tmp_path: Path, command: list[str]) -> None:
    told = flask(tmp_path / "instance", *command, "--help")
    assert told.returncode == 0 and "Usage: " in told.stdout and not told.stderr
