"""A database in which very many runs have finished: one real run, copied."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.loads import saturated
from bench.relays import SORA, Relays
from bench.workspace import Workspace


def many(place: Workspace, relays: Relays, count: int) -> Path:
    """A file with `count` finished runs and their reviews, all one user's, as long as those of the load `saturated`."""
    with relays.start(SORA) as relay:
        saturated(place.client, relay, streams=1)
    path = relay.home / "sora.db"
    with sqlite3.connect(path) as database:
        run_id = database.execute(
            "SELECT run_id FROM reviews ORDER BY length(feedback) DESC LIMIT 1"
        ).fetchone()[0]
        ids = [secrets.token_hex(11) for _ in range(count)]
        _copy(database, "runs", {"id": run_id}, [{"id": new, "log_expires_at": 0.0} for new in ids])
        copies = [{"id": secrets.token_hex(11), "run_id": new} for new in ids]
        _copy(database, "reviews", {"run_id": run_id}, copies)
        database.execute("DELETE FROM journal")
    database.close()
    return path


def _copy(
    database: sqlite3.Connection, table: str, where: dict[str, str], changes: Sequence[Mapping[str, object]]
) -> None:
    """Copies of the one row that `where` finds, each with its changes."""
    ((column, value),) = where.items()
    cursor = database.execute(f"SELECT * FROM {table} WHERE {column} = ?", (value,))
    names = [entry[0] for entry in cursor.description]
    row = dict(zip(names, cursor.fetchone(), strict=True))
    marks = ", ".join(f":{name}" for name in names)
    database.executemany(f"INSERT INTO {table} VALUES ({marks})", ({**row, **change} for change in changes))
