"""Generators that are not ours, as runs: they may hang, fail, never end or end too soon, and the run ends all the same."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator

import pytest

from sora.aside import cooperative
from sora.engine.engine import Engine
from sora.errors import Conflict, ContentFilter
from sora.events import Cancelled, Delta, Metadata, Progress, Reasoning, Result, Source, Started, Usage
from tests.engine.own import begin_own
from tests.engine.workers import OWNER, Client, Workers, die, ended, read
from tests.support.waiting import wait_until


class Tale:
    """Yields numbers until it is closed, with a wait before each; remembers that it was closed."""

    def __init__(self, *, silent_after: int = sys.maxsize) -> None:
        self.closed = threading.Event()
        self.go_on = threading.Event()
        self._silent_after = silent_after
        self._wait = threading.Event()

    def __iter__(self) -> Iterator[str]:
        try:
            for number in itertools.count():
                if number == self._silent_after:
                    self.go_on.wait(30)
                self._wait.wait(0.001)
                yield f"{number} "
        finally:
            self.closed.set()


def test_what_it_yields_is_the_answer_and_its_events_stand_where_they_came(engine: Engine) -> None:
    items = [
        Progress("n", "s", "in_progress", "m"), Reasoning("so"), "a", Delta(7, "b"), "", "\0\ud83c", "\udf31",
        Source("https://example.org/", "t"), Metadata({"k": 1}), Usage(1, 2, 3), Result({"r": 2}),
    ]  # fmt: skip
    run = begin_own(engine, items)

    client = read(engine, run)
    assert client.text == engine.text(ended(engine, run)) == "ab🌱"
    assert client.events == [
        "started", "progress", "reasoning", "delta", "delta", "delta", "source", "metadata", "result", "usage", "done",
    ]  # fmt: skip
    assert ended(engine, run).usage == Usage(1, 2, 3)


@pytest.mark.parametrize(
    "item",
    [
        Started("x"), Cancelled(), 7, None, b"bytes", {"a": 1},
        Metadata({"k": object()}), Reasoning("\ud800"), Progress("n", 7, "s", "m"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_is_no_part_of_an_answer_ends_it(engine: Engine, item: object) -> None:
    run = begin_own(engine, ["a", item, "b"])
    assert read(engine, run).terminals[0].json()["code"] == "internal"
    assert engine.text(ended(engine, run)) == "a"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ContentFilter("x"), "content_filter"),
        (ValueError("x"), "internal"),
        (SystemExit(1), "internal"),
        (KeyboardInterrupt(), "internal"),
    ],
)
def test_a_failure_of_any_kind_is_the_runs_alone(engine: Engine, error: BaseException, code: str) -> None:
    def failing() -> Iterator[str]:
        yield "a"
        raise error

    assert read(engine, begin_own(engine, failing())).terminals[0].json()["code"] == code


@pytest.mark.parametrize("silent_after", [0, 3])
def test_a_cancel_does_not_wait_for_a_silent_generator(sqlite_workers: Workers, silent_after: int) -> None:
    engine, tale = sqlite_workers(), Tale(silent_after=silent_after)
    run = begin_own(engine, tale)
    client = Client(engine, run).until(1 + silent_after)

    engine.cancel(run.id, owner=OWNER)

    assert client.end().events[-1] == "cancelled"
    assert engine.text(ended(engine, run)) == client.text
    if not cooperative():
        tale.go_on.set()  # a thread cannot be woken from outside
    assert tale.closed.wait(5)


def test_a_cancel_closes_one_that_never_ends(sqlite_workers: Workers) -> None:
    engine, tale = sqlite_workers(), Tale()
    run = begin_own(engine, tale)
    client = Client(engine, run).until(50)

    engine.cancel(run.id, owner=OWNER)

    assert client.end().events[-1] == "cancelled" and tale.closed.wait(5)


def test_its_deadline_is_for_the_whole(sqlite_workers: Workers) -> None:
    engine, tale = sqlite_workers(), Tale(silent_after=2)
    run = begin_own(engine, tale, seconds=0.2)
    assert read(engine, run).terminals[0].json()["code"] == "upstream_timeout"
    tale.go_on.set()
    assert tale.closed.wait(5)


def test_it_is_never_far_ahead_of_its_run(sqlite_workers: Workers) -> None:
    """One that never waits must not fill the memory, nor keep a worker for itself."""
    engine, made = sqlite_workers(), itertools.count()
    run = begin_own(engine, (f"{number} " for number in made))
    client = Client(engine, run).until(100)
    engine.cancel(run.id, owner=OWNER)
    assert client.end().events[-1] == "cancelled"
    last = int(engine.text(ended(engine, run)).split()[-1])
    assert next(made) - last < 200


def test_a_drain_does_not_wait_for_a_silent_generator(sqlite_workers: Workers) -> None:
    engine, tale = sqlite_workers(), Tale(silent_after=2)
    run = begin_own(engine, tale)
    client = Client(engine, run).until(3)

    engine.stop(grace=1.0)

    assert client.end().terminals[0].json()["code"] == "interrupted"
    assert engine.text(engine.get(run.id, owner=OWNER)) == "0 1 "
    tale.go_on.set()
    assert tale.closed.wait(5)


def test_another_worker_ends_the_run_of_a_dead_one(workers: Workers) -> None:
    engine, other = workers(lease=0.5), workers(lease=0.5)
    tale = Tale(silent_after=3)
    run = begin_own(engine, tale)
    client = Client(other, run).until(4)

    die(engine)

    assert client.end().terminals[0].json()["code"] == "interrupted"
    assert other.text(ended(other, run)) == client.text == "0 1 2 "
    tale.go_on.set()


def test_it_is_not_begun_twice_and_not_tried_again(engine: Engine) -> None:
    first, second = Tale(silent_after=1), Tale()
    run = begin_own(engine, first, idempotency_key="once")
    assert begin_own(engine, second, idempotency_key="once").id == run.id
    Client(engine, run).until(2).leave()
    engine.cancel(run.id, owner=OWNER)
    final = ended(engine, run)
    with pytest.raises(Conflict):
        engine.retry(final.id, owner=OWNER)
    first.go_on.set()
    assert first.closed.wait(5) and not second.closed.is_set()


def test_many_at_once(engine: Engine) -> None:
    tales = ["".join(f"{tale}-{piece} " for piece in range(20)) for tale in range(20)]
    runs = [begin_own(engine, iter(tale)) for tale in tales]
    assert [engine.text(ended(engine, run)) for run in runs] == tales
    wait_until(lambda: not engine.producers, what="the producers' end")
