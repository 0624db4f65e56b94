"""Runs that should end with their clients, and those that should not."""

from __future__ import annotations

import time

from sora.engine.engine import Engine
from tests.engine.workers import OWNER, Client, Script, Unreliable, Workers, begin, ended, order
from tests.support.waiting import let_pass, wait_until

STALLED = "sim-n9-d0-stall3"


def stays(engine: Engine, run_id: str, *, seconds: float) -> None:
    """The run is not ended while so much time passes, and the engine has looked."""
    let_pass(seconds)
    assert not engine.get(run_id, owner=OWNER).final


def test_the_last_reader_takes_the_run_along(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine, STALLED, on_disconnect="cancel")
    clients = [Client(engine, run).until(4) for _ in range(2)]
    left_at = 0.0
    for client in clients:
        left_at = time.monotonic()
        client.leave()

    saved = ended(engine, run)
    assert 0.3 <= time.monotonic() - left_at < 2.0
    assert (saved.status, engine.text(saved)) == ("cancelled", clients[0].text)


def test_one_reader_is_enough(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine, STALLED, on_disconnect="cancel")
    leaving, staying = Client(engine, run).until(4), Client(engine, run).until(4)
    leaving.leave()

    stays(engine, run.id, seconds=0.7)
    staying.leave()
    assert ended(engine, run).status == "cancelled"


def test_a_reader_that_comes_back_in_time_saves_the_run(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine, STALLED, on_disconnect="cancel")
    first = Client(engine, run).until(4)
    first.leave()
    second = Client(engine, run, cursor=first.cursor, resumed=True)

    stays(engine, run.id, seconds=0.7)
    second.leave()
    assert ended(engine, run).status == "cancelled"


def test_a_run_that_nobody_has_read_is_no_orphan(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine, STALLED, on_disconnect="cancel")

    stays(engine, run.id, seconds=0.7)


def test_a_run_that_is_to_go_on_goes_on(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine, "sim-n60-d20")
    client = Client(engine, run).until(3)
    client.leave()

    saved = ended(engine, run)
    assert saved.status == "completed" and engine.text(saved).startswith(client.text)


def test_who_decides(sqlite_workers: Workers) -> None:
    """The request, else the setting, else the kind."""

    class Tied(Script):
        on_disconnect = "cancel"

    kinds = sqlite_workers(Script()), sqlite_workers(Tied())
    settings = sqlite_workers(on_disconnect="cancel")

    def decided(engine: Engine, given: str | None) -> str:
        run, _ = engine.begin(order("sim-n1-d0", on_disconnect=given))
        ended(engine, run)
        return run.on_disconnect

    assert [decided(engine, None) for engine in (*kinds, settings)] == ["continue", "cancel", "cancel"]
    assert [decided(engine, "continue") for engine in (*kinds, settings)] == ["continue"] * 3
    assert decided(kinds[0], "cancel") == "cancel"


def test_a_reader_on_another_worker_counts_also_while_it_cannot_be_heard(sqlite_workers: Workers) -> None:
    engine, other = sqlite_workers(database=Unreliable, lease=30.0), sqlite_workers(lease=30.0)
    run = begin(engine, STALLED, on_disconnect="cancel")
    remote = Client(other, run).until(4)
    wait_until(lambda: engine.producers[run.id].reads_elsewhere, what="the other worker's sign")
    engine.database.loses = lambda: "commit"  # type: ignore[attr-defined]
    stays(engine, run.id, seconds=2.6)
    engine.database.loses = lambda: ""  # type: ignore[attr-defined]
    stays(engine, run.id, seconds=0.6)

    left_at = time.monotonic()
    remote.leave()
    assert ended(engine, run).status == "cancelled"
    assert time.monotonic() - left_at < 5.0
