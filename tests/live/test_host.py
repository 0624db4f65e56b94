"""Somebody else's application with Sora in it, under each kind of worker: it streams, resumes, cancels, and says what the
worker is not made for."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sora.config import Config
from tests.support import process
from tests.support.client import Answer, Stream, request
from tests.support.server import ENCRYPTION_KEYS
from tests.support.simulator import Simulator
from tests.support.user import DIARY, text_of
from tests.support.waiting import wait_until

APPLICATION = "tests.support.host.wsgi:app"
WORKERS = {
    "gevent": ("-c", "python:sora.serving"),
    "gthread": ("--worker-class", "gthread", "--threads", "6"),
    "sync": ("--worker-class", "sync", "--workers", "2"),
}
WARNINGS = {
    "gevent": set(),
    "gthread": {"6 threads", "does not drain"},
    "sync": {"one request at a time", "does not drain"},
}


class Host:
    """A running host, and one signed-in user of it."""

    def __init__(self, port: int, log: Path, running: subprocess.Popen[bytes]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.running = running
        self._log = log
        signed_in = request(self.url, "/login/bora", method="POST")
        self._cookie = str(signed_in.headers["Set-Cookie"]).split(";")[0]

    def open(self, path: str, **how: Any) -> Stream:
        return Stream(self.url, path, headers={"Cookie": self._cookie, **how.pop("headers", {})}, **how)

    def request(self, path: str, **how: Any) -> Answer:
        return request(self.url, path, headers={"Cookie": self._cookie}, **how)

    def ended(self, run_id: str) -> dict[str, Any]:
        def final() -> dict[str, Any] | None:
            run: dict[str, Any] = self.request(f"/ai/api/runs/{run_id}").json()
            return None if run["status"] in ("pending", "running") else run

        return wait_until(final, what="the run's end", interval=0.02) or {}

    def log_text(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def serving(worker: str, simulator: Simulator, database_url: str, folder: Path) -> Iterator[Host]:
    port, log = process.free_port(), folder / "log"
    env = {
        **os.environ,
        "HOST_DATABASE_URL": Config(database_url=database_url).database,
        "SORA_OPENAI_BASE_URL": simulator.url,
        "SORA_MODEL": "sim-n20-d5",
        "SORA_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
        "SORA_INSTANCE_PATH": str(folder / "instance"),
        "SORA_HEARTBEAT": "0.2",
    }
    upgrade = [sys.executable, "-m", "flask", "--app", "tests.support.host.wsgi", "sora", "db-upgrade"]
    subprocess.run(upgrade, cwd=process.ROOT, env=env, check=True, timeout=60)
    running = process.start(
        [sys.executable, "-m", "gunicorn", *WORKERS[worker], APPLICATION, "--bind", f"127.0.0.1:{port}"],
        log=log,
        env=env,
        death_signal=signal.SIGQUIT,
    )
    try:
        wait_until(
            lambda: running.poll() is not None or process.listening(port), timeout=30, what="the host's start"
        )
        assert running.poll() is None, log.read_text()
        yield Host(port, log, running)
    except BaseException as error:
        error.add_note(f"The host's log:\n{log.read_text(errors='replace')[-4000:]}")
        raise
    finally:
        process.stop(running, sig=signal.SIGQUIT, timeout=5)


@pytest.fixture(params=list(WORKERS))
def worker(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def host(worker: str, simulator: Simulator, sqlite_url: str, tmp_path: Path) -> Iterator[Host]:
    with serving(worker, simulator, sqlite_url, tmp_path) as host:
        yield host


def test_it_works_as_it_does_at_home(host: Host, worker: str) -> None:
    # What is theirs.
    assert host.request("/notes/", payload={"text": "우산을 샀다"}).status == 201
    assert host.request("/notes/").json() == ["우산을 샀다"]
    missing = host.request("/nowhere")
    assert (missing.status, missing.text) == (404, "<h1>The host has no such page</h1>")

    # The review.
    with host.open("/ai/stream/review?format=native", payload=DIARY) as stream:
        stream.rest()
        assert stream.ended == "clean" and stream.frames[-1].event == "done"
        assert stream.headers["X-Host"] == "notes", "their hooks have had it"
        review = text_of(stream.frames)
    assert [item["feedback"] for item in host.request("/ai/api/reviews").json()["items"]] == [review]

    # A generator of their own: as it is made, left in the middle, resumed, whole.
    with host.open("/tales/count/40?seconds=0.02", payload={}) as stream:
        run_id = stream.headers["X-Sora-Run-Id"]
        first = stream.take(6)
        at = stream.last_event_id
        stream.reset()
    with host.open(f"/ai/api/runs/{run_id}/events", last_event_id=at) as stream:
        frames = first + stream.rest()
        assert stream.ended == "clean" and len(stream.frames) > 30
    assert frames[-1].event == "done" and frames[-1].at - frames[0].at > 0.4, "it was not held back"
    assert text_of(frames) == host.ended(run_id)["text"] == "".join(f"{number} " for number in range(40))
    assert [int(frame.id.rpartition("-")[2]) for frame in frames] == list(range(1, len(frames) + 1))

    # Cancelled from elsewhere; the heartbeat is there before.
    with host.open("/tales/count/2?seconds=30", payload={}) as stream:
        stream.take(2)
        wait_until(lambda: stream.read() and "heartbeat" in stream.parser.comments[-1], what="a heartbeat")
        run_id = stream.headers["X-Sora-Run-Id"]
        assert host.request(f"/ai/api/runs/{run_id}/cancel", method="POST").status == 200
        assert stream.rest()[-1].event == "cancelled"

    said = {words for kinds in WARNINGS.values() for words in kinds if words in host.log_text()}
    assert said == WARNINGS[worker]
    assert host.log_text().count("does not drain") <= 2, "once in each worker"


@pytest.mark.parametrize("worker", ["gevent"], indirect=True)
def test_sora_serving_lets_their_streams_end(host: Host) -> None:
    with host.open("/tales/count/40?seconds=0.05", payload={}) as stream:
        stream.take(3)
        host.running.send_signal(signal.SIGTERM)
        stream.rest()
        assert stream.ended == "clean" and stream.frames[-1].event == "done"
        assert len(text_of(stream.frames).split()) == 40
    assert host.running.wait(20) == 0


@pytest.mark.parametrize("worker", ["gthread", "sync"], indirect=True)
def test_under_postgresql_too(worker: str, simulator: Simulator, postgres_url: str, tmp_path: Path) -> None:
    with serving(worker, simulator, postgres_url, tmp_path) as host:
        with host.open("/ai/stream/review?format=native", payload=DIARY) as stream:
            stream.rest()
            run_id = stream.headers["X-Sora-Run-Id"]
            assert text_of(stream.frames) == host.ended(run_id)["text"] != ""
        with host.open("/tales/count/20?seconds=0.01", payload={}) as stream:
            stream.rest()
            assert stream.frames[-1].event == "done"


def test_a_wheel_holds_all_of_it(sqlite_url: str, tmp_path: Path) -> None:
    """Installed in an environment of its own, beside its dependencies: the types, the prompts, the pages, the migrations."""
    source = tmp_path / "source"  # building writes where it reads
    source.mkdir()
    for name in ("sora", "migrations"):
        shutil.copytree(process.ROOT / name, source / name, symlinks=True)
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(process.ROOT / name, source)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(source),
    ]
    subprocess.run(build, check=True, timeout=120, capture_output=True)
    [wheel] = tmp_path.glob("sora-*.whl")
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    python = folder / "bin" / "python"
    [packages] = folder.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, timeout=120, capture_output=True)
    (packages / "dependencies.pth").write_text(os.path.dirname(pytest.__path__[0]) + "\n")
    program = f"""
import sora
from flask import Flask
from sora import Principal, Sora
from sora.cli import group
assert sora.__file__.startswith({str(folder)!r}), sora.__file__
app = Flask("host")
Sora(app, url_prefix="/ai", db={sqlite_url!r}, principal_loader=lambda request: Principal("somebody"))
assert app.test_cli_runner().invoke(group, ["db-upgrade"]).exit_code == 0
client = app.test_client()
assert client.get("/ai/api/runs").get_json()["items"] == []
assert b"<!doctype html>" in client.get("/ai/app/").data.lower() and client.get("/ai/app/api").status_code == 200
from importlib import resources
assert resources.files("sora").joinpath("py.typed").is_file()
assert len(list(resources.files("sora.pipelines.prompts").iterdir())) >= 6
app.extensions["sora"].engine.stop(grace=0.2)
"""
    env = {
        **os.environ,
        "SORA_OPENAI_API_KEY": "k",
        "SORA_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
        "SORA_INSTANCE_PATH": str(tmp_path / "instance"),
    }
    done = subprocess.run(
        [python, "-W", "error", "-c", program], cwd=tmp_path, env=env, timeout=60, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
