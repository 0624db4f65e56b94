"""A flag that one thread waits for and any thread sets: a reader's only wait."""

from __future__ import annotations

import threading


class Signal:
    """Set from any thread, waited for by one, cleared by the wait. Made of one lock, so it is cheap under gevent too."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake the waiter, or the next wait. Never blocks."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:
                pass  # two threads set it at once; it is set

    def wait(self, timeout: float) -> bool:
        """Until it is set, at most `timeout` seconds; whether it was set."""
        return self._lock.acquire(timeout=max(0.0, timeout))
