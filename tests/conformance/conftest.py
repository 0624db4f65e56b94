"""What the suites of the stores share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sora.config import Config
from sora.store.database import Database
from sora.store.models import Base


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with all tables, empty; each test runs on SQLite and on PostgreSQL."""
    database = Database(Config(database_url=database_url).database)
    Base.metadata.create_all(database.engine)
    yield database
    database.close()
