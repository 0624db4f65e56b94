"""What every test stands on: clean surroundings, real servers, and nothing left behind."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import pytest
from gevent import Greenlet
from hypothesis import settings

from tests.support import process
from tests.support.nginx import Nginx, nginx
from tests.support.nginx import binary as nginx_binary
from tests.support.postgres import Postgres, binaries
from tests.support.postgres import postgres as running_postgres
from tests.support.simulator import Simulator
from tests.support.simulator import simulator as running_simulator
from tests.support.waiting import wait_until

_greenlets: weakref.WeakSet[Greenlet] = weakref.WeakSet()

settings.register_profile("sora", deadline=None, print_blob=True)
settings.load_profile("sora")


def pytest_configure() -> None:
    """A developer's own settings and keys must not reach a test."""
    for name in list(os.environ):
        if name.startswith(("SORA_", "OPENAI_", "FLASK_", "PROMETHEUS_", "GUNICORN_")):
            del os.environ[name]
    Greenlet.add_spawn_callback(_greenlets.add)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true nothing is skipped: what is missing has to be there."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a thread, a greenlet or a child process running."""
    if "postgresql" in getattr(request.node, "callspec", _NoParameters).params.values():
        request.getfixturevalue("postgres")  # the session's server is not the test's that needs it first
    before, processes = _running(), set(process.children(os.getpid()))
    yield

    def left() -> list[object]:
        now = set(process.children(os.getpid()))
        # A server that the test restarted is another process, but not one more.
        return [*(_running() - before), *(now - processes if len(now) > len(processes) else ())]

    try:
        wait_until(lambda: not left(), timeout=3)
    except AssertionError:
        pytest.fail(f"left behind: {left()}")


class _NoParameters:
    params: ClassVar[dict[str, object]] = {}


def _running() -> set[object]:
    threads = {thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}
    return threads | {greenlet for greenlet in list(_greenlets) if greenlet.started and not greenlet.dead}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL. A test that stops or pauses it starts it again."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed · apt-get install postgresql")
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """A new empty PostgreSQL database."""
    return postgres.create_database()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A new SQLite database, not yet made."""
    return f"sqlite:///{tmp_path / 'sora.sqlite3'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A new empty database of each kind that Sora supports."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="session")
def _simulator() -> Iterator[Simulator]:
    with running_simulator() as server:
        yield server


@pytest.fixture
def simulator(_simulator: Simulator) -> Simulator:
    """The session's simulator, which has forgotten what other tests asked."""
    _simulator.clear()
    return _simulator


@pytest.fixture
def start_nginx() -> Callable[..., AbstractContextManager[Nginx]]:
    """`nginx` of tests.support: `with start_nginx(port) as proxy`."""
    if nginx_binary() is None:
        pytest.skip("nginx is not installed · apt-get install nginx-light")
    return nginx
