"""A worker without a key that the database needs: it starts nothing, and lays no hand on what it cannot read."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest

from sora.config import Config
from sora.engine.engine import Engine
from sora.errors import Overloaded
from sora.store import sealed
from sora.store.crypto import Keyring
from sora.store.database import Database
from tests.engine.workers import SETTINGS, Script, Workers, begin, die, ended, order, told
from tests.support.waiting import let_pass, wait_until

K1, K2 = (f"k{n}:{base64.b64encode(bytes(range(n - 1, n + 31))).decode()}" for n in (1, 2))


def engine(workers: Workers, keys: list[str], folder: Path) -> Engine:
    """A started engine with these keys; stop it."""
    config = Config(**SETTINGS | {"database_url": workers.url, "instance_path": str(folder)})
    database = Database(config.database, pool=2, timeout=config.database_timeout)
    made = Engine(
        config,
        database=database,
        keyring=Keyring(keys),
        provider=workers().provider,
        pipelines=[Script()],
    )
    made.start()
    return made


def close(engine: Engine) -> None:
    engine.stop(grace=1.0)
    engine.database.close()


def test_without_its_key_a_run_is_left_to_those_who_have_it(
    workers: Workers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = workers()
    run = begin(first, "sim-n400-d20")
    told(first, run, 20)
    without = engine(workers, [K2], tmp_path / "without")
    try:
        assert without.health()["keys"] is False and not without.worker.id
        assert "still need the key k1" in caplog.text
        with pytest.raises(Overloaded):
            without.begin(order())
        for alive in workers._engines:
            die(alive)
        let_pass(2.5 * SETTINGS["lease"])
        assert not without.get(run.id, owner=run.owner).final
        said = [record for record in caplog.records if "still need the key" in record.getMessage()]
        assert len(said) == 1, "once"
    finally:
        close(without)
    both = engine(workers, [K2, K1], tmp_path / "both")
    try:
        over = ended(both, run)
        assert over.status == "interrupted" and both.text(over)
    finally:
        close(both)


def test_a_key_that_nothing_needs_is_forgotten_by_itself(
    workers: Workers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with workers().database.write() as session:
        sealed.enlist(session, "k0")
    with caplog.at_level(logging.ERROR):
        other = engine(workers, [K1, K2], tmp_path / "other")
        try:
            wait_until(lambda: all(other.health().values()), what="its start")
            assert begin(other)
            assert not caplog.records
        finally:
            close(other)
