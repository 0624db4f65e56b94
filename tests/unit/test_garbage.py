"""Full collections wait for a good moment, and are made in the end."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from sora.garbage import Collector


class Knot:
    """Something that only a full collection finds, once nobody has it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def lost() -> weakref.ref[Knot]:
    knot = Knot()
    gc.collect(0)
    gc.collect(1)  # it is old now
    return weakref.ref(knot)


def test_what_is_lost_is_found_once_nothing_is_under_way() -> None:
    under_way = True
    collector = Collector(lambda: not under_way)
    knot = lost()
    for _ in range(5000):
        Knot()  # Python itself would look at everything sooner or later
    collector.step()
    assert knot() is not None

    under_way = False
    collector.step()
    assert knot() is None


def test_it_is_found_at_last_when_memory_has_grown() -> None:
    collector = Collector(lambda: False, growth=2**20)
    knot = lost()
    collector.step()
    assert knot() is not None
    ballast = b"x" * 2**29
    collector.step()
    assert knot() is None
    del ballast


def test_it_does_not_look_again_where_nothing_can_be() -> None:
    collector = Collector(lambda: True)
    gc.collect(0)
    collector.step()
    before = gc.get_stats()[2]["collections"]
    for _ in range(3):
        collector.step()
    assert gc.get_stats()[2]["collections"] == before
