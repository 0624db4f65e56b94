"""An alarm on gevent's own loop: one timer for a whole call instead of one for each read."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any


class Alarm:
    """Calls `ring` when a deadline has passed that may have moved further away since. Setting it again costs a comparison."""

    def __init__(self, remaining: Callable[[], float], ring: Callable[[], None]) -> None:
        self._remaining = remaining
        self._ring = ring
        self._at = math.inf
        self._timer: Any = None

    def set(self, at: float) -> None:
        """Ring no later than the monotonic time `at`; does nothing when it is set for an earlier time already."""
        if at >= self._at:
            return
        self.stop()
        self._at = at
        loop = sys.modules["gevent"].get_hub().loop
        loop.update_now()  # a timer counts from the loop's own idea of now
        self._timer = loop.timer(max(at - time.monotonic(), 0.0))
        self._timer.start(self._wake)

    def stop(self) -> None:
        timer, self._timer, self._at = self._timer, None, math.inf
        if timer is not None:
            timer.close()

    def _wake(self) -> None:
        # In the hub: nothing here may wait.
        left = self._remaining()
        self.stop()
        if left > 0:
            self.set(time.monotonic() + left)
        else:
            self._ring()
