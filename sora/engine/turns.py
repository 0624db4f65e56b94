"""Whose turn it is in a conversation: a run that nobody reads any more makes room for the next one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sora.errors import ConversationBusy

if TYPE_CHECKING:
    from sora.engine.engine import Engine

PATIENCE = 2.0  # seconds that a send waits for the run in its way
_LOOK = 0.05  # seconds between two looks at it


class Turns:
    """Makes way for a send where another run is under way in its conversation."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def make_way(self, busy: ConversationBusy, *, until: float) -> None:
        """Returns once the run in the way is final. It is superseded if it should end with its client and has no reader any
        more, on whichever worker; while it has one, that may be leaving, and is waited for until then (monotonic). Raises
        `busy` for a run that stays, StoreError. Blocks cooperatively."""
        wished = False
        while time.monotonic() < until:
            with self._engine.database.read() as session:
                run = self._engine.store.find(session, busy.run_id)
            if run is None or run.final:
                return
            if run.on_disconnect != "cancel":
                raise busy
            producer = self._engine.producers.get(run.id)
            if producer is None and not wished:
                self._wish(run.id, True)
                wished = True
            elif producer is not None and self._engine.worker.unread(producer):
                producer.cancel()
            time.sleep(_LOOK)
        if wished:
            # Should its reader lose the connection later, it has the usual time to come back.
            self._wish(busy.run_id, False)
        raise busy

    def _wish(self, run_id: str, wanted: bool) -> None:
        with self._engine.database.write() as session:
            self._engine.store.supersede(session, run_id, wanted)
