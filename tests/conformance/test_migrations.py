"""The migrations make exactly the tables of the models, on every database Sora supports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as Alembic
from alembic.runtime.migration import MigrationContext

from sora.config import Config
from sora.store.database import Database
from sora.store.models import Base

MIGRATIONS = Path(__file__).parents[2] / "migrations" / "alembic.ini"


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    database = Database(Config(database_url=database_url).database)
    yield database.engine
    database.close()


def migrate(engine: sa.Engine, revision: str) -> None:
    alembic = Alembic(MIGRATIONS)
    with engine.connect() as connection:
        alembic.attributes["connection"] = connection
        go = command.downgrade if revision == "base" else command.upgrade
        go(alembic, revision)


def test_migrations_make_the_tables_of_the_models(engine: sa.Engine) -> None:
    migrate(engine, "head")

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    assert set(sa.inspect(engine).get_table_names()) == {*Base.metadata.tables, "alembic_version"}


def test_migrating_again_changes_nothing(engine: sa.Engine) -> None:
    migrate(engine, "head")
    migrate(engine, "head")

    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_heads() == ("0008",)


def test_migrations_can_be_undone(engine: sa.Engine) -> None:
    migrate(engine, "head")
    migrate(engine, "base")

    assert sa.inspect(engine).get_table_names() == ["alembic_version"]
