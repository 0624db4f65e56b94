"""What dies is brought to an end by others; what only waits is not."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.engine.engine import Engine
from sora.engine.pipeline import Ended
from sora.errors import StoreError
from sora.events import ORIGIN, Cursor, text_of
from sora.store.models import JournalRow, RunRow, WorkerRow
from sora.store.runs import Run
from tests.engine.workers import (
    OWNER,
    Client,
    Script,
    Unreliable,
    Workers,
    begin,
    die,
    ended,
    order,
    read,
    told,
)
from tests.engine.workers import text_of as shown
from tests.support.postgres import Postgres
from tests.support.waiting import wait_until


def journal(engine: Engine, run: Run) -> list[tuple[int, int, int, bytes]]:
    columns = (JournalRow.first_seq, JournalRow.last_seq, JournalRow.epoch, JournalRow.payload)
    query = sa.select(*columns).where(JournalRow.run_id == run.id).order_by(JournalRow.first_seq)
    with engine.database.read() as session:
        return [(first, last, epoch, payload) for first, last, epoch, payload in session.execute(query)]


def unfinished(engine: Engine) -> int:
    query = sa.select(sa.func.count()).where(RunRow.status.in_(("pending", "running")))
    with engine.database.read() as session:
        return session.scalar(query) or 0


class TestAWorkerThatDies:
    def test_leaves_runs_that_another_ends(self, workers: Workers) -> None:
        dying, other = workers(), workers(lease=0.5)
        run = begin(dying, "sim-n120-d10")
        local, remote = Client(dying, run), Client(other, run).until(8)
        die(dying)
        died_at = time.monotonic()
        held = text_of(other.recovery.events(run))

        saved = ended(other, run)

        assert 0.4 <= time.monotonic() - died_at < 3.0
        assert (saved.status, saved.error_code, saved.epoch) == ("interrupted", "interrupted", 2)
        assert (saved.worker, saved.finish_reason) == (other.worker.id, "error")
        assert other.text(saved) == held != ""
        remote.end()
        assert remote.error is None and remote.events[-1] == "error" and len(remote.terminals) == 1
        assert remote.terminals[0].json()["code"] == "interrupted" and remote.terminals[0].json()["retryable"]
        assert remote.text == held and "reset" not in remote.events
        # Its producer goes on until it is told by the database, and writes nothing more.
        rows = journal(other, run)
        wait_until(lambda: not dying.produces(run.id), what="the old producer's end")
        assert journal(other, run) == rows and other.get(run.id, owner=OWNER) == saved
        local.end()
        assert isinstance(local.error, ConnectionResetError) and not local.terminals
        rest = read(dying, run, cursor=local.cursor)
        assert [frame.data for frame in rest.terminals] == [remote.terminals[0].data]
        assert shown(local.frames + rest.frames) == held, "what it was shown beyond was taken back"

    def test_leaves_a_run_without_a_word(self, sqlite_workers: Workers) -> None:
        dying = sqlite_workers()
        die(dying)
        run = begin(dying, "sim-n9-d0-stall3")
        client = Client(dying, run).until(4)
        client.leave()
        other = sqlite_workers(lease=0.5)

        saved = ended(other, run)
        assert (saved.status, other.text(saved), saved.last_seq) == ("interrupted", "", 1)
        assert read(other, run).events == ["error"]
        rest = read(other, run, cursor=client.cursor)
        assert rest.events == ["reset", "error"] and shown(client.frames + rest.frames) == ""

    def test_leaves_a_cancelled_run_cancelled(self, workers: Workers) -> None:
        dying, other = workers(), workers(lease=0.5)
        run = begin(dying, "sim-n9-d0-stall3")
        remote = Client(other, run).until(4)
        die(dying)
        other.cancel(run.id, owner=OWNER)

        saved = ended(other, run)
        remote.end()
        assert (saved.status, saved.error_code) == ("cancelled", None)
        assert remote.events[-1] == "cancelled" and other.text(saved) == remote.text != ""

    def test_leaves_runs_that_are_each_taken_once(self, workers: Workers) -> None:
        dying = workers()
        runs = [begin(dying, "sim-n9-d0-stall3") for _ in range(12)]
        for run in runs:
            told(dying, run, 4)
        dying.worker.round()
        die(dying)
        others = [workers(lease=0.5) for _ in range(3)]
        clients = [Client(others[n % 3], run) for n, run in enumerate(runs)]

        for run, client in zip(runs, clients, strict=True):
            saved = ended(others[0], run)
            client.end()
            assert (saved.status, saved.epoch, saved.last_seq) == ("interrupted", 2, 5)
            assert client.events == ["started", "delta", "delta", "delta", "error"]
            assert client.text == others[0].text(saved)
        assert unfinished(others[0]) == 0

    def test_and_comes_back_is_a_new_worker(self, workers: Workers) -> None:
        paused = workers()
        run = begin(paused, "sim-n1000-d10")
        client = Client(paused, run).until(5)
        die(paused)
        other = workers(lease=0.5)
        saved, old = ended(other, run), paused.worker.id

        paused.worker.round()

        client.end()
        assert isinstance(client.error, ConnectionResetError) and not client.terminals
        assert paused.worker.id not in ("", old, other.worker.id)
        wait_until(lambda: not paused.produces(run.id), what="the old producer's end")
        rest = read(other, run, cursor=client.cursor, resumed=True)
        assert shown(client.frames + rest.frames) == other.text(saved)
        assert rest.events[-1] == "error"
        # It works again, also as a reader of what it lost.
        assert read(paused, run).text == other.text(saved)
        again = begin(paused)
        assert read(paused, again).events[-1] == "done"
        assert ended(other, again).worker == paused.worker.id

    def test_before_its_first_round_drops_what_it_had_not_begun(self, sqlite_workers: Workers) -> None:
        paused, other = sqlite_workers(), sqlite_workers(lease=0.5)
        die(paused)
        wait_until(lambda: not alive(other, paused.worker.id), what="its giving up")
        run = begin(paused, "sim-headers9000")
        saved = ended(other, run)
        paused.worker.round()

        wait_until(lambda: not paused.produces(run.id))
        paused.worker.round()
        assert saved.status == "interrupted"
        assert [row[:3] for row in journal(other, run)] == [(1, 1, 2)]
        assert read(paused, run).events == ["error"]

    def test_and_is_given_up_while_a_run_is_written_down_drops_it(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers(database=Unreliable)

        def given_up() -> str:
            for run_id, producer in list(engine.producers.items()):
                producer.drop()
                engine.log.drop(run_id, epoch=1)
            return ""

        engine.database.loses = given_up  # type: ignore[attr-defined]
        run = begin(engine, "sim-first9000")
        engine.database.loses = lambda: ""  # type: ignore[attr-defined]

        wait_until(lambda: not engine.produces(run.id), what="the producer's end")
        assert engine.recovery.events(run) == []

    def test_leaves_what_its_pipeline_cannot_save_and_it_ends_all_the_same(
        self, sqlite_workers: Workers
    ) -> None:
        def saving(session: Session, end: Ended) -> None:
            raise ZeroDivisionError

        dying, other = sqlite_workers(), sqlite_workers(Script(saving=saving), lease=0.5)
        runs = [begin(dying, "sim-n9-d0-stall3") for _ in range(2)]
        die(dying)

        for run in runs:
            assert ended(other, run).status == "interrupted"


def alive(engine: Engine, worker: str) -> bool:
    with engine.database.read() as session:
        return bool(session.scalar(sa.select(WorkerRow.alive).where(WorkerRow.id == worker)))


def test_workers_that_live_keep_their_runs(sqlite_workers: Workers) -> None:
    idle, busy = sqlite_workers(lease=0.4), sqlite_workers(lease=0.4)
    ids = idle.worker.id, busy.worker.id
    run = begin(busy, "sim-n60-d20")
    until = time.monotonic() + 1.5
    wait_until(lambda: idle.worker.beat_at > until)

    assert (idle.worker.id, busy.worker.id) == ids
    assert alive(busy, idle.worker.id) and alive(idle, busy.worker.id)
    assert ended(idle, run).status == "completed"


class TestADatabaseThatIsAway:
    """PostgreSQL stands still, or is stopped, for longer than a lease."""

    @pytest.fixture(params=["paused", "stopped"])
    def away(
        self, request: pytest.FixtureRequest, postgres: Postgres
    ) -> Iterator[tuple[Callable[[], None], ...]]:
        leave, come_back = {
            "paused": (postgres.pause, postgres.resume),
            "stopped": (lambda: postgres.stop("immediate"), postgres.start),
        }[request.param]
        back = False

        def once() -> None:
            nonlocal back
            if not back:
                back = True
                come_back()

        yield leave, once
        once()

    def test_costs_no_run(
        self, postgres_workers: Workers, away: tuple[Callable[[], None], Callable[[], None]]
    ) -> None:
        leave, come_back = away
        engine, other = (postgres_workers(database_timeout=0.4) for _ in range(2))
        ids = engine.worker.id, other.worker.id
        runs = [begin(engine, f"sim-n{100 + 4 * n}-d20") for n in range(8)]
        clients = [Client(engine, run) for run in runs]
        remote = [Client(other, run).until(2) for run in runs[:4]]
        leave()
        left_at = time.monotonic()
        for client in clients:
            wait_until(lambda client=client: "progress" in client.events, what="word of the saving")
        late = Client(engine, runs[0])
        wait_until(lambda: time.monotonic() - left_at > 1.6)
        assert not any(client.terminals for client in clients + remote)
        come_back()

        for run, client in zip(runs, clients, strict=True):
            client.end()
            saved = ended(engine, run)
            assert (saved.status, saved.epoch, saved.worker) == ("completed", 1, ids[0])
            assert client.error is None and client.events[-1] == "done" and len(client.terminals) == 1
            assert client.text == engine.text(saved)
            saving = [frame.json()["stage"] for frame in client.frames if frame.event == "progress"]
            assert saving == ["saving"]
        for client in [*remote, late]:
            client.end()
            assert client.error is None and client.events[-1] == "done" and len(client.terminals) == 1
        for run, client in zip(runs, remote, strict=False):
            assert client.text == engine.text(ended(engine, run))
        assert "progress" in late.events
        assert (engine.worker.id, other.worker.id) == ids
        assert unfinished(other) == 0

    def test_answers_again_by_itself(
        self, postgres_workers: Workers, away: tuple[Callable[[], None], Callable[[], None]]
    ) -> None:
        leave, come_back = away
        engine = postgres_workers(database_timeout=0.4)
        done = begin(engine)
        read(engine, done)
        leave()
        began = time.monotonic()
        with pytest.raises(StoreError):
            begin(engine)
        assert time.monotonic() - began < 2.0
        assert engine.health()["database"] is False
        assert read(engine, done).events[-1] == "done", "what is in memory can be read"
        come_back()

        def works() -> Run | None:
            try:
                return begin(engine)
            except StoreError:
                return None

        assert read(engine, wait_until(works, what="the database")).events[-1] == "done"
        wait_until(lambda: not unfinished(engine), what="the end of what was in doubt")


class TestALostReply:
    """The database did it, and could not say so."""

    def test_to_the_ending_leaves_one_end(self, workers: Workers) -> None:
        lost: list[str] = []

        def saving(session: Session, end: Ended) -> None:
            if not lost:
                lost.append(end.status)
                engine.database.loses = lambda: "reply"  # type: ignore[attr-defined]
            else:
                engine.database.loses = lambda: ""  # type: ignore[attr-defined]

        engine = workers(Script(saving=saving), database=Unreliable)
        run = begin(engine)
        client = Client(engine, run)
        wait_until(lambda: lost)
        wait_until(lambda: "progress" in client.events or not client.reading)
        engine.database.loses = lambda: ""  # type: ignore[attr-defined]
        client.end()

        saved = engine.get(run.id, owner=OWNER)
        assert saved.status == "completed"
        assert client.error is None and client.events[-1] == "done" and len(client.terminals) == 1
        assert client.cursor == Cursor(1, saved.last_seq or 0)
        assert client.text == engine.text(saved)
        assert read(engine, run).events.count("done") == 1

    def test_to_the_start_leaves_no_run_without_an_end(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers(database=Unreliable)
        engine.database.loses = lambda: "reply"  # type: ignore[attr-defined]
        with pytest.raises(StoreError):
            begin(engine, idempotency_key="k")
        engine.database.loses = lambda: ""  # type: ignore[attr-defined]

        run, created = engine.begin(order(idempotency_key="k"))
        assert not created
        assert ended(engine, run).status == "interrupted"
        assert read(engine, run).events == ["error"]

    def test_to_anything_at_any_time_leaves_the_answer_whole(self, workers: Workers) -> None:
        chances = random.Random(5)
        engine, other = workers(database=Unreliable), workers()
        engine.database.loses = lambda: chances.choice(["", "", "reply", "commit"])  # type: ignore[attr-defined]
        runs: list[Run] = []
        while len(runs) < 10:
            try:
                runs.append(begin(engine, "sim-n30-d2"))
            except StoreError:
                pass
        clients = [[Client(engine, run), Client(other, run)] for run in runs]

        for run, pair in zip(runs, clients, strict=True):
            saved = ended(other, run)
            assert saved.status == "completed"
            for client in pair:
                client.end()
                assert client.error is None and len(client.terminals) == 1 and client.events[-1] == "done"
                assert client.text == other.text(saved)
        wait_until(lambda: not unfinished(other), what="the end of what was in doubt")

    def test_to_a_claimant_leaves_nothing_unfinished(self, workers: Workers) -> None:
        chances = random.Random(6)
        dying = workers()
        runs = [begin(dying, "sim-n9-d0-stall3") for _ in range(3)]
        for run in runs:
            told(dying, run, 4)
        dying.worker.round()
        die(dying)
        other = workers(database=Unreliable, lease=0.5)
        other.database.loses = lambda: chances.choice(["", "", "reply", "commit"])  # type: ignore[attr-defined]
        clients = [Client(other, run) for run in runs]

        for run, client in zip(runs, clients, strict=True):
            saved = ended(other, run)
            client.end()
            assert (saved.status, client.events[-1], len(client.terminals)) == ("interrupted", "error", 1)
            assert client.text == other.text(saved) != ""
            assert read(other, run, cursor=ORIGIN).text == client.text
