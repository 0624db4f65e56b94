"""The tables as they are made: Sora's migrations, run on a database that may be somebody else's."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from sora.store.database import Database

#: The migrations: `migrations/` of the repository, which the package holds too.
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
#: Where a database that others migrate too notes how far ours are: `alembic_version` is theirs.
VERSION_TABLE = "sora_version"


def upgrade(database: Database, *, version_table: str = VERSION_TABLE) -> None:
    """Make Sora's tables, or bring them up to date. Two at once take turns (PostgreSQL). Raises StoreError, and what
    SQLAlchemy raises for a table of that name that is not ours."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["version_table"] = version_table
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
