"""The garbage that reference counts do not find, looked for at a good moment.

A full collection looks at everything there is: with 9,000 streams open that took 1.1 s, in which nobody got a token, and one of
the middle generation 40 ms. What the youngest one finds is found as ever, and a run that has ended leaves nothing to find
(tests/engine/test_garbage.py); all others are made by a `Collector`.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

_NEVER = 2**31 - 1
_GENERATIONS = (700, _NEVER, _NEVER)  # of new objects a few at a time, as ever; of older ones none by itself
_STATM = Path("/proc/self/statm")


class Collector:
    """Makes full collections in the place of Python: when the process is idle, or its memory has grown much since the last."""

    def __init__(self, idle: Callable[[], bool], *, growth: int = 256 * 2**20) -> None:
        """`growth`: bytes of resident memory, and a quarter of what there was comes on top."""
        self._idle = idle
        self._growth = growth
        self._young = 0  # collections as of the last full one: without more there is nothing to find
        self._memory = 0
        # What is loaded stays for good: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GENERATIONS)
        self._note()

    def step(self) -> None:
        """One look, to be taken every second or so. A collection blocks; 100,000 objects take about 20 ms."""
        if gc.get_stats()[0]["collections"] == self._young:
            return
        if self._idle() or _resident() > self._memory * 1.25 + self._growth:
            gc.collect()
            self._note()

    def _note(self) -> None:
        self._young = gc.get_stats()[0]["collections"]
        self._memory = _resident()


def _resident() -> int:
    """Bytes of memory that the process has."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
