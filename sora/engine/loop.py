"""Work done again and again in the background, on a thread (greenlet) of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sora.errors import StoreError

logger = logging.getLogger(__name__)


class Loop:
    """Calls `step` every `interval` seconds until `stop`. A step that fails is logged, once per kind of failure in a row,
    and tried again at the next turn: nothing that happens in one may end the loop."""

    def __init__(self, name: str, interval: float, step: Callable[[], None]) -> None:
        self._interval = interval
        self._step = step
        self._woken = threading.Event()
        self._stopping = False
        self._failing = ""
        self._name = name
        self._thread = threading.Thread(target=self._run, name=f"sora-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Have the next turn begin at once, from any thread."""
        self._woken.set()

    def stop(self, *, timeout: float) -> None:
        """End after the step under way, waiting at most `timeout` seconds for it. One that is started later does nothing."""
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._woken.wait(self._interval)
            self._woken.clear()
            if self._stopping:
                return
            try:
                self._step()
            except Exception as error:
                name = type(error).__name__
                if name != self._failing:
                    logger.warning("%s: %s", self._name, name, exc_info=not isinstance(error, StoreError))
                self._failing = name
            else:
                if self._failing:
                    logger.info("%s: works again", self._name)
                self._failing = ""
