"""The spool: endings that could not be saved before the process had to go, encrypted on disk, until the database is back."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sora.engine.pipeline import Ended
from sora.events import Event, Logged
from sora.store.crypto import UnreadableError
from sora.store.runs import UNFINISHED, Ending, Run

if TYPE_CHECKING:
    from sora.engine.engine import Engine

logger = logging.getLogger(__name__)


class _Entry(msgspec.Struct, frozen=True):
    run_id: str
    epoch: int
    ending: Ending
    events: list[Logged]
    database: str = ""


class Spool:
    """Files under SORA_INSTANCE_PATH/spool, one per run and epoch, each written whole or not at all."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._database = engine.database.url.render_as_string()  # without its password

    def put(self, run: Run, ending: Ending, events: Sequence[Event]) -> None:
        """Keep a run's ending and its whole log, the terminal event included. Blocks for a disk write."""
        self._folder.mkdir(parents=True, exist_ok=True)
        plain = msgspec.json.encode(
            {
                "run_id": run.id,
                "epoch": run.epoch,
                "ending": ending,
                "events": events,
                "database": self._database,
            }
        )
        path = self._folder / f"{run.id}-{run.epoch}"
        draft = path.with_suffix(".part")
        with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(
                self._engine.keyring.seal(plain, table="spool", column="ending", row=path.name, owner="")
            )
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        logger.warning("run %s: ending spooled, the database is away", run.id)

    def replay(self) -> None:
        """Save what is spooled here. An entry leaves the spool once the database has it, or has something better.
        Raises StoreError while the database is away; an entry that cannot be read stays, and is told in our log."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.iterdir()):
            if path.suffix == ".part":
                continue
            try:
                sealed = path.read_bytes()
                plain = self._engine.keyring.open(
                    sealed, table="spool", column="ending", row=path.name, owner=""
                )
                entry = msgspec.json.decode(plain, type=_Entry)
            except FileNotFoundError:
                continue  # another worker of this machine was faster
            except (OSError, UnreadableError, msgspec.DecodeError) as error:
                logger.error("spool entry %s cannot be read: %s", path.name, type(error).__name__)
                continue
            if self._save(entry):
                path.unlink(missing_ok=True)

    def _save(self, entry: _Entry) -> bool:
        """Whether the entry is done with."""
        engine = self._engine
        with engine.database.write() as session:
            run = engine.store.find(session, entry.run_id)
            if run is None:
                # It was deleted; or another application keeps its spool here too, and the run is in that one's database.
                return entry.database in ("", self._database)
            ttl, epoch, saved = engine.config.run_ttl, run.epoch, False
            if run.epoch > entry.epoch:
                # Another worker has taken the run meanwhile: what it saves is a part of what we hold.
                if run.status in UNFINISHED:
                    return False  # it is not done yet
                saved, epoch = (
                    engine.store.replace_interrupted(session, run, entry.ending, ttl=ttl),
                    epoch + 1,
                )
            elif run.status in UNFINISHED:
                saved = engine.store.end(session, run, entry.ending, ttl=ttl)
            if saved:
                engine.log.rewrite(session, run.id, epoch, entry.events)
                request = engine.store.request_of(run)
                engine.save(
                    session, Ended(run, request, entry.ending.status, entry.ending.text, entry.ending.extras)
                )
        if saved:
            engine.log.drop(entry.run_id)  # the partial may still be in our memory
        logger.warning("run %s: spooled ending %s", entry.run_id, "saved" if saved else "was not needed")
        return True
