"""Cancelling: in every phase, from every worker, and against the end itself."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.orm import Session

from sora.engine.engine import Engine
from sora.engine.pipeline import Ended
from sora.store.runs import Run
from tests.engine.workers import OWNER, Client, Script, Workers, begin, ended, read, told
from tests.support.simulator import Simulator
from tests.support.waiting import let_pass, wait_until


def cancelled(engine: Engine, run: Run, client: Client) -> None:
    """The run ended as cancelled, everywhere, and kept what the client had been shown."""
    client.end()
    saved = ended(engine, run)
    assert client.error is None and client.events[-1] == "cancelled" and len(client.terminals) == 1
    assert (saved.status, saved.error_code, saved.finish_reason) == ("cancelled", None, None)
    assert engine.text(saved) == client.text
    assert saved.last_seq == client.cursor.seq


@pytest.mark.parametrize(
    ("script", "events"), [("sim-headers9000", 1), ("sim-first9000", 1), ("sim-n9-d0-stall3", 4)]
)
def test_while_the_model_is_silent(
    sqlite_workers: Workers, simulator: Simulator, script: str, events: int
) -> None:
    engine = sqlite_workers()
    run = begin(engine, script)
    client = Client(engine, run).until(events)
    wait_until(lambda: simulator.requests(), what="the model's request")

    assert engine.cancel(run.id, owner=OWNER).id == run.id

    cancelled(engine, run, client)
    wait_until(lambda: simulator.requests()[0]["cut_by_client"], what="the end of the upstream connection")


def test_while_the_model_speaks(engine: Engine) -> None:
    run = begin(engine, "sim-n5000-d1")
    client = Client(engine, run).until(20)

    engine.cancel(run.id, owner=OWNER)

    cancelled(engine, run, client)
    assert 20 <= len(client.frames) < 5000


def test_from_another_worker(workers: Workers) -> None:
    engine, other = workers(), workers()
    run = begin(engine, "sim-n5000-d2")
    here, there = Client(engine, run), Client(other, run).until(5)

    other.cancel(run.id, owner=OWNER)

    cancelled(engine, run, here)
    cancelled(other, run, there)


def test_before_the_first_event(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine, "sim-first9000")
    engine.cancel(run.id, owner=OWNER)

    cancelled(engine, run, Client(engine, run))


def test_while_it_is_saved_comes_too_late(workers: Workers) -> None:
    saving, go_on = threading.Event(), threading.Event()

    def save(session: Session, end: Ended) -> None:
        saving.set()
        assert go_on.wait(10)

    engine = workers(Script(saving=save))
    run = begin(engine)
    client = Client(engine, run)
    assert saving.wait(10)
    # On SQLite the cancel waits for the ending's transaction.
    with ThreadPoolExecutor(1) as pool:
        cancel = pool.submit(engine.cancel, run.id, owner=OWNER)
        go_on.set()
        cancel.result(10)

    client.end()
    assert client.events[-1] == "done" and len(client.terminals) == 1
    assert ended(engine, run).status == "completed"


def test_again_changes_nothing(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine, "sim-n9-d0-stall3")
    client = Client(engine, run).until(4)
    for _ in range(3):
        engine.cancel(run.id, owner=OWNER)

    cancelled(engine, run, client)
    assert engine.cancel(run.id, owner=OWNER).status == "cancelled"
    assert engine.get(run.id, owner=OWNER) == ended(engine, run)


def test_a_completed_run_stays_completed(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine)
    read(engine, run)

    assert engine.cancel(run.id, owner=OWNER).status == "completed"
    assert read(engine, run).events[-1] == "done"


def test_racing_completion_leaves_one_end(workers: Workers) -> None:
    """200 times, from either worker, close to the end: one terminal event, and the row says the same."""
    engines = [workers(journal_interval=0.02), workers(journal_interval=0.02)]
    delay = 0.01

    def race(turn: int) -> str:
        nonlocal delay
        canceller = engines[turn % 2]
        run = begin(engines[0], "sim-n10-d2")
        clients = [Client(engine, run) for engine in engines[: 2 if turn % 4 < 2 else 1]]
        let_pass(delay)
        canceller.cancel(run.id, owner=OWNER)
        for client in clients:
            client.end()
        saved = ended(engines[1], run)
        status = {"done": "completed", "cancelled": "cancelled"}
        for client in clients:
            assert client.error is None
            assert [status[frame.event] for frame in client.terminals] == [saved.status]
            assert client.events[-1] == client.terminals[0].event
            assert client.text == engines[1].text(saved)
        assert {event.__class__.__name__ for event in engines[1].recovery.events(run)[-1:]} == {
            {"completed": "Done", "cancelled": "Cancelled"}[saved.status]
        }
        # Whatever the machine's pace, the next one comes nearer to the end.
        delay = min(delay * 1.2, 0.5) if saved.status == "cancelled" else delay / 1.2
        return saved.status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(race, range(200)))

    assert {"completed", "cancelled"} == set(statuses)


def test_a_run_that_is_still_starting_is_seen_by_others(sqlite_workers: Workers) -> None:
    engine, other = sqlite_workers(), sqlite_workers()
    run = begin(engine, "sim-first9000")
    client = Client(other, run)
    other.cancel(run.id, owner=OWNER)

    cancelled(other, run, client)
    told(engine, run, 2)
