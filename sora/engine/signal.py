"""A flag that one thread waits for and any thread sets: a reader's only wait."""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from typing import Any

from sora.aside import cooperative


class Signal(ABC):
    """Set from any thread, waited for by one, cleared by the wait. There is one for every open stream, so that it is small:
    `Signal.new()` makes the kind that fits."""

    __slots__ = ()

    @staticmethod
    def new() -> Signal:
        """A signal that is not set."""
        return _HubSignal() if cooperative() else _LockSignal()

    @abstractmethod
    def set(self) -> None:
        """Wake the waiter, or the next wait. Never blocks."""

    @abstractmethod
    def wait(self, timeout: float) -> bool:
        """Until it is set, at most `timeout` seconds; whether it was set."""


class _LockSignal(Signal):
    """For threads: one lock."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:
                pass  # two threads set it at once; it is set

    def wait(self, timeout: float) -> bool:
        return self._lock.acquire(timeout=max(0.0, timeout))


class _HubSignal(Signal):
    """For greenlets: one timer while somebody waits. A lock of gevent's that is waited for has a Timeout with what it needs and a
    deeper stack, 2 KiB in all."""

    __slots__ = ("_hub", "_set", "_waiter")

    def __init__(self) -> None:
        self._set = False
        self._hub: Any = None  # of the waiter's thread
        self._waiter: Any = None

    def set(self) -> None:
        if self._set:
            return
        self._set = True  # before we look for a waiter, who looks here once it is one
        if self._waiter is not None:
            self._hub.loop.run_callback_threadsafe(self._wake)

    def wait(self, timeout: float) -> bool:
        if not self._set and timeout > 0:
            gevent = sys.modules["gevent"]
            self._hub = gevent.get_hub()
            self._waiter = gevent.getcurrent()
            timer = self._hub.loop.timer(timeout)
            try:
                timer.start(self._end, update=True)
                if not self._set:
                    self._hub.switch()
            finally:
                self._waiter = None
                timer.close()
        was, self._set = self._set, False
        return was

    # In the hub.

    def _wake(self) -> None:
        if self._set:  # else it is from a wait that is over
            self._end()

    def _end(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.switch()
