"""A deep call on a stack of its own: it is a call like any other."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest
from greenlet import getcurrent

from sora.engine.stack import apart

_said: ContextVar[str] = ContextVar("said")


def test_it_gives_back_what_the_call_gives_and_raises_what_it_raises() -> None:
    def divide(one: int, *, by: int) -> float:
        others = threading.Event()
        threading.Thread(target=others.set).start()
        assert others.wait(10), "under gevent somebody else has a turn"
        return one / by

    assert apart(divide, 6, by=3) == 2
    with pytest.raises(ZeroDivisionError):
        apart(divide, 6, by=0)


def test_it_shares_the_callers_context_variables() -> None:
    _said.set("before")

    def say() -> str:
        heard = _said.get()
        _said.set("within")
        return heard

    assert apart(say) == "before"
    assert _said.get() == "within"


def test_each_of_many_that_wait_goes_on_where_it_was() -> None:
    ended: list[tuple[int, int]] = []
    barrier = threading.Barrier(20)

    def work(number: int) -> int:
        for _ in range(3):
            barrier.wait(10)
        return number

    def thread(number: int) -> None:
        ended.append((number, apart(work, number)))

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)

    assert sorted(ended) == [(number, number) for number in range(20)]


def test_under_gevent_the_call_has_a_greenlet_of_its_own() -> None:
    found: list[bool] = []

    def look() -> None:
        here = getcurrent()
        # A plain thread's own greenlet has no parent: there the call is an ordinary one.
        found.append((apart(getcurrent) is not here) == (here.parent is not None))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(10)

    assert found == [True]
