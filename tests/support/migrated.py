"""Databases that are up to date. The first of a kind is brought there by its migrations, which takes longer than most tests; each
later one that is new becomes a copy of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import sqlalchemy as sa

_up_to_date: set[str] = set()
_files: list[bytes] = []  # an SQLite file without a row, once there was one
_templates: dict[sa.URL, str] = {}  # a PostgreSQL server's maintenance database -> the name of one to copy


def bring_up_to_date(url: str, upgrade: Callable[[], object]) -> None:
    """Gives this database the tables of the newest migration; `upgrade` runs the migrations, where there is nothing to copy."""
    if url not in _up_to_date:
        (_file if url.startswith("sqlite:///") else _database)(url, upgrade)
        _up_to_date.add(url)


def _file(url: str, upgrade: Callable[[], object]) -> None:
    file = Path(url.removeprefix("sqlite:///"))
    if file.exists():
        upgrade()
    elif _files:
        file.write_bytes(_files[0])
    else:
        upgrade()
        _files.append(file.read_bytes())


def _database(url: str, upgrade: Callable[[], object]) -> None:
    parts = sa.make_url(url)
    name, server = parts.database, parts.set(database="postgres")
    [(tables,)] = _run(parts, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    if tables:
        upgrade()
    elif server in _templates:
        _run(server, f'DROP DATABASE "{name}"', f'CREATE DATABASE "{name}" TEMPLATE "{_templates[server]}"')
    else:
        upgrade()
        _run(server, f'CREATE DATABASE "{name}_template" TEMPLATE "{name}"')
        _templates[server] = f"{name}_template"


def _run(url: sa.URL, *statements: str) -> list[tuple[int]]:
    """The rows of the last statement, if it has any; each is a transaction of its own."""
    with closing(psycopg2.connect(url.render_as_string(hide_password=False))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
