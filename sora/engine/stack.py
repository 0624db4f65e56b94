"""A stack of its own for a deep call, so that the greenlet that then waits for long keeps none of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from greenlet import getcurrent, greenlet

P = ParamSpec("P")
T = TypeVar("T")


def apart(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `work`, which under gevent has a greenlet of its own meanwhile. Blocks and raises as `work` does; it has the caller's
    context variables, but not what is local to the caller's greenlet (`threading.local`).

    A greenlet's frames are in pages that it keeps to its end, as many as it ever needed at once. What parks thousands of
    greenlets in shallow places must not have them go deep before.
    """
    current = getcurrent()
    if current.parent is None:
        return work(*args, **kwargs)
    child = greenlet(work)
    child.gr_context = current.gr_context
    result: T = child.switch(*args, **kwargs)
    return result
