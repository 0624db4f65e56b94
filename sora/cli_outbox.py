"""`flask sora outbox …`: what waits for the app server, and the dead letters. Ids, owners and numbers, never what was written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from flask.cli import AppGroup

from sora.cli_database import opened

if TYPE_CHECKING:
    from sora.store.database import Database
    from sora.store.outbox import OutboxStore

group = AppGroup("outbox", help="Reviews on their way to the app server (SORA_SAVE_TO=http).")

_COLUMNS = ("id", "state", "attempts", "age", "last answer", "owner")


@group.command("list", with_appcontext=False)
def show() -> None:
    """List what is undelivered, in order. A dead entry was refused for good."""
    with _opened() as (database, outbox), database.read() as session:
        entries = outbox.list(session)
    rows = [
        (
            entry.id,
            "delivering" if entry.claimed else entry.state,
            str(entry.attempts),
            f"{max(0.0, time.time() - entry.created_at):.0f}s",
            entry.last_answer or "-",
            entry.owner,
        )
        for entry in entries
    ]
    for row in (_COLUMNS, *rows) if rows else ():
        widths = [max(len(line[column]) for line in (_COLUMNS, *rows)) for column in range(len(row) - 1)]
        click.echo(
            "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]])
        )


@group.command(with_appcontext=False)
@click.argument("entry", required=False)
@click.option("--all", "everything", is_flag=True, help="All that is undelivered.")
def retry(entry: str | None, everything: bool) -> None:
    """Deliver an entry now, though it waits for its next try or is dead."""
    if (entry is None) != everything:
        raise click.UsageError("ID 또는 --all 중 하나가 필요합니다. · Give an ID or --all.")
    with _opened() as (database, outbox), database.write() as session:
        count = outbox.retry(session, entry)
    if entry is not None and not count:
        raise _missing(entry)
    click.echo(f"{count}")


@group.command(with_appcontext=False)
@click.argument("entry")
def drop(entry: str) -> None:
    """Give an entry up: it is deleted, undelivered."""
    with _opened() as (database, outbox), database.write() as session:
        dropped = outbox.drop(session, entry)
    if not dropped:
        raise _missing(entry)


@contextmanager
def _opened() -> Iterator[tuple[Database, OutboxStore]]:
    """The database and the outbox in it."""
    from sora.store.outbox import OutboxStore

    with opened() as (_, database, keyring):
        yield database, OutboxStore(keyring)


def _missing(entry: str) -> click.ClickException:
    return click.ClickException(f"{entry}: 아웃박스에 없습니다. · not in the outbox.")
