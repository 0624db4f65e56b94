"""Stopping: what can end ends, what cannot says so, and nothing new begins."""

from __future__ import annotations

import threading
import time

import pytest
import sqlalchemy as sa

from sora.engine.engine import Engine
from sora.errors import Draining
from sora.store.models import WorkerRow
from tests.engine.workers import OWNER, Client, Workers, begin, order, read
from tests.support.waiting import wait_until


def stopping(engine: Engine, *, grace: float) -> threading.Thread:
    thread = threading.Thread(target=engine.stop, kwargs={"grace": grace}, daemon=True)
    thread.start()
    wait_until(lambda: engine.draining)
    return thread


def test_runs_come_to_their_end_and_nothing_new_begins(workers: Workers) -> None:
    engine, other = workers(), workers()
    run = begin(engine, "sim-n60-d10", idempotency_key="k")
    client, remote = Client(engine, run).until(3), Client(other, run)
    began = time.monotonic()
    thread = stopping(engine, grace=8.0)

    with pytest.raises(Draining) as refused:
        begin(engine)
    assert refused.value.retry_after
    again, created = engine.begin(order("sim-n60-d10", idempotency_key="k"))
    assert (again.id, created) == (run.id, False)
    assert engine.health()["accepting"] is False

    for one in (client, remote):
        one.end()
        assert one.error is None and one.events[-1] == "done"
    thread.join(5)
    assert time.monotonic() - began < 4.0, "it does not wait for the whole grace"
    assert other.get(run.id, owner=OWNER).status == "completed"
    assert other.text(other.get(run.id, owner=OWNER)) == client.text == remote.text


def test_the_rest_is_interrupted_and_says_so(workers: Workers) -> None:
    engine, other = workers(), workers()
    runs = [begin(engine, "sim-n9-d0-stall3"), begin(engine, "sim-first9000"), begin(engine, "sim-n900-d10")]
    clients = [Client(engine, run).until(1) for run in runs]
    clients[0].until(4)

    engine.stop(grace=0.8)

    for run, client in zip(runs, clients, strict=True):
        client.end()
        saved = other.get(run.id, owner=OWNER)
        assert client.error is None and client.events[-1] == "error" and len(client.terminals) == 1
        assert client.frames[-1].json()["code"] == "interrupted" and client.frames[-1].json()["retryable"]
        assert (saved.status, saved.epoch, saved.last_seq) == ("interrupted", 1, client.cursor.seq)
        assert other.text(saved) == client.text
    assert [bool(client.text) for client in clients] == [True, False, True]


def test_readers_of_other_workers_runs_are_sent_away(sqlite_workers: Workers) -> None:
    engine, other = sqlite_workers(), sqlite_workers()
    run = begin(engine, "sim-n80-d20")
    remote = Client(other, run).until(3)

    other.stop(grace=5.0)

    remote.end()
    assert isinstance(remote.error, ConnectionResetError) and not remote.terminals
    rest = read(engine, run, cursor=remote.cursor, resumed=True)
    assert rest.events[-1] == "done"
    assert remote.text + rest.text == engine.text(engine.get(run.id, owner=OWNER))


def test_the_worker_is_known_to_be_gone(sqlite_workers: Workers) -> None:
    engine, other = sqlite_workers(), sqlite_workers()
    engine.stop(grace=1.0)
    engine.stop(grace=1.0)

    with other.database.read() as session:
        assert session.scalar(sa.select(WorkerRow.alive).where(WorkerRow.id == engine.worker.id)) is False
    assert read(other, begin(other)).events[-1] == "done"
