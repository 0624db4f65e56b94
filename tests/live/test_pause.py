"""A worker that stands still past its lease, and a database that is away: nothing is written twice, nothing is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import sqlalchemy as sa

from sora.store.models import JournalRow, RunRow
from tests.support.client import Stream
from tests.support.metrics import metrics
from tests.support.postgres import Postgres
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import DIARY, User, is_delta, text_of
from tests.support.waiting import let_pass, wait_until

STREAMS = 25  # on each of two machines
Row = tuple[object, ...]


def written(url: str) -> tuple[list[Row], list[Row]]:
    """Everything the database holds of runs: their rows, and their journals."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        runs = connection.execute(sa.select(RunRow.__table__).order_by(RunRow.id)).all()
        journal = connection.execute(
            sa.select(JournalRow.__table__).order_by(JournalRow.run_id, JournalRow.first_seq)
        ).all()
    return [tuple(row) for row in runs], [tuple(row) for row in journal]


def kept(stream: Stream, rest: Stream) -> str:
    """The text of a reader that was cut and came back: a reset takes back what it should not have seen."""
    frames = list(stream.frames)
    for frame in rest.rest():
        if frame.event == "reset":
            point = frame.json()["seq"]
            frames = [old for old in frames if int(old.id.rpartition("-")[2]) <= point]
        else:
            frames.append(frame)
    assert (frames[-1].event, frames[-1].json()["code"]) == ("error", "interrupted")
    assert rest.ended == "clean"
    return text_of(frames)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("database_url", "tokens"),
    # An answer that goes on when the worker wakes, and one that has ended meanwhile: it would be saved at once.
    [("sqlite", 1500), ("postgresql", 250)],
    indirect=["database_url"],
)
def test_a_worker_that_wakes_after_its_lease_writes_nothing_more(
    database_url: str, simulator: Simulator, tokens: int
) -> None:
    env = {"SORA_LEASE": "2", "SORA_MODEL": f"sim-n{tokens}-d10"}
    with (
        Server(database_url, simulator.url, env=env) as one,
        Server(database_url, simulator.url, env=env) as two,
        ExitStack() as stack,
    ):
        user = User(one.url)
        streams = [
            stack.enter_context(user.open("/stream/review?format=native", payload=DIARY)) for _ in range(4)
        ]
        ids = [stream.headers["X-Sora-Run-Id"] for stream in streams]
        for _ in range(60):
            for stream in streams:
                stream.take(1)
        stopped = one.kill_worker(signal.SIGSTOP)
        runs = [
            wait_until(lambda run_id=run_id: final(user, run_id, at=two.url), timeout=7, what="the takeover")
            for run_id in ids
        ]
        assert {run["status"] for run in runs} == {"interrupted"}
        before = written(database_url)
        one.kill_worker(signal.SIGCONT)
        assert one.worker_pids() == [stopped], "it is the same worker that goes on"
        for stream in streams:
            stream.rest()
            assert stream.ended == "cut", "what it was shown after the takeover may not look like success"
            assert not [frame for frame in stream.frames if frame.event in ("done", "error")]
        # Back as a new worker it takes new runs; by then it has had many turns to write what it held.
        wait_until(lambda: user.request("/readyz").status == 200, what="the new worker")
        run_id = user.start()
        wait_until(lambda: user.run(run_id, at=two.url)["text"], what="the journal of a new run")
        now = written(database_url)
        assert [row for row in now[0] if row[0] in ids] == before[0]
        assert [row for row in now[1] if row[0] in ids] == before[1]
        resets = 0
        for place in (one.url, two.url):
            for stream, run in zip(streams, runs, strict=True):
                path = f"/api/runs/{run['id']}/events"
                with user.open(path, at=place, last_event_id=stream.last_event_id) as rest:
                    assert kept(stream, rest) == run["text"]
                    resets += rest.frames[0].event == "reset"
        assert resets, "not one reader had seen what was not written"
        assert user.reviews() == []


@pytest.mark.timeout(60)
def test_machines_that_slept_give_nobody_up(sqlite_url: str, simulator: Simulator) -> None:
    env = {"SORA_LEASE": "2", "SORA_MODEL": "sim-n100-d50"}
    with (
        Server(sqlite_url, simulator.url, env=env) as one,
        Server(sqlite_url, simulator.url, env=env) as two,
    ):
        user = User(one.url)
        with user.open("/stream/review", payload=DIARY, timeout=20) as stream:
            stream.take(10)
            one.kill_worker(signal.SIGSTOP)
            two.kill_worker(signal.SIGSTOP)
            pause_until(time.monotonic() + 3)
            two.kill_worker(signal.SIGCONT)
            pause_until(time.monotonic() + 1)
            one.kill_worker(signal.SIGCONT)
            stream.rest()
            assert stream.ended == "clean"
            assert user.ended(stream.headers["X-Sora-Run-Id"])["status"] == "completed"
        assert "given up" not in one.log_text() + two.log_text()


def final(user: User, run_id: str, *, at: str) -> dict[str, object] | None:
    run = user.run(run_id, at=at)
    return None if run["status"] in ("pending", "running") else run


@contextmanager
def stopped(postgres: Postgres) -> Iterator[None]:
    postgres.stop("immediate")
    try:
        yield
    finally:
        postgres.start()


@contextmanager
def paused(postgres: Postgres) -> Iterator[None]:
    postgres.pause()
    try:
        yield
    finally:
        postgres.resume()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("away", "seconds", "settings"),
    [(stopped, 30.0, {}), (paused, 10.0, {"SORA_LEASE": "2", "SORA_DATABASE_TIMEOUT": "3"})],
    ids=["stopped", "paused"],
)
def test_the_database_is_away_under_fifty_streams(
    postgres: Postgres,
    postgres_url: str,
    simulator: Simulator,
    away: Callable[[Postgres], ExitStack],
    seconds: float,
    settings: dict[str, str],
) -> None:
    """Half of the answers end while it is away, half go on past it, and past the time that its start may take."""
    tokens = (int(seconds / 3 / 0.1), int((seconds + 15) / 0.1))
    machines = [{"SORA_MODEL": f"sim-n{count}-d100", "SORA_HEARTBEAT": "2", **settings} for count in tokens]
    with (
        Server(postgres_url, simulator.url, env=machines[0]) as short,
        Server(postgres_url, simulator.url, env=machines[1]) as long,
        ThreadPoolExecutor(2 * STREAMS) as pool,
        ExitStack() as stack,
    ):
        user = User(short.url)

        def open(number: int) -> Stream:
            at = short.url if number < STREAMS else long.url
            path = f"/stream/review?format={'native' if number % 2 else 'review'}"
            stream = user.open(path, at=at, payload=DIARY, timeout=seconds + 60)
            stream.until(is_delta)
            return stream

        streams = [stack.enter_context(stream) for stream in pool.map(open, range(2 * STREAMS))]
        with away(postgres):
            gone = time.monotonic()
            reading = [pool.submit(stream.rest) for stream in streams]
            saving = streams[1:STREAMS:2]
            wait_until(
                lambda: all(any(frame.event == "progress" for frame in list(s.frames)) for s in saving),
                timeout=seconds,
                what="the news that it is being saved",
            )
            beats = [len(stream.parser.comments) for stream in streams[:STREAMS]]
            wait_until(
                lambda: all(
                    len(s.parser.comments) > n + 1 for s, n in zip(streams[:STREAMS], beats, strict=True)
                ),
                timeout=10,
                what="heartbeats while it is being saved",
            )
            assert not any(future.done() for future in reading), "no end before it is saved"
            pause_until(gone + seconds)
        for future in reading:
            future.result()
        assert {stream.ended for stream in streams} == {"clean"}
        for number, stream in enumerate(streams):
            frames = stream.frames
            assert text_of(frames)
            assert "error" not in {frame.event for frame in frames}
            if number % 2:
                assert frames[-1].event == "done"
                progress = [frame.json() for frame in frames if frame.event == "progress"]
                assert [p["stage"] for p in progress] == (["saving"] if number < STREAMS else [])
        ends = [user.run(stream.headers["X-Sora-Run-Id"]) for stream in streams]
        assert {run["status"] for run in ends} == {"completed"}
        assert [run["text"] for run in ends] == [text_of(stream.frames) for stream in streams]
        counted = metrics(short.url)
        assert counted["sora_save_retries_total"] > 0 and counted["sora_runs_taken_over_total"] == 0
        assert "given up" not in short.log_text() + long.log_text()


def pause_until(moment: float) -> None:
    let_pass(moment - time.monotonic())
