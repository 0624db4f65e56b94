"""The same GET again finds its run until somebody has read the end of it, and then begins another."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.engine.engine import Engine
from sora.errors import Conflict
from sora.events import Cursor
from sora.store.models import RunRow
from sora.store.runs import IMPLICIT, Run, RunStore, now
from tests.engine.workers import KEYRING, OWNER, Client, Workers, ended, order, read, told
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

KEY = IMPLICIT + "a" * 64
STALLED = "sim-n9-d0-stall3"


def get(engine: Engine, script: str = "sim-n20-d0", **given: Any) -> tuple[Run, bool]:
    return engine.begin(order(script, **{"idempotency_key": KEY, **given}))


def key_of(engine: Engine, run: Run) -> str | None:
    return engine.get(run.id, owner=OWNER).idempotency_key


def test_finds_the_run_under_way_on_any_worker(workers: Workers, simulator: Simulator) -> None:
    engine, other = workers(), workers()
    run, created = get(engine, STALLED)
    assert created
    told(engine, run, 4)

    for one in (engine, other):
        again, created = get(one, STALLED)
        assert (again.id, created) == (run.id, False)
    assert get(engine, STALLED, owner="다나")[1], "somebody else's is another"
    assert get(engine, STALLED, idempotency_key=IMPLICIT + "b" * 64)[1], "and so is another request"
    assert len([r for r in engine.list(OWNER) if r.idempotency_key == KEY]) == 1


def test_begins_another_once_the_end_was_read(workers: Workers) -> None:
    engine, other = workers(), workers()
    run, _ = get(engine)
    read(engine, run)
    second, created = get(engine)
    assert created and second.id != run.id, "at once where it was read"

    read(other, second)
    wait_until(lambda: key_of(engine, second) is None, what="the key's release")
    third, created = get(engine)
    assert created and third.id != second.id, "and elsewhere with the next turn of the journal"
    assert len(engine.list(OWNER)) == 3


def test_begins_another_after_a_failure_was_read(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run, _ = get(engine, "sim-n9-d0-error4")
    assert read(engine, run).events[-1] == "error"

    assert get(engine, "sim-n9-d0-error4")[1]


def test_finds_it_when_the_reader_was_cut(workers: Workers) -> None:
    engine, other = workers(), workers()
    run, _ = get(engine, "sim-n40-d5")
    client = Client(engine, run).until(5)
    client.leave()
    text = engine.text(ended(engine, run))
    engine.worker.round()

    again, created = get(other, "sim-n40-d5")

    assert (again.id, created) == (run.id, False), "the end has not been read by anybody"
    assert read(other, again).text == text
    wait_until(lambda: key_of(engine, run) is None, what="the key's release")


def test_is_not_ended_by_a_reader_that_had_to_stop_before_the_run(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run, _ = get(engine, STALLED)
    told(engine, run, 4)
    # A position of a later time than the log knows: this format can only end.
    assert read(engine, run, format="review", cursor=Cursor(0, 999)).events == ["error"]

    assert not get(engine, STALLED)[1]
    engine.worker.round()
    assert not get(engine, STALLED)[1]


@pytest.mark.parametrize(
    ("ago", "found"), [(dt.timedelta(minutes=9), True), (dt.timedelta(minutes=11), False)]
)
def test_is_found_for_ten_minutes(workers: Workers, ago: dt.timedelta, found: bool) -> None:
    engine, other = workers(), workers()
    run, _ = get(engine)
    ended(engine, run)
    with engine.database.write() as session:
        session.execute(sa.update(RunRow).where(RunRow.id == run.id).values(ended_at=now() - ago))

    again, created = get(other)

    assert created != found and (again.id == run.id) == found
    assert (key_of(engine, run) is None) != found


@pytest.mark.parametrize("old", ["none", "read", "stale"])
def test_at_the_same_moment_is_one_generation(workers: Workers, simulator: Simulator, old: str) -> None:
    engines = workers(), workers()
    if old != "none":
        run, _ = get(engines[0])
        ended(engines[0], run)
        if old == "read":
            read(engines[0], run)
            wait_until(lambda: key_of(engines[0], run) is None, what="the key's release")
        else:
            with engines[0].database.write() as session:
                session.execute(
                    sa.update(RunRow)
                    .where(RunRow.id == run.id)
                    .values(ended_at=now() - dt.timedelta(hours=1))
                )
    simulator.clear()
    barrier = threading.Barrier(12)

    def one(number: int) -> tuple[str, bool]:
        barrier.wait(10)
        run, created = get(engines[number % 2], "sim-n20-d20")
        return run.id, created

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(one, range(12)))

    assert len({run_id for run_id, _ in found}) == 1
    assert sum(created for _, created in found) == 1
    wait_until(lambda: simulator.requests(), what="the model's request")
    assert len(simulator.requests()) == 1


def test_needs_no_same_request_but_an_explicit_key_does(sqlite_workers: Workers) -> None:
    """What the server adds to a request, such as a name it makes for a conversation, does not make it another one."""
    engine = sqlite_workers()
    run, _ = get(engine, STALLED)

    assert get(engine, "sim-n9-d0")[0].id == run.id
    explicit, _ = get(engine, idempotency_key="a-key")
    read(engine, explicit)
    engine.worker.round()
    assert get(engine, idempotency_key="a-key") == (engine.get(explicit.id, owner=OWNER), False), "it stays"
    with pytest.raises(Conflict):
        get(engine, "sim-n9-d0", idempotency_key="a-key")


class Interleaved(RunStore):
    """A store whose look for a key finds that somebody else came first."""

    meanwhile: Callable[[], object] | None = None

    def find_by_key(self, session: Session, owner: str, key: str, *, mac_of: bytes) -> Run | None:
        if self.meanwhile is not None:
            self.meanwhile()
            self.meanwhile = None
        return super().find_by_key(session, owner, key, mac_of=mac_of)


def test_whose_place_is_taken_by_a_run_that_goes_begins_another(postgres_workers: Workers) -> None:
    """Its row meets another one's key, and when it looks whose that is, it is nobody's any more. (On SQLite nobody else can
    write between the two.)"""
    engine, other = postgres_workers(), postgres_workers()
    first, _ = get(other)
    ended(other, first)

    def is_released() -> None:
        with other.database.write() as session:
            other.store.release(session, [first.id])

    engine.store = store = Interleaved(KEYRING)
    store.meanwhile = is_released
    run, created = get(engine)

    assert created and run.id != first.id and store.meanwhile is None
    assert read(engine, run).events[-1] == "done"
