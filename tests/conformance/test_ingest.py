"""`flask sora ingest`, `documents` and `search`, as one types them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sora.cli import group
from sora.config import Config
from sora.store.database import Database
from sora.store.models import Base
from tests.support.server import ENCRYPTION_KEYS
from tests.support.simulator import Simulator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with documents, some of which cannot be read."""
    folder = tmp_path / "docs"
    (folder / "deeper").mkdir(parents=True)
    (folder / "휴가.md").write_text("# 휴가 규정\n\n연차는 15일이다.\n", "utf-8")
    (folder / "deeper" / "재고.csv").write_text("품번,수량\nABC-12345,128\n", "utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (folder / ".hidden.md").write_text("숨은 연차", "utf-8")
    return folder


class Commands:
    """The commands, on one database."""

    def __init__(self, instance: Path, database_url: str) -> None:
        self.env = {"SORA_INSTANCE_PATH": str(instance), "SORA_DATABASE_URL": database_url}
        self.env["SORA_ENCRYPTION_KEYS"] = ENCRYPTION_KEYS
        database = Database(Config(database_url=database_url).database)
        Base.metadata.create_all(database.engine)
        database.close()

    def result(self, *words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(group, words, env=self.env)
        assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
        return done

    def sora(self, *words: str, code: int = 0) -> str:
        return self.result(*words, code=code).stdout


@pytest.fixture
def commands(tmp_path: Path, database_url: str) -> Commands:
    return Commands(tmp_path / "instance", database_url)


def test_a_folder_is_put_in_found_changed_and_deleted(commands: Commands, folder: Path) -> None:
    first = commands.result("ingest", str(folder), code=1)
    assert "2 documents, 2 passages put in, 0 unchanged, 1 not read" in first.stdout
    assert f"{folder / 'broken.pdf'}: " in first.stderr

    shown = commands.sora("search", "연차가", "며칠?")
    assert "휴가 규정" in shown and "연차는 15일이다." in shown and "숨은" not in shown
    assert "품번: ABC-12345, 수량: 128" in commands.sora("search", "abc12345")

    (folder / "broken.pdf").unlink()
    (folder / "휴가.md").write_text("# 휴가 규정\n\n연차는 20일이다.\n", "utf-8")
    again = commands.sora("ingest", str(folder), str(folder / "휴가.md"))
    assert "1 documents, 1 passages put in, 1 unchanged, 0 not read" in again
    assert "연차는 20일이다." in (shown := commands.sora("search", "연차")) and "15일" not in shown

    listed = commands.sora("documents").splitlines()
    assert len(listed) == 2 and "휴가 규정" in listed[0] and "재고" in listed[1]
    commands.sora("documents", "--delete", listed[0].split()[0])
    assert commands.sora("search", "연차") == ""
    assert len(commands.sora("documents").splitlines()) == 1


def test_whose_documents_they_are(commands: Commands, folder: Path) -> None:
    commands.sora("ingest", "--owner", "u-1", str(folder / "휴가.md"))

    assert commands.sora("search", "연차") == "" == commands.sora("documents")
    assert "15일" in commands.sora("search", "--owner", "u-1", "연차")
    [line] = commands.sora("documents", "--owner", "u-1").splitlines()
    commands.sora("documents", "--delete", line.split()[0], code=1)
    commands.sora("ingest", "--owner", "u-1", "--shared", str(folder), code=2)
    commands.sora("ingest", str(folder / "nothing"), code=2)


def test_embeddings_are_made_where_there_is_a_model(
    commands: Commands, folder: Path, simulator: Simulator
) -> None:
    (folder / "broken.pdf").unlink()
    (folder / "battery.md").write_text("# battery replacement", "utf-8")
    commands.sora("ingest", str(folder / "휴가.md"))
    commands.sora("embed", code=1)
    assert commands.sora("search", "batery", "replacment") == ""

    # Each request fails the first time.
    commands.env |= {"SORA_EMBEDDING_MODEL": "sim-fail1x503", "SORA_PROVIDER_RETRIES": "0"}
    commands.env |= {"SORA_OPENAI_BASE_URL": simulator.url, "SORA_OPENAI_API_KEY": "k"}
    failed = commands.result("ingest", str(folder), code=1)
    assert "2 documents, 2 passages put in, 1 unchanged, 0 not read" in failed.stdout
    assert "0 vectors made, 3 passages without one" in failed.stdout
    assert "flask sora embed" in failed.stderr and "upstream_error" in failed.stderr

    commands.env["SORA_PROVIDER_RETRIES"] = "1"
    assert "3 vectors made, 0 passages without one" in commands.sora("embed")
    assert "battery replacement" in commands.sora("search", "batery", "replacment")
    asked = len(simulator.requests())
    assert "0 documents, 0 passages put in, 3 unchanged" in commands.sora("ingest", str(folder))
    assert commands.sora("embed") == ""
    assert len(simulator.requests()) == asked, "what has one costs nothing"


def test_names_that_are_no_text_or_too_long_stop_nothing(commands: Commands, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    deep = odd.joinpath(*["d" * 200] * 4)
    deep.mkdir(parents=True)
    (deep / "long.md").write_text("긴 경로", "utf-8")
    (odd / os.fsdecode(b"\xff.md")).write_text("연차는 15일이다.", "utf-8")

    done = commands.result("ingest", str(odd), code=1)

    assert "1 documents, 1 passages put in, 0 unchanged, 1 not read" in done.stdout
    assert "long.md: File name too long" in done.stderr
    assert "연차는 15일이다." in commands.sora("search", "연차")
