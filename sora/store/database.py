"""The database: short transactions on SQLite or PostgreSQL that never hold up a gevent worker for long."""

from __future__ import annotations

import random
import select
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from sora import metrics
from sora.aside import aside
from sora.errors import StoreError

_WRITES = "sora_writes"
# A wait for the database first blocks the whole gevent worker for a moment, then goes on cooperatively. The database mostly
# answers sooner than a busy worker would give the waiting greenlet its turn again, and a transaction that yields at each of
# its statements keeps its connection from all others for as many turns.
_AT_ONCE = 0.02  # seconds
_AT_ONCE_SHARE = 0.5  # of the time at most, in the long run, however slow the database is
_AT_ONCE_BURST = 1.0  # seconds that may be saved up for a burst

# A checkpoint brings what stands in SQLite's log into its file.
_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"
_LONG = 16_000  # pages of the log, 64 MiB: from here on it is begun anew
_TOO_LONG = 4 * _LONG  # pages at which a commit makes the checkpoint that nobody has made

_bound = threading.local()  # .deadline: when this thread's (greenlet's) transaction must have had its answer

#: In the `info` of a session that has written much to SQLite: its commit runs aside.
ASIDE = "aside"


class Database:
    """Sessions for one short transaction each: `read()` and `write()`. Each blocks for `timeout` seconds at most, in all.

    On SQLite the writers of a process take turns, and the one whose turn it is takes the file's lock as it begins (BEGIN
    IMMEDIATE); both are waited for cooperatively. Nothing in a block may block on anything but the database, nor begin
    another write. On PostgreSQL psycopg2 waits through `select.poll`, which gevent makes cooperative. Raises StoreError
    when the database does not answer or drops the connection; then it is not known whether a commit took place.
    IntegrityError passes through.

    `lease`: seconds after which a process that stands still is given up. PostgreSQL ends its open transaction by then, so that
    those who take its runs over do not wait for the rows it holds.
    """

    def __init__(self, url: str, *, pool: int = 5, timeout: float = 10.0, lease: float = 10.0) -> None:
        self.url = sa.make_url(url)
        self.timeout = timeout
        self.dialect = self.url.get_backend_name()
        # Waiting for the file's lock blocks a gevent worker for a moment: only one of its writers may do so at a time.
        self._turn = threading.Lock() if self.dialect == "sqlite" else None
        self._written = False  # since the last checkpoint
        self._checkpointing = False
        if self.dialect == "sqlite":
            self.engine = _sqlite(self.url, pool=pool, timeout=timeout)
        else:
            self.engine = _postgresql(self.url, pool=pool, timeout=timeout, lease=lease)
        self._writer = self.engine.execution_options(**{_WRITES: True})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading."""
        with _within(self.timeout), _translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose transaction commits at the end of the block, or rolls back when the block raises."""
        with (
            _within(self.timeout),
            self._in_turn(),
            _translated(),
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session
            # Beside a checkpoint a commit may have to wait until the disk is done with that.
            if self._turn is not None and (self._checkpointing or session.info.get(ASIDE)):
                _commit(session)
        self._written = True

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=self.timeout):
            raise StoreError("SQLite: other writes take too long")
        try:
            yield
        finally:
            self._turn.release()

    def checkpoint(self) -> None:
        """Bring what stands in SQLite's log into its file, aside, so that the commits of a gevent worker need not wait for the
        disk; to be called every few seconds. Writers wait only while a long log is brought to its end, so that it can be
        begun anew. Nothing on PostgreSQL. Raises StoreError."""
        if self._turn is None or not self._written:
            return
        self._written = False
        with _translated():
            connection = self.engine.raw_connection()
        self._checkpointing = True
        try:
            _, length, done = _aside(connection.driver_connection, _CHECKPOINT)
            if length > max(done, _LONG):
                with self._in_turn():
                    _aside(connection.driver_connection, _CHECKPOINT)
        finally:
            self._checkpointing = False
            connection.close()

    def close(self) -> None:
        """Close the connections that nobody uses now; those in use are closed as they come back."""
        self.engine.dispose()


def _commit(session: Session) -> None:
    """The commit of SQLite, which copies all that was written into its log; the session's own finds it done."""
    session.flush()
    _aside(session.connection().connection.driver_connection, "COMMIT")


def _aside(connection: Any, statement: str) -> Any:
    """The first row of a statement that may take its time. Raises StoreError."""
    try:
        return aside(lambda: connection.execute(statement).fetchone())
    except sqlite3.OperationalError as error:
        raise StoreError(f"SQLite: {error.sqlite_errorname}") from error


class _Pool(QueuePool):
    """A pool that tells how long each caller waited for its connection, the making of a new one included."""

    def connect(self) -> PoolProxiedConnection:
        with metrics.pool_wait.time():
            return super().connect()


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Bounds what this thread waits for PostgreSQL in the block, however many steps that is."""
    outer = getattr(_bound, "deadline", None)
    deadline = time.monotonic() + seconds
    _bound.deadline = deadline if outer is None else min(deadline, outer)
    try:
        yield
    finally:
        _bound.deadline = outer


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError:
        raise
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError) as error:
        # The statement and its parameters stay out of the message.
        raise StoreError(type(error.__cause__ or error).__name__) from error
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise StoreError(type(error.__cause__ or error).__name__) from error
        raise


def _sqlite(url: sa.URL, *, pool: int, timeout: float) -> sa.Engine:
    arguments = {"timeout": _AT_ONCE, "check_same_thread": False}
    engine = sa.create_engine(
        url,
        poolclass=_Pool,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=timeout,
        connect_args=arguments,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` below does
        _patiently(connection, "PRAGMA journal_mode=WAL", timeout)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_TOO_LONG}")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        _patiently(connection.connection.driver_connection, "BEGIN IMMEDIATE" if writes else "BEGIN", timeout)

    return engine


def _patiently(connection: Any, statement: str, timeout: float) -> None:
    """Run a statement that needs a lock, waiting for it in short sleeps, which are cooperative under gevent."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if (
                error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                or time.monotonic() > deadline
            ):
                raise StoreError(f"SQLite: {error.sqlite_errorname}") from error
        time.sleep(random.uniform(0.001, 0.006))


def _postgresql(url: sa.URL, *, pool: int, timeout: float, lease: float) -> sa.Engine:
    import psycopg2.extensions

    psycopg2.extensions.set_wait_callback(_Waiter())
    # In green mode our callback keeps the time at this end; these end what goes on at the server's.
    milliseconds, idle = int(timeout * 1000), int(min(lease, 2 * timeout) * 1000)
    options = f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={idle}"
    arguments = {"options": options, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    return sa.create_engine(
        url,
        poolclass=_Pool,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=timeout,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=arguments,
    )


class _Waiter:
    """psycopg2's wait callback: waits for the server, until the deadline of the transaction that the thread is in.

    Without it psycopg2 stops the whole gevent worker; with it and without a deadline a silent server holds its caller for
    ever (connect_timeout is ignored in this mode), as it does a connection of the process that is not ours. Raising makes
    psycopg2 close the connection.
    """

    def __init__(self) -> None:
        self._credit = _AT_ONCE_BURST  # seconds that may be waited without yielding
        self._credited_at = time.monotonic()
        gevent = sys.modules.get("gevent.monkey")
        self._real_poll = gevent.get_original("select", "poll") if gevent is not None else select.poll

    def __call__(self, connection: Any) -> None:
        import psycopg2
        from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

        deadline = getattr(_bound, "deadline", None)
        while (state := connection.poll()) != POLL_OK:
            if state not in (POLL_READ, POLL_WRITE):
                raise psycopg2.OperationalError("unexpected state of the connection")
            wanted = select.POLLIN if state == POLL_READ else select.POLLOUT
            if self._ready_at_once(connection.fileno(), wanted):
                continue
            poll = select.poll()
            poll.register(connection.fileno(), wanted)
            if not poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000):
                raise psycopg2.OperationalError("the database did not answer in time")

    def _ready_at_once(self, fd: int, wanted: int) -> bool:
        started = time.monotonic()
        self._credit += (started - self._credited_at) * _AT_ONCE_SHARE
        self._credit, self._credited_at = min(self._credit, _AT_ONCE_BURST), started
        poll = self._real_poll()
        poll.register(fd, wanted)
        ready = bool(poll.poll(min(max(self._credit, 0.0), _AT_ONCE) * 1000))
        self._credit -= time.monotonic() - started
        return ready
