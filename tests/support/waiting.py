"""Waiting for a condition instead of sleeping and hoping; and for time itself, where that is what a test is about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], *, timeout: float = 10.0, what: str = "the condition", interval: float = 0.01
) -> T:
    """Returns the first true value of `condition`.

    It is asked every `interval` seconds, at least once, and AssertionError says `what` did not come within
    `timeout` seconds. An exception of the condition is the caller's. Cooperative under gevent's patch.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not within {timeout:g} s (last value {value!r})")
        pause.wait(interval)


def in_time(seconds: Callable[[], float], *, within: float, tries: int = 3) -> bool:
    """Whether the quickest of up to `tries` tries took at most `within` seconds, as `seconds` tells of each.

    For a bound that is near to what is promised: what else the machine has to do can only add to a try, so that the quickest is
    the one to hold to it, and what is too slow by itself is so each time.
    """
    return any(seconds() <= within for _ in range(tries))


def let_pass(seconds: float) -> None:
    """Lets so much time go by: for a test that nothing happens in it, that something grows too old, or that comes at any moment.
    What can be told by a condition is waited for by `wait_until`. Cooperative under gevent's patch."""
    threading.Event().wait(seconds)
