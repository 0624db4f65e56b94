"""The engine without HTTP: two engines on one database are two workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sora.config import Config
from sora.engine.engine import Engine
from sora.store.database import Database
from sora.store.models import Base
from tests.engine.workers import Workers, create_tables
from tests.support.postgres import Postgres
from tests.support.simulator import Simulator


@pytest.fixture(scope="session")
def _postgres_url(postgres: Postgres) -> str:
    url = postgres.create_database()
    create_tables(url)
    return url


@pytest.fixture
def postgres_url(_postgres_url: str) -> str:
    """A PostgreSQL database with empty tables: one for all these tests, since making one takes longer than most of them."""
    database = Database(Config(database_url=_postgres_url).database)
    with database.write() as session:
        session.execute(sa.text("TRUNCATE " + ", ".join(Base.metadata.tables)))
    database.close()
    return _postgres_url


@pytest.fixture
def workers(database_url: str, simulator: Simulator, tmp_path: Path) -> Iterator[Workers]:
    """Makes engines on a new database, once with SQLite and once with PostgreSQL; ends them after the test."""
    workers = Workers(database_url, model_url=simulator.url, folder=tmp_path / "instance")
    yield workers
    workers.close()


@pytest.fixture
def sqlite_workers(sqlite_url: str, simulator: Simulator, tmp_path: Path) -> Iterator[Workers]:
    """The same with SQLite alone, for what the database has no part in."""
    workers = Workers(sqlite_url, model_url=simulator.url, folder=tmp_path / "instance")
    yield workers
    workers.close()


@pytest.fixture
def postgres_workers(postgres_url: str, simulator: Simulator, tmp_path: Path) -> Iterator[Workers]:
    """The same with PostgreSQL alone, for when it is away."""
    workers = Workers(postgres_url, model_url=simulator.url, folder=tmp_path / "instance")
    yield workers
    workers.close()


@pytest.fixture
def engine(workers: Workers) -> Engine:
    return workers()
