"""The vectors that this process has in memory, so that a search need not read them: shelf by shelf, the ones searched last."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.aside import aside
from sora.knowledge import index
from sora.store.models import VectorRow

#: Passages whose vectors are in the memory of a process at most: 300 MB of 1,536 numbers each. A shelf with more is not.
MOST = 50_000

_STEP = 256  # vectors that are read at once
_LOADING = 1.0  # seconds that one search spends on reading what is not in memory yet
_VECTORS = cast("sa.Table", VectorRow.__table__)


@dataclass(slots=True)
class _Shelf:
    """`changes`: those of the shelf that it is up to date with; None: it is read still."""

    size: int
    changes: int | None = None
    numbers: set[int] = field(default_factory=set)
    blocks: list[Any] = field(default_factory=list)


class Resident:
    """The vectors of one model. No number of a passage is given twice, and its vector never changes: what has come is read, what
    has gone is dropped."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._shelves: dict[int, _Shelf] = {}  # the last one used at the end

    def blocks(self, session: Session, shelf: int, changes: int, size: int) -> tuple[Sequence[Any], bool]:
        """The vectors of a shelf, and whether they are all of it: not of one with more than MOST, nor before they have been
        read, for which a search takes _LOADING seconds and leaves the rest to the next. Reads the database; works aside."""
        state = self._shelves.get(shelf)
        if state is None or (state.changes, state.size) != (changes, size):
            if not self._lock.acquire(blocking=False):  # another search reads; this one does without
                return [], False
            try:
                state = self._read(session, shelf, changes, size)
            finally:
                self._lock.release()
        elif self._shelves.pop(shelf, None) is state:
            self._shelves[shelf] = state
        return (state.blocks, True) if state.changes == changes and state.numbers else ([], False)

    def read(self, session: Session, shelf: int, numbers: Sequence[int], size: int) -> Sequence[Any]:
        """The vectors of some passages, from the database."""
        from sora.knowledge.proximity import block

        rows = (
            [(row.number, bytes(row.data)) for row in self._rows(session, shelf, numbers)] if numbers else []
        )
        return [aside(block, rows, size)] if rows else []

    def _read(self, session: Session, shelf: int, changes: int, size: int) -> _Shelf:
        from sora.knowledge.proximity import joined, without

        state = self._shelves.pop(shelf, None)
        if state is None or state.size != size:
            state = _Shelf(size)
        query = sa.select(_VECTORS.c.number).where(_VECTORS.c.shelf == shelf, _VECTORS.c.model == self._model)
        numbers = {number for (number,) in index.rows_of(session, query.limit(MOST + 1))}
        if len(numbers) > MOST:
            state = _Shelf(size, changes)
        else:
            state.changes = None
            if gone := state.numbers - numbers:
                state.blocks = aside(without, state.blocks, gone)
                state.numbers -= gone
            self._make_room(len(numbers))
            ends = time.monotonic() + _LOADING
            new = sorted(numbers - state.numbers)
            for start in range(0, len(new), _STEP):
                if time.monotonic() > ends:
                    break
                few = new[start : start + _STEP]
                state.blocks += self.read(session, shelf, few, size)
                state.numbers.update(few)
            else:
                state.changes = changes
            if len(state.blocks) > 2 + 2 * len(state.numbers) // _STEP:
                state.blocks = [aside(joined, state.blocks)]
        self._shelves[shelf] = state
        return state

    def _make_room(self, wanted: int) -> None:
        """Forget shelves, the one used longest ago first, until there is room for so many more."""
        while self._shelves and sum(len(state.numbers) for state in self._shelves.values()) + wanted > MOST:
            del self._shelves[next(iter(self._shelves))]

    def _rows(self, session: Session, shelf: int, numbers: Sequence[int]) -> Sequence[Any]:
        those = sa.and_(
            _VECTORS.c.shelf == shelf, _VECTORS.c.model == self._model, _VECTORS.c.number.in_(numbers)
        )
        return index.rows_of(
            session, sa.select(_VECTORS.c.number, _VECTORS.c.data).where(those).order_by(_VECTORS.c.number)
        )
