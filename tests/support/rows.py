"""What lies in a table, as a test looks for it."""

from __future__ import annotations

import sqlalchemy as sa

from sora.store.database import Database
from sora.store.models import Base


def count(database: Database, table: type[Base]) -> int:
    """How many rows there are."""
    with database.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
