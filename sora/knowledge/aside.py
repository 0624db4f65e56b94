"""Work that would hold up a worker's streams, done on a thread of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def aside(work: Callable[..., T], *args: Any) -> T:
    """`work(*args)`; under gevent on a real thread, while this greenlet alone waits. It must not wait for greenlets itself."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return work(*args)
    import gevent

    done: T = gevent.get_hub().threadpool.apply(work, args)
    return done
