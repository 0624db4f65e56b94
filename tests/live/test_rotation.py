"""A new encryption key comes in while people write and read: all stays readable, and nothing needs the old key afterwards."""

from __future__ import annotations

import base64
import re
import secrets
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import process
from tests.support.client import request
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import DIARY, User, text_of

pytestmark = pytest.mark.timeout(180)

WORKERS = 2
RUNS = 20  # before the rotation
ENV = {"SORA_MODEL": "sim-n30-d4", "SORA_JOURNAL_INTERVAL": "0.05"}
OLD, NEW = (f"{name}:{base64.b64encode(secrets.token_bytes(32)).decode()}" for name in ("k1", "k2"))


class Refusing(Server):
    """A server that starts and says that it lacks a key."""

    def _ready(self) -> bool:
        try:
            answer = request(self.url, "/readyz", timeout=5)
        except OSError:
            return False
        return answer.status == 503 and answer.json()["checks"]["keys"] is False


def sora(server: Server, *command: str, keys: str) -> tuple[int, str]:
    """`flask sora …` with these keys: its exit code and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "sora", *command],
        cwd=process.ROOT,
        env=server.env | {"SORA_ENCRYPTION_KEYS": keys},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


class Load:
    """Users who write and read at a server, again and again; what one of them finds wrong fails `end`."""

    def __init__(self, server: Server) -> None:
        self.user = User(server.url)
        self.answers: dict[str, str] = {}  # run -> its text, as it was streamed
        self.read = 0
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(6)
        self._work = [self._pool.submit(self._again, work) for work in (self.write,) * 3 + (self.look,) * 3]

    def write(self) -> None:
        with self.user.open("/stream/review?ids=1", payload=DIARY) as stream:
            run_id = stream.headers["X-Sora-Run-Id"]
            text = text_of([frame for frame in stream.rest() if frame.data])
            assert stream.ended == "clean"
        self.answers[run_id] = text
        self.check(run_id)

    def look(self) -> None:
        for run_id in list(self.answers)[:: 1 + len(self.answers) // 10]:
            self.check(run_id)

    def check(self, run_id: str) -> None:
        """The run, its log and its review say what was streamed."""
        run = self.user.run(run_id)
        assert run["status"] == "completed" and run["text"] == self.answers[run_id]
        with self.user.open(f"/api/runs/{run_id}/events") as stream:
            assert text_of(stream.rest()) == self.answers[run_id]
        assert self.user.reviews()[0]["body"] == DIARY["body"]
        self.read += 1

    def _again(self, work: object) -> None:
        while not self._stopping.is_set():
            work()  # type: ignore[operator]
            self._stopping.wait(0.01)

    def end(self) -> None:
        self._stopping.set()
        self._pool.shutdown()
        for work in self._work:
            work.result()


def test_a_new_key_takes_the_place_of_the_old(simulator: Simulator, database_url: str) -> None:
    with Server(
        database_url, simulator.url, workers=WORKERS, env={**ENV, "SORA_ENCRYPTION_KEYS": OLD}
    ) as server:
        before = User(server.url)
        with ThreadPoolExecutor(8) as pool:
            runs = [before.ended(run_id) for run_id in pool.map(lambda _: before.start(), range(RUNS))]
        assert sora(server, "rotate-keys", "--check", keys=OLD)[0] == 0
        server.stop(signal.SIGQUIT)

        # Too early: the new one alone.
        with Refusing(database_url, simulator.url, env={**ENV, "SORA_ENCRYPTION_KEYS": NEW}) as early:
            user = User(early.url)
            refused = user.request("/stream/review", payload=DIARY)
            assert (refused.status, refused.json()["code"]) == (503, "overloaded")
            [count] = re.findall(r"(\d+) fields .* need the key k1", early.log_text())
            assert int(count) >= 5 * RUNS, "request, text, journal, body, feedback"
            code, told = sora(early, "doctor", keys=NEW)
            assert code == 1 and f"{count} fields need k1" in told
            code, told = sora(early, "rotate-keys", "--check", keys=NEW)
            assert code == 1 and f"{count} fields need it" in told
            early.stop(signal.SIGQUIT)

        both = f"{NEW},{OLD}"
        server.env["SORA_ENCRYPTION_KEYS"] = both
        server.start()
        assert sora(server, "rotate-keys", "--check", keys=both)[0] == 1
        load = Load(server)
        try:
            rotations = [sora(server, "rotate-keys", keys=both) for _ in range(2)]
        finally:
            load.end()
        assert [code for code, _ in rotations] == [0, 0] and load.read >= 10
        assert "0 읽을 수 없음" in rotations[0][1] and "k1: 더는 필요 없습니다" in "".join(
            told for _, told in rotations
        )
        code, told = sora(server, "rotate-keys", "--check", keys=both)
        assert code == 0 and told.startswith("0개 필드"), told
        assert [before.run(run["id"]) for run in runs] == runs
        assert "Traceback" not in server.log_text()
        server.stop(signal.SIGQUIT)

        server.env["SORA_ENCRYPTION_KEYS"] = NEW
        server.start()
        assert [before.run(run["id"]) for run in runs] == runs
        after = User(server.url)
        for run_id in load.answers:
            assert after.run(run_id)["text"] == load.answers[run_id]
        load.check(next(iter(load.answers)))
        assert sora(server, "doctor", keys=NEW)[0] == 0
