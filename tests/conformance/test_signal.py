"""A reader's only wait."""

from __future__ import annotations

import threading
import time

from sora.aside import aside
from sora.engine.signal import Signal


def test_a_signal_that_is_set_ends_the_next_wait_at_once_and_only_that() -> None:
    signal = Signal.new()
    signal.set()

    assert signal.wait(10)
    assert not signal.wait(0)


def test_setting_it_often_is_setting_it_once() -> None:
    signal = Signal.new()
    for _ in range(3):
        signal.set()

    assert signal.wait(0)
    assert not signal.wait(0)


def test_a_wait_ends_after_its_timeout() -> None:
    started = time.monotonic()

    assert not Signal.new().wait(0.02)
    assert 0.015 < time.monotonic() - started < 5


def test_a_timeout_in_the_past_only_looks() -> None:
    signal = Signal.new()

    assert not signal.wait(-1)
    signal.set()
    assert signal.wait(-1)


def test_a_waiter_is_woken_from_another_thread() -> None:
    signal = Signal.new()
    thread = threading.Thread(target=signal.set)
    started = time.monotonic()
    thread.start()

    assert signal.wait(10)
    assert time.monotonic() - started < 5
    thread.join()


def test_a_waiter_is_woken_from_a_thread_of_the_system() -> None:
    signal = Signal.new()
    thread = threading.Thread(target=lambda: aside(signal.set))
    thread.start()

    assert signal.wait(10)
    thread.join()


def test_a_wake_up_that_came_too_late_does_not_end_the_next_wait() -> None:
    signal = Signal.new()
    assert not signal.wait(0.001)
    signal.set()
    assert signal.wait(0)

    started = time.monotonic()
    assert not signal.wait(0.05)
    assert time.monotonic() - started > 0.045


def test_no_wake_up_is_lost_between_many_setters() -> None:
    """Whoever sets after its own change is seen: the waiter looks again after every wake-up."""
    signal, counts = Signal.new(), [0] * 4

    def work(mine: int) -> None:
        for _ in range(500):
            counts[mine] += 1
            signal.set()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(len(counts))]
    for thread in threads:
        thread.start()
    while sum(counts) < 2000:
        assert signal.wait(10)
    for thread in threads:
        thread.join()
