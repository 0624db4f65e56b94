"""The database for the commands that work on it, from the settings; what is wrong with either is said in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from sora.config import Config, load
from sora.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from sora.store.crypto import Keyring
    from sora.store.database import Database


@contextmanager
def opened(*, timeout: float | None = None) -> Iterator[tuple[Config, Database, Keyring]]:
    """The settings, the database they name, with one connection, and the keys for what is sealed in it. A call of the database
    may take `timeout` seconds; None: as the settings say."""
    from sqlalchemy.exc import ProgrammingError

    from sora.store.crypto import Keyring
    from sora.store.database import Database

    try:
        config = load(development=True)
        keyring = Keyring(config.encryption_keys)
        database = Database(config.database, pool=1, timeout=timeout or config.database_timeout)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    try:
        yield config, database, keyring
    except (StoreError, ProgrammingError) as error:
        raise click.ClickException(
            "데이터베이스가 답하지 않거나 아직 마이그레이션되지 않았습니다. · "
            f"The database does not answer, or is not migrated yet ({type(error).__name__})."
        ) from None
    finally:
        database.close()
