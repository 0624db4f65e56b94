"""Work that would hold up a worker's streams, done on a thread of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

_FREED = 500  # objects: a fraction of a millisecond


def aside(work: Callable[..., T], *args: Any) -> T:
    """`work(*args)`; under gevent on a real thread, while this greenlet alone waits. It must not wait for greenlets itself."""
    if not cooperative():
        return work(*args)
    import gevent

    done: T = gevent.get_hub().threadpool.apply(work, args)
    return done


def cooperative() -> bool:
    """Whether threads are gevent's greenlets, and a wait is a matter of its loop."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def let_go(*many: Sequence[Any]) -> None:
    """Empty those of these that are lists, a little at a time; call it aside. Tens of thousands of rows that are freed at
    once, because nobody has the list any more, hold up every thread for as long as that takes."""
    for each in many:
        while isinstance(each, list) and each:
            del each[-_FREED:]
