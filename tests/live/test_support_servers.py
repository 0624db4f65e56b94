"""The tests' own servers do what the tests that use them rely on."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

from tests.support import process
from tests.support.postgres import Postgres
from tests.support.waiting import wait_until


def count(url: str) -> int:
    connection = psycopg2.connect(url)
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM kept")
        return int(cursor.fetchone()[0])
    finally:
        connection.close()


def test_postgres_keeps_its_data_through_a_crash(postgres: Postgres, postgres_url: str) -> None:
    connection = psycopg2.connect(postgres_url)
    connection.autocommit = True
    connection.cursor().execute("CREATE TABLE kept AS SELECT 1")
    connection.close()
    postgres.stop("immediate")
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(postgres_url)
    postgres.start()
    assert count(postgres_url) == 1


def test_a_paused_postgres_does_not_answer(postgres: Postgres) -> None:
    request = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # SSLRequest, which a server answers with one byte
    with socket.create_connection(("127.0.0.1", postgres.port), timeout=0.3) as connection:
        postgres.pause()
        try:
            connection.sendall(request)
            with pytest.raises(TimeoutError):
                connection.recv(1)
        finally:
            postgres.resume()
        connection.settimeout(10)
        assert connection.recv(1) in b"SN"


def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from tests.support import process; "
        "child = process.start(['sleep', '60'], log=Path('/dev/null')); "
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=process.ROOT) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert process.alive(child)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not process.alive(child), what="the child's end")


def test_what_is_below_a_process_ends_with_it(tmp_path: Path) -> None:
    running = process.start(["sh", "-c", "sleep 60 & wait"], log=tmp_path / "log")
    (child,) = wait_until(lambda: process.children(running.pid), what="the child")
    process.signal_quietly(child, signal.SIGSTOP)
    process.stop(running, sig=signal.SIGKILL)
    wait_until(lambda: not process.alive(child), what="the child's end")
