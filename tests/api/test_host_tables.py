"""Sora's tables in a host's database: made by Sora beside theirs, or by their own migrations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from sora import cli
from sora.config import Config
from sora.store import schema
from sora.store.models import Base
from tests.support import process
from tests.support.host import create_host
from tests.support.server import ENCRYPTION_KEYS


def test_the_tables_come_into_their_database_beside_theirs(database_url: str, tmp_path: Path) -> None:
    """`flask sora db-upgrade`: theirs has an `alembic_version` with a revision of the same name as ours."""
    url = Config(database_url=database_url).database
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('0001')"))
    settings = {"SORA_OPENAI_API_KEY": "k", "SORA_ENCRYPTION_KEYS": ENCRYPTION_KEYS}
    app = create_host(url, settings | {"SORA_INSTANCE_PATH": str(tmp_path / "instance")})
    try:
        for _ in range(2):
            done = app.test_cli_runner().invoke(cli.group, ["db-upgrade"])
            assert done.exit_code == 0, done.output
        tables = sa.inspect(engine).get_table_names()
        assert {"runs", "journal", schema.VERSION_TABLE} <= set(tables)
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "0001"
    finally:
        app.extensions["sora"].engine.database.close()
        engine.dispose()


def test_their_own_migrations_may_make_them(database_url: str, tmp_path: Path) -> None:
    """With one line changed in the env.py that Flask-Migrate wrote, `flask db migrate` finds ours as it finds theirs."""
    url = Config(database_url=database_url).database
    program = tmp_path / "host.py"
    program.write_text(
        "from flask_migrate import Migrate\n"
        "from tests.support.host import create_host\n"
        "from tests.support.host.notes import db\n"
        f"app = create_host({url!r})\n"
        "Migrate(app, db)\n"
    )
    env = {
        **os.environ,
        "PYTHONPATH": str(process.ROOT),
        "SORA_OPENAI_API_KEY": "k",
        "SORA_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
        "SORA_INSTANCE_PATH": str(tmp_path / "instance"),
    }

    def flask(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "host", *command],
            cwd=tmp_path, env=env, timeout=60, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    flask("db", "init")
    path = tmp_path / "migrations" / "env.py"
    text = path.read_text()
    one_line = "target_metadata=get_metadata()"
    assert text.count(one_line) == 2, "offline and online"
    path.write_text(
        "from sora.store.models import Base\n"
        + text.replace(one_line, "target_metadata=[get_metadata(), Base.metadata]")
    )
    flask("db", "migrate")
    flask("db", "upgrade")
    flask("db", "check")

    engine = sa.create_engine(url)
    inspector = sa.inspect(engine)
    assert {"notes", *Base.metadata.tables} <= set(inspector.get_table_names())
    for name, table in Base.metadata.tables.items():
        assert {column["name"] for column in inspector.get_columns(name)} == set(table.columns.keys())
    engine.dispose()
