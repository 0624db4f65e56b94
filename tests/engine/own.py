"""Runs of generators of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

from sora.engine.engine import Engine, Order
from sora.pipelines.own import Feed, OwnPipeline
from sora.store.runs import Run
from tests.engine.workers import OWNER


def begin_own(engine: Engine, items: Iterable[object], *, seconds: float = 10.0, **given: Any) -> Run:
    """A run of the kind `tale`, made of these items."""
    feed = Feed(items, within=nullcontext(), step=_call)
    pipeline = OwnPipeline("tale", feed, on_disconnect="continue", seconds=seconds)
    run, created = engine.begin(Order(OWNER, "tale", b"", "ko", **given), pipeline=pipeline)
    if not created:
        feed.leave()
    return run


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)
