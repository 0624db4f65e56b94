"""Migrates the connection given (`config.attributes["connection"]`), else the database of the Flask app."""

from __future__ import annotations

from logging.config import fileConfig

import sqlalchemy as sa
from alembic import context

from sora.store.models import Base

_LOCK = 0x736F7261  # "sora": two machines that are deployed at once migrate one after the other


def migrate(connection: sa.Connection) -> None:
    # SQLite cannot alter a table in place: batch mode copies it.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        version_table=context.config.attributes.get("version_table", "alembic_version"),
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        context.run_migrations()


def engine() -> sa.Engine:
    from flask import current_app

    engine: sa.Engine = current_app.extensions["migrate"].db.engine
    return engine


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    if context.config.config_file_name is not None:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    if context.is_offline_mode():
        context.configure(
            dialect_name=engine().dialect.name, target_metadata=Base.metadata, literal_binds=True
        )
        with context.begin_transaction():
            context.run_migrations()
    else:
        with engine().connect() as connection:
            migrate(connection)
