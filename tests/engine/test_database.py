"""The database under the engine: short transactions that hold up nobody, and plain words when it is away."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sora.config import Config
from sora.errors import StoreError
from sora.store.database import Database
from sora.store.models import WorkerRow
from sora.store.workers import beat, give_up, register
from tests.engine.workers import OWNER, Client, Workers, begin, create_tables, die, read
from tests.support.postgres import Postgres
from tests.support.waiting import in_time, let_pass, wait_until


@contextmanager
def opened(url: str, *, pool: int = 5, timeout: float = 2.0, lease: float = 10.0) -> Iterator[Database]:
    database = Database(Config(database_url=url).database, pool=pool, timeout=timeout, lease=lease)
    yield database
    database.close()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    create_tables(database_url)
    with opened(database_url) as database:
        yield database


def add(database: Database, *workers: str) -> None:
    with database.write() as session:
        for worker in workers:
            register(session, worker, host="h", pid=1)


def known(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(sa.select(WorkerRow.id)))


def test_a_write_is_committed_or_leaves_nothing(database: Database) -> None:
    add(database, "a")
    with pytest.raises(IntegrityError):
        add(database, "b", "a")
    add(database, "c")

    assert known(database) == {"a", "c"}
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_what_is_not_committed_is_not_seen(database: Database) -> None:
    with database.write() as session:
        register(session, "a", host="h", pid=1)
        session.flush()
        assert known(database) == set()
    assert known(database) == {"a"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_stands_still_in_a_transaction_holds_its_rows_for_a_lease(database_url: str) -> None:
    create_tables(database_url)
    with opened(database_url, timeout=20, lease=0.5) as still, opened(database_url, timeout=20) as other:
        add(still, "a")

        waited = []

        def stand_still() -> None:
            with still.write() as session:
                beat(session, "a")
                began = time.monotonic()
                with other.write() as another:
                    assert give_up(another, "a")
                waited.append(time.monotonic() - began)
                beat(session, "a")

        with pytest.raises(StoreError):
            stand_still()
        assert waited and 0.3 < waited[0] < 5


def refused(ask: Callable[[], object], *, after: float = 0.0) -> float:
    """How long it took to say that the database does not answer; not sooner than `after` so many seconds."""
    began = time.monotonic()
    with pytest.raises(StoreError):
        ask()
    seconds = time.monotonic() - began
    assert seconds > after
    return seconds


def test_a_pool_that_is_exhausted_says_so_in_time(database_url: str) -> None:
    create_tables(database_url)
    with opened(database_url, pool=1, timeout=0.3) as database, database.read() as session:
        session.connection()
        assert in_time(lambda: refused(lambda: known(database), after=0.25), within=1.0)


class TestSQLite:
    def test_a_checkpoint_brings_what_was_written_into_the_file(
        self, sqlite_url: str, tmp_path: Path
    ) -> None:
        create_tables(sqlite_url)
        with opened(sqlite_url) as database:
            add(database, *(f"worker-{number}" for number in range(20)))
            file = Path(str(database.url.database))
            before, copy = file.read_bytes(), tmp_path / "copy.db"
            database.checkpoint()
            assert file.read_bytes() != before
            shutil.copy(file, copy)  # without its log
            with opened(f"sqlite:///{copy}") as copied:
                assert known(copied) == known(database) != set()
            at_rest = file.stat().st_mtime_ns
            database.checkpoint()
            assert file.stat().st_mtime_ns == at_rest, "nothing was written since"

    def test_the_log_is_begun_anew_however_much_is_written(self, sqlite_url: str) -> None:
        create_tables(sqlite_url)
        with opened(sqlite_url) as database:
            log = Path(f"{database.url.database}-wal")
            with database.write() as session:
                session.execute(sa.text("CREATE TABLE much (many BLOB)"))
            for _ in range(24):
                with database.write() as session:
                    session.execute(sa.text("INSERT INTO much VALUES (zeroblob(4194304))"))
                database.checkpoint()
            assert log.stat().st_size < 40_000_000, "of 100 MB"

    def test_writers_wait_for_each_other_and_hold_up_nobody(self, sqlite_url: str) -> None:
        create_tables(sqlite_url)
        with opened(sqlite_url) as database:
            attempts = count()
            assert in_time(lambda: self.gap_while_writers_wait(database, next(attempts)), within=0.05)
            assert len(known(database)) == 6 * next(attempts)

    def gap_while_writers_wait(self, database: Database, attempt: int) -> float:
        """The longest time that nobody else had a turn, while five writers waited for one that took its time."""
        holding, release, stop = (threading.Event() for _ in range(3))
        gap = 0.0

        def hold() -> None:
            with database.write() as session:
                register(session, f"{attempt}", host="h", pid=1)
                holding.set()
                release.wait(10)

        def tick() -> None:
            nonlocal gap
            last = time.monotonic()
            while not stop.wait(0.002):
                now = time.monotonic()
                gap, last = max(gap, now - last), now

        threads = [threading.Thread(target=hold), threading.Thread(target=tick)]
        for thread in threads:
            thread.start()
        assert holding.wait(5)
        writers = [threading.Thread(target=add, args=(database, f"{attempt}-{n}")) for n in range(4)]
        writers.append(threading.Thread(target=add, args=(database, f"{attempt}-x")))
        for writer in writers:
            writer.start()
        let_pass(0.4)
        assert all(writer.is_alive() for writer in writers)
        release.set()
        for writer in (*writers, threads[0]):
            writer.join(10)
        stop.set()
        threads[1].join(5)
        return gap

    def test_a_lock_that_is_never_free_says_so_in_time(self, sqlite_url: str) -> None:
        create_tables(sqlite_url)
        with opened(sqlite_url, timeout=0.4) as holder, opened(sqlite_url, timeout=0.4) as database:
            add(holder, "a")
            with holder.write() as session:
                session.connection()
                assert in_time(lambda: refused(lambda: add(database, "b"), after=0.35), within=1.2)
                assert known(database) == {"a"}, "reading needs no lock"
            add(database, "b")


class TestPostgreSQL:
    def test_that_does_not_answer_says_so_in_time(self, postgres_url: str, postgres: Postgres) -> None:
        with opened(postgres_url, timeout=0.5) as database, opened(postgres_url, timeout=0.5) as unused:
            add(database, "a")
            postgres.pause()
            try:
                for ask in (
                    lambda: known(database),
                    lambda: add(database, "b"),
                    lambda: known(unused),
                ):
                    assert in_time(partial(refused, ask), within=0.9)
            finally:
                postgres.resume()
            wait_until(lambda: "a" in known(database))
            add(database, "c")

    def test_that_answers_slowly_holds_up_nobody(self, postgres_url: str) -> None:
        with opened(postgres_url) as database:
            add(database, "a")
            done = threading.Event()

            def slow() -> None:
                with database.read() as session:
                    session.execute(sa.text("SELECT pg_sleep(0.5)"))
                done.set()

            thread = threading.Thread(target=slow)
            thread.start()
            turns = 0
            while not done.wait(0.005):
                turns += 1
            thread.join()
            assert turns > 20

    def test_bounds_a_statement_at_the_server_too(self, postgres_url: str) -> None:
        with opened(postgres_url, timeout=0.5) as database:
            with pytest.raises(StoreError), database.read() as session:
                session.execute(sa.text("SELECT pg_sleep(5)"))
            assert known(database) == set()

    def test_leaves_other_connections_of_the_process_alone(self, postgres_url: str) -> None:
        with opened(postgres_url, timeout=0.3) as database:
            add(database, "a")
            connection = psycopg2.connect(postgres_url)
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_sleep(0.6)")
            finally:
                connection.close()


def test_readers_hold_no_connection(workers: Workers) -> None:
    engine, other = workers(database_pool=2, heartbeat=30.0), workers(database_pool=2, heartbeat=30.0)
    run = begin(engine, "sim-n9-d0-stall3")
    clients = [Client(one, run) for one in (engine, other) for _ in range(50)]
    for client in clients:
        client.until(4)
    die(engine), die(other)

    for one in (engine, other):
        wait_until(lambda one=one: one.database.engine.pool.checkedout() == 0, timeout=2)
    engine.cancel(run.id, owner=OWNER)
    for client in clients[:50]:
        client.end()
        assert client.events[-1] == "cancelled"
    other.worker.round()
    for client in clients[50:]:
        client.end()
        assert client.events[-1] == "cancelled"


def test_many_runs_share_two_connections(workers: Workers) -> None:
    engine = workers(database_pool=2)
    runs = [begin(engine, "sim-n20-d5") for _ in range(30)]

    for client in [Client(engine, run) for run in runs]:
        client.end()
        assert client.error is None and client.events[-1] == "done"
    assert {engine.get(run.id, owner=OWNER).status for run in runs} == {"completed"}
    assert read(engine, runs[0]).text
