"""A stream may be cut anywhere: what was received on all connections together is the saved answer."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live.conftest import Deployment, two_machines
from tests.support import process
from tests.support.client import Stream
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.sse import Frame, Parser
from tests.support.user import DIARY, User, is_delta, text_of

READERS = 5
EXAMPLES = 60  # on each database: 600 schedules in all
ENV = {"SORA_MODEL": "sim-n60-d2", "SORA_JOURNAL_INTERVAL": "0.05"}


@dataclass(frozen=True)
class Connection:
    """One connection of a reader: where to, in which format, and after how many bytes of the body it is cut."""

    place: int
    format: str
    bytes: int
    reset: bool


PEACE = Connection(0, "native", 10**9, False)


@pytest.fixture(scope="module")
def deployment(module_url: str, _simulator: Simulator) -> Iterator[Deployment]:
    with two_machines(module_url, _simulator.url, ENV) as deployment:
        yield deployment


connections = st.builds(
    Connection,
    place=st.integers(0, 2),
    format=st.sampled_from(["native", "review"]),
    bytes=st.integers(0, 4000),
    reset=st.booleans(),
)
schedules = st.lists(connections, min_size=1, max_size=6)


@pytest.mark.timeout(180)
def test_readers_cut_anywhere_have_the_saved_answer(deployment: Deployment) -> None:
    user = deployment.user
    cut = 0

    @settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
    @given(readers=st.lists(schedules, min_size=READERS, max_size=READERS))
    def check(readers: list[list[Connection]]) -> None:
        nonlocal cut
        first = readers[0][0]
        path = f"/stream/review?ids=1&format={first.format}"
        with (
            user.open(path, at=deployment.places[first.place], payload=DIARY) as posted,
            ThreadPoolExecutor(READERS) as pool,
        ):
            run_id = posted.headers["X-Sora-Run-Id"]
            clients = [Client(deployment, run_id) for _ in readers]
            answers = [pool.submit(clients[0].follow, readers[0], posted)]
            answers += [
                pool.submit(client.follow, schedule)
                for client, schedule in zip(clients[1:], readers[1:], strict=True)
            ]
            texts = [answer.result() for answer in answers]
        run = user.ended(run_id)
        assert run["status"] == "completed" and run["usage"]["output"] == 60
        assert texts == [run["text"]] * READERS
        assert user.reviews()[0]["feedback"] == run["text"]
        cut += sum(client.cuts > 0 for client in clients)

    check()
    assert cut >= 250, "schedules that cut a stream in its middle"


def test_every_byte_of_the_first_and_the_last_frames(deployment: Deployment) -> None:
    run_id = deployment.user.start()
    run = deployment.user.ended(run_id)
    for format in ("native", "review"):
        whole = deployment.user.request(f"/api/runs/{run_id}/events?format={format}").body
        for count in (*range(90), *range(len(whole) - 90, len(whole))):
            schedule = [Connection(0, format, count, count % 2 == 0), Connection(1, format, 10**9, False)]
            client = Client(deployment, run_id)
            assert client.follow(schedule) == run["text"], (format, count)
            assert client.cuts == 1


class Client:
    """Reads a run as an EventSource does: what it has, and where it goes on."""

    def __init__(self, deployment: Deployment, run_id: str) -> None:
        self.cuts = 0
        self._deployment = deployment
        self._run_id = run_id
        self._frames: list[Frame] = []
        self._last = ""

    def follow(self, schedule: list[Connection], posted: Stream | None = None) -> str:
        """The text, once it is cut off by `schedule` no more. `posted` is the first connection, when it is open."""
        for connection in [*schedule, PEACE, PEACE]:
            with posted or self._open(connection) as stream:
                posted = None
                if stream.status == 204 or self._read(stream, connection):
                    return text_of(self._frames)
        raise AssertionError("no end in peace")

    def _open(self, connection: Connection) -> Stream:
        return self._deployment.user.open(
            f"/api/runs/{self._run_id}/events?format={connection.format}",
            at=self._deployment.places[connection.place],
            last_event_id=self._last or None,
        )

    def _read(self, stream: Stream, connection: Connection) -> bool:
        """Whether the stream came to its end before the cut."""
        assert stream.status == 200, stream.status
        assert stream.headers["X-Sora-Run-Id"] == self._run_id
        while len(stream.raw) < connection.bytes and stream.read(connection.bytes - len(stream.raw)):
            pass
        assert stream.ended in (None, "clean")
        self.cuts += stream.ended is None
        if stream.ended is None and connection.reset:
            stream.reset()
        bad = [frame for frame in stream.frames if frame.event in ("reset", "error", "cancelled")]
        assert not bad, bad
        self._frames += stream.frames
        self._last = stream.last_event_id or self._last
        return stream.ended is not None


def test_curl_cut_after_five_deltas_and_resumed(simulator: Simulator, sqlite_url: str) -> None:
    if not (shutil.which("curl") and shutil.which("make")):
        pytest.skip("curl and make are needed")
    with Server(sqlite_url, simulator.url, env={"SORA_MODEL": "sim-n60-d20"}, workers=2) as server:
        user = User(server.url)
        seen = make(user, "curl-review", deltas=5)
        run_id, last = seen[-1].id.split(":")[0], seen[-1].id
        assert user.run(run_id)["status"] in ("pending", "running")
        live = make(user, "curl-resume", f"LAST_ID={last}")
        run = user.ended(run_id)
        assert run["status"] == "completed"
        later = make(user, "curl-resume", f"LAST_ID={last}")
        assert text_of(seen + live) == run["text"] == user.reviews()[0]["feedback"]
        assert live == later
        assert [frame.event for frame in live] == ["delta"] * 55 + ["usage", "done"]
        assert len(simulator.requests()) == 1
        assert make(user, "curl-resume", f"LAST_ID={later[-1].id}") == []


def make(user: User, *arguments: str, deltas: int | None = None) -> list[Frame]:
    """What one of the Makefile's curl scripts shows; its connection is cut after so many deltas."""
    running = subprocess.Popen(
        ["make", *arguments, f"URL={user.url}"],
        cwd=process.ROOT,
        env={**os.environ, "TOKEN": user.token},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert running.stdout is not None
    parser, frames = Parser(), list[Frame]()
    try:
        for line in running.stdout:
            if not line.startswith(b"curl "):  # make shows the command first
                frames += parser.feed(line)
            if deltas is not None and sum(map(is_delta, frames)) == deltas:
                break
        else:
            assert running.wait(10) == 0
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.stdout.close()
        running.wait(10)
    return frames
