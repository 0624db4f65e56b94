"""A server that is told to go: streams run on, what cannot end in time is saved and says so, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import process
from tests.support.client import Stream, request
from tests.support.postgres import Postgres
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import DIARY, User, is_delta, text_of
from tests.support.waiting import wait_until

GRACE = 8
EACH = 20
ENV = {"SORA_GRACEFUL_TIMEOUT": str(GRACE), "SORA_MODEL": "sim-n100-d50", "SORA_LEASE": "3"}  # 5 s an answer


def open_streams(user: User, stack: ExitStack, count: int = EACH) -> list[Stream]:
    """Streams of new runs, in both formats, each with its first delta."""

    def open(number: int) -> Stream:
        path = f"/stream/review?format={'native' if number % 2 else 'review'}"
        stream = user.open(path, payload=DIARY, timeout=30)
        stream.until(is_delta)
        return stream

    with ThreadPoolExecutor(count) as pool:
        return [stack.enter_context(stream) for stream in pool.map(open, range(count))]


def read_to_the_end(streams: list[Stream]) -> None:
    with ThreadPoolExecutor(len(streams)) as pool:
        list(pool.map(Stream.rest, streams))


def check(user: User, streams: list[Stream], status: str) -> None:
    """Each stream had a proper end that says what became of its run, and showed exactly what is saved."""
    for stream in streams:
        assert stream.ended == "clean"
        run = user.run(stream.headers["X-Sora-Run-Id"])
        assert run["status"] == status
        assert text_of(stream.frames) == run["text"] != ""
        last = stream.frames[-1]
        if status == "interrupted":
            assert (last.event, last.json()["code"], last.json()["retryable"]) == (
                "error",
                "interrupted",
                True,
            )
        elif "event: started" in stream.raw.decode():
            assert last.event == "done"
        else:
            assert is_delta(last)


def idle(user: User) -> socket.socket:
    """A connection kept alive after an answer, as a browser and nginx keep theirs."""
    port = int(user.url.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


@pytest.mark.timeout(90)
def test_told_to_go_under_load(database_url: str, simulator: Simulator) -> None:
    with Server(database_url, simulator.url, workers=2, env=ENV) as server, ExitStack() as stack:
        user = User(server.url)
        early = open_streams(user, stack)
        for stream in early:  # they have a second or two to go when the others begin
            stream.take(65)
        late = open_streams(user, stack)
        for _ in range(3):
            stack.enter_context(idle(user))
        family = process.descendants(server.pid)
        told = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(server.stop, signal.SIGTERM)
            read_to_the_end(early + late)
            assert stopping.result() == 0
        assert time.monotonic() - told < GRACE, "it is killed at the graceful timeout"
        assert not any(map(process.alive, family))
        with pytest.raises(OSError):
            request(server.url, "/healthz")
        server.start()
        check(user, early, "completed")
        check(user, late, "interrupted")


@pytest.mark.timeout(90)
def test_told_to_reload_under_load(sqlite_url: str, simulator: Simulator) -> None:
    with Server(sqlite_url, simulator.url, workers=2, env=ENV) as server, ExitStack() as stack:
        user = User(server.url)
        early = open_streams(user, stack)
        for stream in early:
            stream.take(65)
        late = open_streams(user, stack)
        stack.enter_context(idle(user))
        old = server.worker_pids()
        told = time.monotonic()
        os.kill(server.pid, signal.SIGHUP)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read_to_the_end, early + late)
            wait_until(lambda: set(server.worker_pids()) - set(old), what="the new workers")
            # Nobody is turned away meanwhile, and what begins now is not hurt.
            wait_until(lambda: process.listening(server.port), what="the port")
            newcomers = open_streams(user, stack, 4)
            reading.result()
        wait_until(lambda: not any(map(process.alive, old)), timeout=GRACE, what="the old workers' end")
        assert time.monotonic() - told < GRACE + 2
        check(user, early, "completed")
        check(user, late, "interrupted")
        read_to_the_end(newcomers)
        for stream in newcomers:  # an old worker may have let one in before it closed its door
            status = user.run(stream.headers["X-Sora-Run-Id"])["status"]
            assert status in ("completed", "interrupted")
            check(user, [stream], status)
        assert len(server.worker_pids()) == 2


def test_nothing_to_wait_for(sqlite_url: str, simulator: Simulator) -> None:
    """Connections that are kept alive do not change how long it takes."""
    with Server(sqlite_url, simulator.url, env={**ENV, "SORA_GRACEFUL_TIMEOUT": "30"}) as server:
        user = User(server.url)
        with ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(idle(user))
            told = time.monotonic()
            assert server.stop(signal.SIGTERM) == 0
            assert time.monotonic() - told < 5


def test_a_run_that_nobody_reads_is_waited_for(sqlite_url: str, simulator: Simulator) -> None:
    env = {**ENV, "SORA_MODEL": "sim-n60-d50"}
    with Server(sqlite_url, simulator.url, env=env) as server:
        user = User(server.url)
        run_id = user.start()
        assert server.stop(signal.SIGTERM) == 0
        server.start()
        assert user.run(run_id)["status"] == "completed"
        assert len(simulator.requests()) == 1


@pytest.mark.timeout(90)
def test_told_to_go_while_the_database_is_away(
    postgres: Postgres, postgres_url: str, simulator: Simulator
) -> None:
    """What cannot be saved waits on the disk, encrypted, and is saved at the next start: whole, as it was."""
    env = {**ENV, "SORA_MODEL": "sim-n40-d50", "SORA_GRACEFUL_TIMEOUT": "8"}
    with Server(postgres_url, simulator.url, env=env) as server, ExitStack() as stack:
        user = User(server.url)
        streams = open_streams(user, stack, 6)
        postgres.stop("immediate")
        try:
            told = time.monotonic()
            with ThreadPoolExecutor(1) as pool:
                stopping = pool.submit(server.stop, signal.SIGTERM)
                read_to_the_end(streams)
                assert stopping.result() == 0
            assert time.monotonic() - told < 8
        finally:
            postgres.start()
        for stream in streams:
            assert "done" not in {frame.event for frame in stream.frames}
            assert stream.ended == "cut" or stream.frames[-1].event == "error", "not saved: not a success"
        assert len(list((server.instance / "spool").iterdir())) == len(streams)
        server.start()
        for stream in streams:
            run = user.ended(stream.headers["X-Sora-Run-Id"])
            assert run["status"] == "completed"
            assert text_of(stream.frames) == run["text"]
        assert len(user.reviews()) == len(streams)
        assert list((server.instance / "spool").iterdir()) == []


@pytest.mark.timeout(90)
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_make_run_is_stopped(tmp_path: Path, sig: signal.Signals) -> None:
    """`flask sora serve` with a stream open: the stream ends with a frame, and no process stays, the simulator's neither."""
    port = process.free_port()
    env = {
        **os.environ,
        "SORA_INSTANCE_PATH": str(tmp_path / "instance"),
        "SORA_MODEL": "sim-n3000-d20",
        "SORA_GRACEFUL_TIMEOUT": "6",
    }
    log = tmp_path / "log"
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "sora", "serve", "--port", str(port)]
    running = process.start(command, log=log, env=env)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: b"Sora \xc2\xb7" in log.read_bytes(), timeout=30, what="the start")
        family = process.descendants(running.pid)
        assert len(family) >= 4, "the simulator, gunicorn, two workers"
        with Stream(url, "/stream/review", payload=DIARY) as stream:
            stream.take(5)
            told = time.monotonic()
            running.send_signal(sig)
            assert stream.rest()[-1].json()["code"] == "interrupted"
            assert stream.ended == "clean"
            running.wait(10)
            assert time.monotonic() - told < 10
        wait_until(lambda: not any(map(process.alive, family)), timeout=2, what="the end of all")
        assert "Traceback" not in log.read_text()
    finally:
        process.stop(running)
