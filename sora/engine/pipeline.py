"""The port of a pipeline: what a run of one kind does, and how its result is saved."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.orm import Session

from sora.engine.generation import Drawn, Generate, Generated
from sora.events import Event, Extra
from sora.store.attachments import Attachment
from sora.store.runs import Run

Steps = Generator[Event | Generate | Drawn, Generated | None, None]


@dataclass(frozen=True, slots=True)
class Ended:
    """A run at its end, as its pipeline gets it to save. status: completed, failed, cancelled or interrupted; extras: its
    sources, its metadata and its result, in their order."""

    run: Run
    request: bytes
    status: str
    text: str
    extras: Sequence[Extra] = ()


class Pipeline(Protocol):
    """One kind of run. `request` is what the kind's own schema encoded; the engine only stores it."""

    kind: str
    #: What happens when the last reader leaves and neither request nor settings say: continue or cancel.
    on_disconnect: str

    def begin(self, session: Session, run: Run, request: bytes, files: Sequence[Attachment]) -> None:
        """Write what the run rests on, in the transaction that starts it. May raise RequestError: then nothing was started.
        `files` came with the request; a run that tries another one again gets none, and has those of `run.retry_of`."""
        ...

    def steps(self, run: Run, request: bytes) -> Steps:
        """The run, step by step: each Event yielded is logged; each Generate or Drawn yielded is carried out (its deltas are
        logged as they arrive) and answered with what was generated. May raise RunError. Blocks cooperatively only."""
        ...

    def save(self, session: Session, ended: Ended) -> None:
        """Write what the run is for, in the transaction that ends it: all of it is committed, or none. Called again when
        the transaction has to be tried again; must not block on anything but the session."""
        ...
