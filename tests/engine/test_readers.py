"""Readers: from anywhere, from any cursor, at any time, the same answer and one end."""

from __future__ import annotations

import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sora.engine.engine import Engine
from sora.errors import LogExpired
from sora.events import ORIGIN, Cursor
from sora.store.runs import Run
from tests.engine.workers import (
    OWNER,
    TERMINAL,
    Client,
    Workers,
    begin,
    cursor_of,
    die,
    ended,
    read,
    text_of,
    told,
)
from tests.support.sse import Frame, Parser
from tests.support.waiting import in_time, wait_until

STALLED = "sim-n9-d0-stall3"


def test_several_see_the_same_here_and_elsewhere(workers: Workers) -> None:
    engine, other = workers(), workers()
    run = begin(engine, "sim-n80-d2")
    clients = [Client(one, run) for one in (engine, other, engine, other)]
    clients.append(Client(engine, run).until(10))

    text = engine.text(ended(engine, run))
    for client in clients:
        client.end()
        assert client.error is None and client.events[-1] == "done"
        assert client.text == text
        assert [frame.id for frame in client.frames] == [f"{run.id}:1-{n}" for n in range(1, 84)]
    for late in (read(engine, run), read(other, run)):
        assert [frame.data for frame in late.frames] == [frame.data for frame in clients[0].frames]


def test_go_on_after_every_cursor(workers: Workers) -> None:
    engine, other = workers(), workers()
    run = begin(engine, "sim-n12-d0")
    whole = [(frame.id, frame.event, frame.data) for frame in read(engine, run).frames]

    for one in (engine, other):
        for seq in range(len(whole)):
            rest = read(one, run, cursor=Cursor(1, seq), resumed=True)
            assert [(frame.id, frame.event, frame.data) for frame in rest.frames] == whole[seq:]
            assert not one.exhausted(run_now(one, run), format="native", cursor=Cursor(1, seq))
        assert one.exhausted(run_now(one, run), format="native", cursor=Cursor(1, len(whole)))


def test_a_format_that_drops_the_end_is_exhausted_before_it(workers: Workers) -> None:
    engine, other = workers(), workers()
    run = begin(engine, "sim-n3-d0")
    read(engine, run)

    for one in (engine, other):
        assert one.exhausted(run_now(one, run), format="review", cursor=Cursor(1, 4))
        assert not one.exhausted(run_now(one, run), format="review", cursor=Cursor(1, 3))
        assert not one.exhausted(run_now(one, run), format="review", cursor=ORIGIN)


def test_an_unfinished_run_is_never_exhausted(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine, STALLED)
    told(engine, run, 4)

    assert not engine.exhausted(run_now(engine, run), format="native", cursor=Cursor(1, 4))


def test_a_silent_run_is_opened_at_once_and_kept_warm(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()

    def opened() -> float:
        run = begin(engine, "sim-n2-first700")
        began = time.monotonic()
        client = Client(engine, run, opening_id=f"{run.id}:1-0")
        wait_until(lambda: client.parser.comments, what="the opening block")
        seconds = time.monotonic() - began

        assert client.parser.comments[0] == "open"
        client.end()
        assert client.parser.comments.count("heartbeat") >= 2
        assert client.events == ["started", "delta", "delta", "usage", "done"]
        return seconds

    assert in_time(opened, within=0.2)


def test_the_opening_block_moves_the_last_event_id(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine, STALLED)
    told(engine, run, 4)
    client = Client(engine, run, cursor=Cursor(1, 4), opening_id=f"{run.id}:1-4")
    wait_until(lambda: client.parser.comments, what="the opening block")

    assert client.parser.last_event_id == f"{run.id}:1-4"
    client.leave()
    assert client.frames == []


def test_a_watchdog_gets_pings(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    client = Client(engine, begin(engine, STALLED), ping=True).until(6)

    assert client.events[4:6] == ["ping", "ping"]
    assert client.frames[-1].id == client.frames[3].id, "a ping does not move the cursor"
    client.leave()
    assert "heartbeat" not in client.parser.comments


def test_ids_may_be_left_out(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    client = read(engine, begin(engine, "sim-n3-d0"), ids=False, format="review")

    assert [frame.id for frame in client.frames] == [""] * 3
    assert [frame.json()["seq"] for frame in client.frames] == [0, 1, 2]


@pytest.mark.parametrize("script", [STALLED, "sim-n5000-d1"])
def test_a_token_that_expires_ends_the_reader_and_not_the_run(sqlite_workers: Workers, script: str) -> None:
    engine = sqlite_workers()
    run = begin(engine, script)

    def ended_late() -> float:
        until = time.monotonic() + 0.4
        client = Client(engine, run, until=until).end(timeout=3)
        late = time.monotonic() - until

        assert late >= 0
        assert client.error is None
        assert client.events[-1] == "error" and client.frames[-1].json()["code"] == "unauthorized"
        assert client.parser.last_event_id == client.frames[-2].id, "the error has no place in the log"
        assert not run_now(engine, run).final
        return late

    assert in_time(ended_late, within=0.5)


def test_a_token_that_has_expired_already_says_so(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    client = Client(engine, begin(engine, STALLED), until=time.monotonic() - 1).end()

    assert client.events == ["error"]


def test_a_client_that_hangs_up_is_noticed_while_the_model_is_silent(sqlite_workers: Workers) -> None:
    engine = sqlite_workers(heartbeat=30.0)
    run = begin(engine, "sim-first9000")
    ours, theirs = socket.socketpair()
    with ours:
        client = Client(engine, run, socket=ours)
        stays = Client(engine, run)
        wait_until(lambda: client.events == ["started"])
        assert ours.gettimeout() == engine.config.send_timeout
        left_at = time.monotonic()
        theirs.close()
        client.end(timeout=3)

        assert time.monotonic() - left_at < 1.0
        assert client.error is None and ours.gettimeout() is None
        assert engine.readers.of(run.id) == [stays.reader]
        assert stays.reading and not run_now(engine, run).final
    stays.leave()
    assert engine.readers.all() == []


def test_a_connection_used_again_is_watched_again(sqlite_workers: Workers) -> None:
    engine = sqlite_workers(heartbeat=30.0)
    ours, theirs = socket.socketpair()
    with ours:
        for _ in range(3):
            assert read(engine, begin(engine, "sim-n2-d0"), socket=ours).events[-1] == "done"
        client = Client(engine, begin(engine, STALLED), socket=ours).until(4)
        theirs.close()
        client.end(timeout=3)


def test_a_reader_that_never_started_is_gone_when_closed(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    reader = engine.read(begin(engine, STALLED))
    assert engine.readers.all() == [reader]

    reader.close()
    reader.close()

    assert engine.readers.all() == []


class TestAReset:
    """The worker dies after it showed its client more than it had written down."""

    def lost(self, workers: Workers, *, format: str = "native") -> tuple[Engine, Run, Client]:
        """Another worker, which has ended the run; and a client that saw more of it than that worker has."""
        engine = workers()
        die(engine)
        run = begin(engine, "sim-n500-d10")
        told(engine, run, 6)
        engine.worker.round()
        client = Client(engine, run, format=format)
        client.until(len(engine.recovery.events(run)) + 5)
        client.leave()
        other = workers(lease=0.5)
        ended(other, run)
        return other, run, client

    def test_takes_back_what_was_not_written(self, workers: Workers) -> None:
        engine, run, client = self.lost(workers)
        seen, saved = client.text, engine.text(run_now(engine, run))
        assert seen.startswith(saved) and seen != saved

        rest = read(engine, run, cursor=client.cursor, resumed=True)

        assert rest.events == ["reset", "error"]
        assert rest.frames[1].json()["code"] == "interrupted"
        last = cursor_of(rest.frames[-1].id)
        assert rest.frames[0].json() == {"seq": last.seq - 1}
        assert cursor_of(rest.frames[0].id) == Cursor(2, last.seq - 1)
        assert text_of(client.frames + rest.frames) == saved
        assert engine.exhausted(run_now(engine, run), format="native", cursor=last)

    def test_is_not_needed_up_to_the_restore_point(self, sqlite_workers: Workers) -> None:
        engine, run, client = self.lost(sqlite_workers)
        last = read(engine, run).cursor

        for seq in (1, last.seq - 2, last.seq - 1):
            rest = read(engine, run, cursor=Cursor(1, seq))
            assert "reset" not in rest.events and rest.events[-1] == "error"
            before = [frame for frame in client.frames if cursor_of(frame.id).seq <= seq]
            assert text_of(before + rest.frames) == engine.text(run_now(engine, run))

    def test_ends_a_format_that_cannot_say_it(self, sqlite_workers: Workers) -> None:
        engine, run, client = self.lost(sqlite_workers, format="review")

        rest = read(engine, run, cursor=client.cursor, resumed=True, format="review")

        assert rest.events == ["error"]
        assert rest.frames[0].json()["code"] == "interrupted"
        assert rest.frames[0].id == f"{run.id}:end"


class TestAFormatWhoseClientsKnowNoFailure:
    """Its body breaks off after the frame of a failure, a moment later; its good end stays clean."""

    def test_ends_cleanly_with_the_run(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers()
        run = begin(engine, "sim-n3-d0")

        assert read(engine, run, format="ask", ids=False).frames[-1].json() == {"type": "done", "content": {}}
        engine.log.expire(run.id, 0)
        assert read(engine, run, format="ask").frames[-1].json() == {"type": "done", "content": {}}

    def test_is_cut_after_an_error(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers()
        run = begin(engine, "sim-n9-d0-error4")
        self.cut(engine, run, "upstream_error")
        ended(engine, run)
        self.cut(engine, run, "upstream_error")
        engine.log.expire(run.id, 0)
        self.cut(engine, run, "upstream_error")

    def test_is_cut_after_a_cancel_an_expired_token_and_a_reset(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers()
        run = begin(engine, STALLED)
        told(engine, run, 4)
        self.cut(engine, run, "unauthorized", until=time.monotonic())
        engine.cancel(run.id, owner=OWNER)
        self.cut(engine, run, "cancelled")
        engine.log.expire(run.id, 0)
        self.cut(engine, run, "interrupted", cursor=Cursor(1, 2))

    def cut(self, engine: Engine, run: Run, code: str, **how: Any) -> None:
        client = Client(engine, run, format="ask", ids=False, **how).end()
        at = time.monotonic()

        assert isinstance(client.error, ConnectionResetError)
        assert client.frames[-1].json()["type"] == "error"
        assert client.frames[-1].json()["content"]["code"] == code
        assert client.frames[-1].id == ""
        assert [frame.json()["type"] for frame in client.frames].count("error") == 1
        assert at - client.frames[-1].at >= 0.2, "a proxy would lose the frame"


class TestAnExpiredLog:
    def expired(self, workers: Workers, script: str = "sim-n7-d0") -> tuple[Engine, Run, Client]:
        engine = workers()
        run = begin(engine, script)
        client = read(engine, run)
        engine.log.expire(run.id, 0)
        return engine, run_now(engine, run), client

    def test_is_replaced_by_what_was_saved(self, sqlite_workers: Workers) -> None:
        engine, run, client = self.expired(sqlite_workers)

        again = read(engine, run)

        assert again.events == ["started", "delta", "usage", "done"]
        assert again.text == client.text
        assert again.cursor == client.cursor

    def test_is_told_to_whoever_has_a_part(self, workers: Workers) -> None:
        engine, run, client = self.expired(workers)

        rest = read(engine, run, cursor=Cursor(1, 4), resumed=True)

        assert rest.events == ["reset", "started", "delta", "usage", "done"]
        assert rest.frames[0].json() == {"seq": 0}
        assert text_of(client.frames[:4] + rest.frames) == client.text
        assert read(engine, run, cursor=Cursor(1, 4), format="review").events == ["error"]
        assert engine.exhausted(run, format="native", cursor=client.cursor)

    def test_of_a_failure_ends_with_it(self, sqlite_workers: Workers) -> None:
        engine, run, client = self.expired(sqlite_workers, "sim-n9-d0-error4")

        again = read(engine, run)

        assert again.events[-1] == "error"
        assert again.frames[-1].json() == client.frames[-1].json()
        assert again.text == client.text != ""

    def test_goes_after_its_time(self, workers: Workers) -> None:
        engine, other = workers(run_ttl=0.05), workers()
        run = begin(engine, "sim-n7-d0")
        text = read(engine, run).text

        def expired() -> bool:
            try:
                other.log.read(run.id, ORIGIN, 1)
            except LogExpired:
                return True
            return False

        wait_until(expired, what="the log's expiry")
        other.log.purge(limit=10)  # unless its own look around has been faster

        assert read(other, run).events == ["started", "delta", "usage", "done"]
        assert read(other, run, cursor=Cursor(1, 3)).text == text


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), tokens=st.integers(0, 40), delay=st.integers(0, 3))
def test_whatever_the_interleaving_nobody_misses_anything(
    workers: Workers, seed: int, tokens: int, delay: int
) -> None:
    """Clients come late, are cut, lose what was on its way, and go on at another worker, while the run goes on."""
    engines = workers.of(2)
    run = begin(engines[0], f"sim-n{tokens}-d{delay}" if tokens else "sim-empty")
    choices = random.Random(seed)
    plans = [
        (choices.uniform(0, 0.05), [(choices.randrange(2), choices.randint(0, 12)) for _ in range(4)])
        for _ in range(4)
    ]

    def follow(plan: tuple[float, list[tuple[int, int]]]) -> list[Frame]:
        wait, visits = plan
        threading.Event().wait(wait)
        frames: list[Frame] = []
        for worker, count in visits:
            frames += visit(engines[worker], run, frames, count)
        while not frames or frames[-1].event not in TERMINAL:
            frames += visit(engines[choices.randrange(2)], run, frames, 1000)
        return frames

    with ThreadPoolExecutor(4) as pool:
        clients = list(pool.map(follow, plans))

    saved = ended(engines[0], run)
    text = engines[0].text(saved)
    for frames in clients:
        assert text_of(frames) == text
        assert [cursor_of(frame.id).seq for frame in frames] == list(range(1, (saved.last_seq or 0) + 1))
        assert [frame.event for frame in frames if frame.event in TERMINAL] == ["done"]


def visit(engine: Engine, run: Run, frames: list[Frame], count: int) -> list[Frame]:
    """What a client gets that goes on after `frames` and whose connection breaks after `count` more of them."""
    if frames and frames[-1].event in TERMINAL:
        return []
    cursor = cursor_of(frames[-1].id) if frames else ORIGIN
    reader, parser, new = engine.read(run, cursor=cursor, resumed=bool(frames)), Parser(), []
    try:
        for chunk in reader:
            new += parser.feed(chunk)
            if len(new) >= count:
                break
    finally:
        reader.close()
    return new[:count]


def run_now(engine: Engine, run: Run) -> Run:
    return engine.get(run.id, owner=OWNER)
