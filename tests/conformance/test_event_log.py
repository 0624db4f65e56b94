"""The event log's promises, sentence by sentence: in memory, and in a journal on each database that Sora supports."""

from __future__ import annotations

import base64
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sora.config import Config
from sora.engine.log import EventLog
from sora.engine.log import database as database_log
from sora.engine.log.database import DatabaseLog
from sora.engine.log.memory import MemoryLog
from sora.engine.signal import Signal
from sora.errors import LogEnded, LogExpired, StaleEpoch
from sora.events import ORIGIN, Cancelled, Cursor, Delta, Done, Event, Span, Started, decode
from sora.store.crypto import Keyring
from sora.store.database import Database
from sora.store.models import Base, JournalRow, RunRow
from sora.store.runs import RunStore, new_id
from tests.support.events import AWKWARD, ongoing, terminals
from tests.support.runs import a_run
from tests.support.waiting import wait_until

KEYRING = Keyring(["k1:" + base64.b64encode(bytes(range(32))).decode()])
DONE = Done("stop")
one_log = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


class MemoryHouse:
    """The log of one process: nobody else sees it, and nothing in it has to be written."""

    def __init__(self) -> None:
        self.log = MemoryLog()

    def another_worker(self) -> EventLog:
        return self.log

    def new_run(self) -> str:
        return new_id()

    def flush(self, log: EventLog) -> None:
        pass

    def transaction(self) -> AbstractContextManager[Session]:
        return nullcontext(Session())

    rolled_back = transaction


class JournalHouse:
    """Workers that share a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.log = self.another_worker()

    def another_worker(self) -> DatabaseLog:
        return DatabaseLog(self.database, KEYRING)

    def new_run(self) -> str:
        run = a_run()
        with self.database.write() as session:
            RunStore(KEYRING).add(session, run)
        return run.id

    def flush(self, log: EventLog) -> None:
        """A whole turn of the journal: written, committed, known to be."""
        self.begin_flush(log)()

    def begin_flush(self, log: EventLog) -> Callable[[], None]:
        """A turn whose commit took place; call the result when its reply arrives, if it does."""
        assert isinstance(log, DatabaseLog)
        parts = []
        for part in log.parts():
            with self.database.write() as session:
                log.write(session, part)
            parts.append(part)

        def written() -> None:
            for part in parts:
                log.written(part)

        return written

    def flush_in_vain(self, log: EventLog) -> None:
        """A turn that is rolled back."""
        assert isinstance(log, DatabaseLog)
        for part in log.parts():
            with self.rolled_back() as session:
                log.write(session, part)

    def transaction(self) -> AbstractContextManager[Session]:
        return self.database.write()

    @contextmanager
    def rolled_back(self) -> Iterator[Session]:
        with self.database.write() as session:
            yield session
            session.rollback()

    def rows(self, run_id: str) -> list[JournalRow]:
        query = sa.select(JournalRow).where(JournalRow.run_id == run_id).order_by(JournalRow.first_seq)
        with self.database.read() as session:
            return list(session.scalars(query))

    def journal(self, run_id: str) -> list[Event]:
        """All that is at rest of a run; asserts that every event is there once."""
        events: list[Event] = []
        for row in self.rows(run_id):
            plain = KEYRING.open(
                row.payload, table="journal", column="payload", row=f"{run_id}:{row.first_seq}", owner="보라"
            )
            batch = decode(plain)
            assert (row.first_seq, row.last_seq) == (len(events) + 1, len(events) + len(batch))
            events += batch
        return events


House = MemoryHouse | JournalHouse


@contextmanager
def journal_house(url: str) -> Iterator[JournalHouse]:
    database = Database(Config(database_url=url).database)
    Base.metadata.create_all(database.engine)
    try:
        yield JournalHouse(database)
    finally:
        database.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    if request.param == "memory":
        yield MemoryHouse()
        return
    url = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param])
    with journal_house(url) as made:
        yield made


@pytest.fixture
def journal(database_url: str) -> Iterator[JournalHouse]:
    with journal_house(database_url) as made:
        yield made


def deltas(count: int, start: int = 0) -> list[Event]:
    return [Delta(index, f"조각 {index}") for index in range(start, start + count)]


def end(house: House, log: EventLog, run_id: str, epoch: int, terminal: Event = DONE) -> int:
    """As a producer ends its run."""
    with house.transaction() as session:
        seq = log.stage(session, run_id, epoch, terminal)
    assert log.append(run_id, epoch, [terminal]) == seq
    return seq


class Client:
    """What a reader makes of the spans it gets, on whichever worker it is."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.cursor = ORIGIN
        self.events: list[Event] = []
        self.resets: list[int] = []

    def read(self, log: EventLog, limit: int = 100) -> bool:
        """Whether it got on."""
        before = self.cursor
        span = log.read(self.run_id, before, limit)
        assert len(span.events) <= limit
        assert 1 <= span.first <= before.seq + 1, "a gap"
        if span.first <= before.seq:
            self.resets.append(span.first - 1)
            del self.events[span.first - 1 :]
        self.events += span.events
        self.cursor = span.end
        assert self.cursor.seq == len(self.events)
        return self.cursor != before

    def read_all(self, log: EventLog, limit: int = 100) -> list[Event]:
        while self.read(log, limit):
            pass
        return self.events


def read_all(log: EventLog, run_id: str, limit: int = 100) -> list[Event]:
    return Client(run_id).read_all(log, limit)


def assert_nothing_after(cursor: Cursor, span: Span) -> None:
    assert not span.events
    assert span.end == cursor


# -- order and numbers -------------------------------------------------------------------------------------------------


def test_numbers_begin_at_one_and_have_no_gap(house: House) -> None:
    run_id = house.new_run()

    assert house.log.append(run_id, 1, deltas(1)) == 1
    assert house.log.append(run_id, 1, deltas(3)) == 4
    assert house.log.append(run_id, 1, []) == 4
    assert house.log.append(run_id, 1, deltas(1)) == 5
    assert house.log.read(run_id, ORIGIN, 100).first == 1
    assert end(house, house.log, run_id, 1) == 6


def test_each_run_has_numbers_of_its_own(house: House) -> None:
    one, other = house.new_run(), house.new_run()
    house.log.append(one, 1, deltas(3))

    assert house.log.append(other, 1, deltas(1)) == 1
    assert house.log.append(one, 1, deltas(1)) == 4


@one_log
@given(
    batches=st.lists(st.lists(ongoing, max_size=4), max_size=5), terminal=terminals, limit=st.integers(1, 5)
)
def test_what_is_appended_is_read_here_and_elsewhere(
    house: House, batches: list[list[Event]], terminal: Event, limit: int
) -> None:
    run_id, written = house.new_run(), list[Event]()
    for batch in batches:
        written += batch
        assert house.log.append(run_id, 1, batch) == len(written)
        assert read_all(house.log, run_id, limit) == written
        house.flush(house.log)
        assert read_all(house.another_worker(), run_id, limit) == written
    end(house, house.log, run_id, 1, terminal)

    assert read_all(house.log, run_id, limit) == [*written, terminal]
    assert read_all(house.another_worker(), run_id, limit) == [*written, terminal]


def test_awkward_texts_come_back_as_they_were(house: House) -> None:
    run_id = house.new_run()
    events: list[Event] = [Delta(index, text) for index, text in enumerate(AWKWARD)]
    house.log.append(run_id, 1, events)
    house.flush(house.log)

    assert read_all(house.log, run_id) == read_all(house.another_worker(), run_id) == events


def test_a_cursor_is_exclusive_and_a_limit_is_kept(house: House) -> None:
    run_id, events = house.new_run(), deltas(7)
    for event in events:
        house.log.append(run_id, 1, [event])
    house.flush(house.log)
    house.log.append(run_id, 1, [])

    for log in (house.log, house.another_worker()):
        for seq in range(8):
            for limit in (1, 2, 7, 100):
                assert log.read(run_id, Cursor(1, seq), limit) == Span(1, seq + 1, events[seq : seq + limit])


def test_a_limit_may_cut_a_batch(house: House) -> None:
    run_id, events = house.new_run(), deltas(90)
    for start in range(0, 90, 30):
        house.log.append(run_id, 1, events[start : start + 30])
        house.flush(house.log)

    for log in (house.log, house.another_worker()):
        assert log.read(run_id, Cursor(1, 25), 10).events == events[25:35]
        assert read_all(log, run_id, 7) == events


def test_many_rows_are_read_page_by_page(house: House) -> None:
    run_id, events = house.new_run(), deltas(150)
    for event in events:
        house.log.append(run_id, 1, [event])
        house.flush(house.log)

    assert read_all(house.another_worker(), run_id, 1000) == events


def test_an_empty_span_leaves_the_reader_where_it_is(house: House) -> None:
    run_id = house.new_run()
    for log in (house.log, house.another_worker()):
        assert_nothing_after(ORIGIN, log.read(run_id, ORIGIN, 10))
    house.log.append(run_id, 1, deltas(2))
    house.flush(house.log)
    for log in (house.log, house.another_worker()):
        for seq in (2, 9):
            assert_nothing_after(Cursor(1, seq), log.read(run_id, Cursor(1, seq), 10))


def test_a_run_nobody_knows_is_empty(house: House) -> None:
    for cursor in (ORIGIN, Cursor(3, 7)):
        assert_nothing_after(cursor, house.log.read("nobody", cursor, 10))


def test_eight_writers_and_their_readers_here_and_elsewhere(house: House) -> None:
    """Every reader gets every event of its run, in order, woken each time there is more."""
    runs = {house.new_run(): deltas(60) for _ in range(8)}
    other, finished, problems = house.another_worker(), threading.Event(), list[BaseException]()

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as problem:
                problems.append(problem)

        return threading.Thread(target=run)

    def writer(run_id: str, events: Sequence[Event]) -> Callable[[], None]:
        def work() -> None:
            chance, start = random.Random(run_id), 0
            while start < len(events):
                count = chance.randint(1, 5)
                house.log.append(run_id, 1, events[start : start + count])
                start += count
                finished.wait(chance.choice([0, 0, 0.002]))
            end(house, house.log, run_id, 1)

        return work

    def reader(run_id: str, log: EventLog) -> Callable[[], None]:
        def work() -> None:
            signal, client = Signal.new(), Client(run_id)
            unfollow = log.follow(run_id, lambda _: signal.set())
            while DONE not in client.events:
                if not client.read(log, 7):
                    assert signal.wait(20), "not woken"
            unfollow()
            assert client.events == [*runs[run_id], DONE]

        return work

    def follower() -> None:
        while not finished.wait(0.005):
            house.flush(house.log)
            if isinstance(other, DatabaseLog):
                other.poll()

    readers = [guarded(reader(run_id, log)) for run_id in runs for log in (house.log, other)]
    writers = [guarded(writer(run_id, events)) for run_id, events in runs.items()]
    background = guarded(follower)
    for thread in (*readers, background, *writers):
        thread.start()
    for thread in (*writers, *readers):
        thread.join()
    finished.set()
    background.join()

    assert problems == []


# -- epochs ------------------------------------------------------------------------------------------------------------


def test_a_span_is_of_one_epoch(house: House) -> None:
    run_id, events = house.new_run(), deltas(9)
    house.log.append(run_id, 1, events[:3])
    house.flush(house.log)
    house.log.append(run_id, 2, events[3:6])
    house.flush(house.log)
    house.log.append(run_id, 5, events[6:])
    house.flush(house.log)

    for log in (house.log, house.another_worker()):
        assert log.read(run_id, ORIGIN, 100) == Span(1, 1, events[:3])
        assert log.read(run_id, Cursor(1, 3), 100) == Span(2, 4, events[3:6])
        assert log.read(run_id, Cursor(2, 5), 100) == Span(2, 6, events[5:6])
        assert log.read(run_id, Cursor(2, 6), 100) == Span(5, 7, events[6:])
        assert read_all(log, run_id, 2) == events


def test_a_lower_epoch_appends_no_more(house: House) -> None:
    run_id = house.new_run()
    house.log.append(run_id, 1, deltas(2))
    house.flush(house.log)
    house.log.append(run_id, 3, deltas(1, 2))

    for epoch in (1, 2):
        with pytest.raises(StaleEpoch):
            house.log.append(run_id, epoch, deltas(1))
        with house.transaction() as session, pytest.raises(StaleEpoch):
            house.log.stage(session, run_id, epoch, DONE)
    house.flush(house.log)
    assert read_all(house.log, run_id) == read_all(house.another_worker(), run_id) == deltas(3)
    assert house.log.append(run_id, 3, deltas(1, 3)) == 4


@pytest.mark.parametrize("terminal", [DONE, Cancelled()])
def test_nothing_follows_a_terminal_event(house: House, terminal: Event) -> None:
    run_id = house.new_run()
    house.log.append(run_id, 1, deltas(2))
    end(house, house.log, run_id, 1, terminal)

    for epoch in (1, 2):
        for events in ([terminal], deltas(1)):
            with pytest.raises(LogEnded):
                house.log.append(run_id, epoch, events)
        with house.transaction() as session, pytest.raises(LogEnded):
            house.log.stage(session, run_id, epoch, Cancelled())
    house.flush(house.log)
    for log in (house.log, house.another_worker()):
        assert read_all(log, run_id) == [*deltas(2), terminal]


# -- followers ---------------------------------------------------------------------------------------------------------


def test_followers_are_called_until_they_leave(house: House) -> None:
    run_id, other_run = house.new_run(), house.new_run()
    calls: list[str] = []
    first = house.log.follow(run_id, lambda _: calls.append("first"))
    second = house.log.follow(run_id, lambda _: calls.append("second"))
    house.log.append(run_id, 1, deltas(1))
    assert calls == ["first", "second"]

    first()
    first()
    house.log.append(run_id, 1, deltas(1))
    house.log.append(other_run, 1, deltas(1))
    assert calls == ["first", "second", "second"]

    second()
    end(house, house.log, run_id, 1)
    assert len(calls) == 3


def test_a_follower_may_come_before_the_run_and_sees_what_it_is_told_of(house: House) -> None:
    run_id, seen = house.new_run(), list[int]()
    unfollow = house.log.follow(
        run_id, lambda _: seen.append(len(house.log.read(run_id, ORIGIN, 100).events))
    )
    house.log.append(run_id, 1, deltas(2))
    end(house, house.log, run_id, 1)
    unfollow()

    assert seen == [2, 3]


def test_bound_methods_of_equal_kind_are_told_apart(house: House) -> None:
    run_id, one, other = house.new_run(), Signal.new(), Signal.new()
    leave = house.log.follow(run_id, lambda _: one.set())
    stay = house.log.follow(run_id, lambda _: other.set())
    leave()
    house.log.append(run_id, 1, deltas(1))

    assert not one.wait(0)
    assert other.wait(0)
    stay()


# -- the end -----------------------------------------------------------------------------------------------------------


def test_a_staged_end_is_seen_once_it_is_appended(house: House) -> None:
    run_id, other, events = house.new_run(), house.another_worker(), deltas(3)
    house.log.append(run_id, 1, events)
    with house.transaction() as session:
        assert house.log.stage(session, run_id, 1, DONE) == 4
        assert read_all(house.log, run_id) == events
        assert DONE not in read_all(other, run_id)
    assert read_all(house.log, run_id) == events

    assert house.log.append(run_id, 1, [DONE]) == 4
    assert read_all(house.log, run_id) == read_all(other, run_id) == [*events, DONE]


def test_an_end_may_be_staged_again_after_a_rollback(house: House) -> None:
    run_id, events = house.new_run(), deltas(3)
    house.log.append(run_id, 1, events[:2])
    house.flush(house.log)
    house.log.append(run_id, 1, events[2:])
    for _ in range(2):
        with house.rolled_back() as session:
            assert house.log.stage(session, run_id, 1, Cancelled()) == 4
        assert read_all(house.log, run_id) == events
    assert end(house, house.log, run_id, 1) == 4

    assert read_all(house.another_worker(), run_id) == [*events, DONE]


@pytest.mark.parametrize("cursor", [Cursor(1, 5), Cursor(1, 999_999_999), Cursor(9, 2), Cursor(9, 4)])
def test_a_cursor_beyond_an_ended_log_gets_its_end(house: House, cursor: Cursor) -> None:
    run_id, logs = house.new_run(), [house.log]
    house.log.append(run_id, 1, deltas(3))
    end(house, house.log, run_id, 1)
    if isinstance(house, JournalHouse):
        with house.database.write() as session:
            session.execute(
                sa.update(RunRow).where(RunRow.id == run_id).values(status="completed", last_seq=4)
            )
        logs.append(house.another_worker())

    for log in logs:
        span = log.read(run_id, cursor, 100)
        assert span.events[-1] == DONE
        assert span.first <= cursor.seq + 1
        assert not log.read(run_id, Cursor(1, 4), 100).events


def test_a_run_may_end_without_a_word(house: House) -> None:
    run_id = house.new_run()

    assert end(house, house.log, run_id, 1) == 1
    assert read_all(house.another_worker(), run_id) == [DONE]


# -- forgetting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [0.0, -1.0])
def test_an_expired_log_says_so_at_once(house: House, ttl: float) -> None:
    run_id, kept = house.new_run(), house.new_run()
    for run in (run_id, kept):
        house.log.append(run, 1, deltas(2))
        end(house, house.log, run, 1)
    house.log.expire(run_id, ttl)

    for log in (house.log, house.another_worker()):
        for cursor in (ORIGIN, Cursor(1, 2), Cursor(1, 3)):
            with pytest.raises(LogExpired):
                log.read(run_id, cursor, 10)
        assert len(read_all(log, kept)) == 3


def test_a_log_expires_after_its_time(house: House) -> None:
    run_id = house.new_run()
    house.log.append(run_id, 1, deltas(2))
    end(house, house.log, run_id, 1)
    house.log.expire(run_id, 3600)
    assert len(read_all(house.log, run_id)) == len(read_all(house.another_worker(), run_id)) == 3
    house.log.expire(run_id, 0.05)

    def expired(log: EventLog) -> bool:
        try:
            log.read(run_id, ORIGIN, 10)
        except LogExpired:
            return True
        return False

    for log in (house.log, house.another_worker()):
        wait_until(lambda log=log: expired(log), what="the expiry")  # type: ignore[misc]


# -- the journal: what is at rest --------------------------------------------------------------------------------------


def test_other_workers_see_what_is_durable_and_nothing_else(journal: JournalHouse) -> None:
    run_id, other, events = journal.new_run(), journal.another_worker(), deltas(4)
    journal.log.append(run_id, 1, events[:2])
    assert journal.log.behind()
    assert read_all(other, run_id) == []
    journal.flush(journal.log)
    assert not journal.log.behind()
    journal.log.append(run_id, 1, events[2:])

    assert read_all(journal.log, run_id) == events
    assert read_all(other, run_id) == events[:2]
    journal.flush_in_vain(journal.log)
    assert journal.log.behind()
    assert read_all(other, run_id) == events[:2]
    journal.flush(journal.log)
    assert read_all(other, run_id) == events


def test_a_flush_whose_reply_was_lost_is_repeated_without_harm(journal: JournalHouse) -> None:
    run_id, events = journal.new_run(), deltas(6)
    journal.log.append(run_id, 1, events[:3])
    journal.begin_flush(journal.log)
    journal.log.append(run_id, 1, events[3:])
    journal.begin_flush(journal.log)
    journal.flush(journal.log)

    assert journal.journal(run_id) == events
    assert not journal.log.behind()


def test_a_late_reply_leaves_newer_events_unwritten(journal: JournalHouse) -> None:
    run_id, events = journal.new_run(), deltas(5)
    journal.log.append(run_id, 1, events[:3])
    reply = journal.begin_flush(journal.log)
    journal.log.append(run_id, 1, events[3:])
    reply()

    assert journal.log.behind()
    journal.flush(journal.log)
    assert journal.journal(run_id) == events


def test_one_flush_writes_all_runs(journal: JournalHouse) -> None:
    runs = [journal.new_run() for _ in range(20)]
    for count, run_id in enumerate(runs, 1):
        journal.log.append(run_id, 1, deltas(count))
    journal.flush(journal.log)

    assert [len(journal.rows(run_id)) for run_id in runs] == [1] * 20
    assert [len(journal.journal(run_id)) for run_id in runs] == [*range(1, 21)]


def test_thousands_of_runs_are_written_in_parts_between_which_others_go_on(
    journal: JournalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_log, "_PART", 3)
    runs = [journal.new_run() for _ in range(8)]
    for run_id in runs:
        journal.log.append(run_id, 1, deltas(2))
    sizes = []
    for part in journal.log.parts():
        with journal.transaction() as session:
            journal.log.write(session, part)
        for run_id in runs:  # while the commit's reply is on its way
            journal.log.append(run_id, 1, deltas(1, 2 + len(sizes)))
        journal.log.written(part)
        sizes.append(len(part.upto))
    assert sizes == [3, 3, 2]
    assert journal.log.behind()
    journal.flush(journal.log)

    assert not journal.log.behind()
    assert all(journal.journal(run_id) == deltas(5) for run_id in runs)


def test_a_part_is_written_without_the_runs_that_were_given_away_since(journal: JournalHouse) -> None:
    given_away, kept = journal.new_run(), journal.new_run()
    for run_id in (given_away, kept):
        journal.log.append(run_id, 1, deltas(2))
    [part] = journal.log.parts()
    journal.log.drop(given_away)
    with journal.transaction() as session:
        journal.log.write(session, part)
    journal.log.written(part)

    assert (journal.journal(given_away), journal.journal(kept)) == ([], deltas(2))
    assert not journal.log.behind()


def test_an_end_writes_what_is_not_durable_yet_and_is_written_once(journal: JournalHouse) -> None:
    run_id, events = journal.new_run(), deltas(5)
    journal.log.append(run_id, 1, events[:2])
    reply = journal.begin_flush(journal.log)
    journal.log.append(run_id, 1, events[2:])
    end(journal, journal.log, run_id, 1)
    reply()
    journal.flush(journal.log)

    assert journal.journal(run_id) == [*events, DONE]
    assert not journal.log.behind()


def test_a_flush_between_the_commit_of_an_end_and_its_append_changes_nothing(journal: JournalHouse) -> None:
    run_id, events = journal.new_run(), deltas(3)
    journal.log.append(run_id, 1, events)
    with journal.transaction() as session:
        journal.log.stage(session, run_id, 1, DONE)
    journal.flush(journal.log)
    assert read_all(journal.log, run_id) == events
    journal.log.append(run_id, 1, [DONE])
    journal.flush(journal.log)

    assert journal.journal(run_id) == [*events, DONE]


def test_an_end_whose_reply_was_lost_is_read_from_the_journal(journal: JournalHouse) -> None:
    """The producer drops the run when somebody, perhaps itself, has decided: its readers get what is written."""
    run_id, signal, client = journal.new_run(), Signal.new(), Client("")
    client.run_id = run_id
    journal.log.append(run_id, 1, deltas(2))
    unfollow = journal.log.follow(run_id, lambda _: signal.set())
    client.read_all(journal.log)
    with journal.transaction() as session:
        journal.log.stage(session, run_id, 1, DONE)
    with journal.rolled_back() as session:
        journal.log.stage(session, run_id, 1, Cancelled())
    journal.log.drop(run_id)

    assert signal.wait(0)
    assert client.read_all(journal.log) == journal.journal(run_id) == [*deltas(2), DONE]
    assert client.resets == []
    unfollow()


def test_ends_and_flushes_may_race(journal: JournalHouse) -> None:
    """Two transactions write the same batches at once: each event is at rest once, and every end has all before it."""
    other, stop, problems = journal.another_worker(), threading.Event(), list[BaseException]()
    runs = [journal.new_run() for _ in range(12)]

    def flusher() -> None:
        while not stop.wait(0.001):
            try:
                journal.flush(journal.log)
            except BaseException as problem:
                problems.append(problem)
                return

    def producer(run_id: str) -> None:
        try:
            for index in range(10):
                journal.log.append(run_id, 1, deltas(1, index))
            end(journal, journal.log, run_id, 1)
            assert read_all(other, run_id) == [*deltas(10), DONE]
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=producer, args=(run_id,)) for run_id in runs]
    flushing = threading.Thread(target=flusher)
    for thread in (flushing, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    flushing.join()

    assert problems == []
    for run_id in runs:
        assert journal.journal(run_id) == [*deltas(10), DONE]


def test_payloads_at_rest_hold_no_plain_text(journal: JournalHouse, tmp_path: Path) -> None:
    run_id, secret = journal.new_run(), "비밀 일기 secret diary"
    journal.log.append(run_id, 1, [Started("review"), Delta(0, secret)])
    journal.flush(journal.log)
    journal.log.append(run_id, 1, [Delta(1, secret)])
    end(journal, journal.log, run_id, 1)

    payloads = b"".join(row.payload for row in journal.rows(run_id))
    files = b"".join(path.read_bytes() for path in tmp_path.glob("sora.sqlite3*"))
    for piece in ("일기".encode(), b"diary"):
        assert piece not in payloads + files
    for piece in (b"delta", b"started", b"done"):
        assert piece not in payloads


def test_a_payload_copied_to_another_place_does_not_open(journal: JournalHouse) -> None:
    run_id, other_run = journal.new_run(), journal.new_run()
    for run in (run_id, other_run):
        journal.log.append(run, 1, deltas(1))
    journal.flush(journal.log)
    with journal.transaction() as session:
        stolen = sa.select(JournalRow.payload).where(JournalRow.run_id == run_id).scalar_subquery()
        session.execute(sa.update(JournalRow).where(JournalRow.run_id == other_run).values(payload=stolen))

    with pytest.raises(Exception, match="does not open"):
        journal.another_worker().read(other_run, ORIGIN, 10)


def test_a_gap_is_seen(journal: JournalHouse) -> None:
    run_id, other = journal.new_run(), journal.another_worker()
    for index in range(3):
        journal.log.append(run_id, 1, deltas(1, index))
        journal.flush(journal.log)
    with journal.transaction() as session:
        session.execute(sa.delete(JournalRow).where(JournalRow.run_id == run_id, JournalRow.first_seq == 2))

    assert other.read(run_id, ORIGIN, 10) == Span(1, 1, deltas(1))
    assert_nothing_after(Cursor(1, 2), other.read(run_id, Cursor(1, 1), 10))
    assert other.read(run_id, Cursor(1, 2), 10) == Span(1, 3, deltas(1, 2))


def test_a_run_that_is_gone_does_not_hold_up_the_others(journal: JournalHouse) -> None:
    gone, known, kept = journal.new_run(), journal.new_run(), journal.new_run()
    journal.log.append(known, 1, deltas(1))
    journal.flush(journal.log)
    with journal.transaction() as session:
        session.execute(sa.delete(RunRow).where(RunRow.id.in_([gone, known])))
    journal.log.append(gone, 1, deltas(1))
    journal.log.append(kept, 1, deltas(1))
    journal.flush(journal.log)
    assert journal.journal(kept) == deltas(1)

    journal.log.append(known, 1, deltas(1, 1))
    journal.log.append(kept, 1, deltas(1, 1))
    with pytest.raises(IntegrityError):
        journal.flush(journal.log)  # the round asks for the owners again, and is repeated
    journal.log.forget_owners()
    journal.flush(journal.log)
    assert journal.journal(kept) == deltas(2)
    assert journal.rows(known) == journal.rows(gone) == []


def test_purging_takes_what_has_expired_a_few_at_a_time(journal: JournalHouse) -> None:
    runs = [journal.new_run() for _ in range(5)]
    for run_id in runs:
        journal.log.append(run_id, 1, deltas(2))
        end(journal, journal.log, run_id, 1)
    for run_id in runs[:3]:
        journal.log.expire(run_id, 0.01)
    journal.log.expire(runs[3], 3600)

    expired = time.time() + 0.01
    wait_until(lambda: time.time() > expired, what="the expiry of all three")
    assert [journal.log.purge(limit=2) for _ in range(3)] == [2, 1, 0]
    assert [bool(journal.rows(run_id)) for run_id in runs] == [False, False, False, True, True]
    with pytest.raises(LogExpired):
        journal.log.read(runs[0], Cursor(1, 3), 10)
    assert len(read_all(journal.log, runs[3])) == 3


def test_ended_runs_leave_the_memory_unnoticed(
    journal: JournalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, going = journal.new_run(), journal.new_run()
    for run_id in (ended, going):
        journal.log.append(run_id, 1, deltas(3))
    end(journal, journal.log, ended, 1)
    leave = [journal.log.follow(run_id, lambda _: None) for run_id in (ended, going)]
    journal.log.tidy()
    assert journal.log.remote() == []
    monkeypatch.setattr(database_log, "_KEEP", -1.0)
    journal.log.tidy()

    assert journal.log.remote() == [ended]
    assert read_all(journal.log, ended) == [*deltas(3), DONE]
    assert read_all(journal.log, going) == deltas(3)
    for unfollow in leave:
        unfollow()


def test_a_whole_log_takes_the_place_of_a_partial_one(journal: JournalHouse) -> None:
    run_id, other, client = journal.new_run(), journal.another_worker(), Client("")
    client.run_id = run_id
    journal.log.append(run_id, 1, deltas(2))
    journal.flush(journal.log)
    end(journal, other, run_id, 2, Cancelled())
    client.read_all(other)
    with journal.transaction() as session:
        journal.log.rewrite(session, run_id, 3, [*deltas(6), DONE])

    assert journal.journal(run_id) == [*deltas(6), DONE]
    assert client.read_all(journal.another_worker(), 2) == [*deltas(6), DONE]
    assert client.resets == [0]


# -- the journal: other workers ----------------------------------------------------------------------------------------


def test_a_poll_wakes_the_followers_of_runs_that_have_grown(journal: JournalHouse) -> None:
    run_id, quiet, other = journal.new_run(), journal.new_run(), journal.another_worker()
    calls: list[str] = []
    leave = [other.follow(run, lambda _, run=run: calls.append(run)) for run in (run_id, quiet)]  # type: ignore[misc]
    assert sorted(other.remote()) == sorted([run_id, quiet])
    other.poll()
    assert calls == []

    journal.log.append(run_id, 1, deltas(1))
    other.poll()
    assert calls == []
    journal.flush(journal.log)
    other.poll()
    other.poll()
    assert calls == [run_id]
    end(journal, journal.log, run_id, 1)
    other.poll()
    assert calls == [run_id] * 2
    for unfollow in leave:
        unfollow()
    assert other.remote() == []
    other.poll()


def test_many_remote_runs_are_asked_for_in_parts(
    journal: JournalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_log, "_IDS", 3)
    runs, other, calls = [journal.new_run() for _ in range(8)], journal.another_worker(), list[str]()
    for run_id in runs:
        journal.log.append(run_id, 1, deltas(1))
    journal.flush(journal.log)
    leave = [other.follow(run, lambda _, run=run: calls.append(run)) for run in runs]  # type: ignore[misc]
    other.poll()

    assert sorted(calls) == sorted(runs)
    for unfollow in leave:
        unfollow()


def test_a_run_that_is_given_away_is_followed_in_the_journal(journal: JournalHouse) -> None:
    run_id, calls, other, client = journal.new_run(), list[int](), journal.another_worker(), Client("")
    client.run_id = run_id
    journal.log.append(run_id, 1, deltas(2))
    journal.flush(journal.log)
    journal.log.append(run_id, 1, deltas(2, 2))
    unfollow = journal.log.follow(run_id, lambda _: calls.append(1))
    client.read_all(journal.log)
    journal.log.drop(run_id)

    assert calls == [1]
    assert journal.log.remote() == [run_id]
    assert not journal.log.behind()
    for _ in range(2):
        with pytest.raises(StaleEpoch):
            journal.log.append(run_id, 1, deltas(1))
    with journal.transaction() as session, pytest.raises(StaleEpoch):
        journal.log.stage(session, run_id, 1, DONE)

    end(journal, other, run_id, 2, Cancelled())
    journal.log.poll()
    assert calls == [1, 1]
    assert client.read_all(journal.log) == [*deltas(2), Cancelled()]
    assert client.resets == [2]
    unfollow()


def test_a_stale_appender_never_becomes_the_owner_again(journal: JournalHouse) -> None:
    """Dropping may come at any moment of an append, on another thread."""
    interval, stale = sys.getswitchinterval(), list[str]()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(60):
            run_id, dropped = new_id(), threading.Event()
            unfollow = journal.log.follow(run_id, lambda _: None)

            def append(run_id: str = run_id, dropped: threading.Event = dropped) -> None:
                try:
                    for _ in range(1000):
                        journal.log.append(run_id, 1, deltas(1))
                    dropped.wait(10)  # a greenlet gives way here alone
                    journal.log.append(run_id, 1, deltas(1))
                except StaleEpoch:
                    stale.append(run_id)

            thread = threading.Thread(target=append)
            journal.log.append(run_id, 1, deltas(1))
            thread.start()
            journal.log.drop(run_id)
            dropped.set()
            thread.join()

            assert stale[-1] == run_id
            assert journal.log.remote() == [run_id]
            assert read_all(journal.log, run_id) == []
            unfollow()
    finally:
        sys.setswitchinterval(interval)


def test_a_takeover_begins_at_the_journals_end(journal: JournalHouse) -> None:
    run_id, other, events = journal.new_run(), journal.another_worker(), deltas(6)
    journal.log.append(run_id, 1, events[:3])
    journal.flush(journal.log)
    journal.log.append(run_id, 1, events[3:])

    assert other.append(run_id, 2, [Delta(3, "다른")]) == 4
    assert read_all(other, run_id) == [*events[:3], Delta(3, "다른")]
    assert end(journal, other, run_id, 2) == 5
    assert journal.journal(run_id) == [*events[:3], Delta(3, "다른"), DONE]


def test_a_takeover_by_the_same_worker_begins_there_too(journal: JournalHouse) -> None:
    run_id, events, client = journal.new_run(), deltas(6), Client("")
    client.run_id = run_id
    journal.log.append(run_id, 1, events[:3])
    journal.flush(journal.log)
    journal.log.append(run_id, 1, events[3:])
    client.read_all(journal.log)
    journal.log.drop(run_id)

    assert journal.log.append(run_id, 2, [Delta(3, "다른")]) == 4
    assert client.read_all(journal.log) == [*events[:3], Delta(3, "다른")]
    assert client.resets == [3]
    with pytest.raises(StaleEpoch):
        journal.log.append(run_id, 1, deltas(1))


@pytest.mark.parametrize("seq", range(7))
def test_cursors_beyond_a_restore_point_are_taken_back_to_it(journal: JournalHouse, seq: int) -> None:
    run_id, claimant, third = journal.new_run(), journal.another_worker(), journal.another_worker()
    events = deltas(6)
    journal.log.append(run_id, 1, events[:3])
    journal.flush(journal.log)
    journal.log.append(run_id, 1, events[3:])
    claimant.append(run_id, 2, [])
    whole: list[Event] = [*events[:3], Delta(3, "다른"), DONE]

    early = claimant.read(run_id, Cursor(1, seq), 10)
    if seq > 3:
        # Nothing has been added yet, but what was shown is taken back already.
        assert_nothing_after(Cursor(2, 3), early)
    claimant.append(run_id, 2, whole[3:4])
    end(journal, claimant, run_id, 2)
    for log in (claimant, third, journal.log if seq == 6 else third):
        if log is journal.log:
            journal.log.drop(run_id)
        client = Client(run_id)
        client.cursor, client.events = Cursor(1, seq), events[:seq]
        assert client.read_all(log, 2) == whole
        assert client.resets == ([3] if seq > 3 else [])


def test_the_lowest_of_several_restore_points_counts(journal: JournalHouse) -> None:
    """A reader of the first epoch has missed two takeovers; the second epoch wrote over what it was shown."""
    run_id, second, third = journal.new_run(), journal.another_worker(), journal.another_worker()
    journal.log.append(run_id, 1, deltas(5))
    journal.flush(journal.log)
    shown: list[Event] = [*deltas(5), *deltas(4, 5)]
    journal.log.append(run_id, 1, shown[5:])
    again: list[Event] = [Delta(5, "둘째"), Delta(6, "둘째")]
    second.append(run_id, 2, again)
    journal.flush(second)
    second.append(run_id, 2, deltas(3, 7))
    third.append(run_id, 3, [])

    whole = [*deltas(5), *again]
    for seq in range(10):
        client = Client(run_id)
        client.cursor, client.events = Cursor(1, seq), shown[:seq]
        assert client.read_all(third) == whole[: max(seq, 7)]
        assert client.resets == ([5] if seq > 5 else [])
    third.append(run_id, 3, deltas(1, 7))
    end(journal, third, run_id, 3)
    whole += [*deltas(1, 7), DONE]
    for log in (third, journal.another_worker()):
        for epoch, seen in ((1, shown), (2, [*whole[:7], *deltas(3, 7)])):
            for seq in range(len(seen) + 1):
                client = Client(run_id)
                client.cursor, client.events = Cursor(epoch, seq), list(seen[:seq])
                assert client.read_all(log) == whole, (epoch, seq)


# -- the journal: whatever happens -------------------------------------------------------------------------------------


class Workers(RuleBasedStateMachine):
    """Workers that append, flush, end, crash and take over, while clients read on any of them, against a plain list."""

    house: JournalHouse

    def __init__(self) -> None:
        super().__init__()
        self.run_id = self.house.new_run()
        self.owner, self.other = self.house.another_worker(), self.house.another_worker()
        self.epoch = 1
        self.truth: list[Event] = []  # what the owner has appended, on top of what was durable before it
        self.durable = 0
        self.ended = False
        self.reply: Callable[[], None] | None = None  # of a commit, on its way
        self.clients = [Client(self.run_id) for _ in range(3)]

    going = precondition(lambda self: not self.ended)

    @going
    @rule(events=st.lists(ongoing, max_size=3))
    def append(self, events: list[Event]) -> None:
        self.truth += events
        assert self.owner.append(self.run_id, self.epoch, events) == len(self.truth)

    @rule(outcome=st.sampled_from(["known", "late", "lost", "rolled back"]))
    def flush(self, outcome: str) -> None:
        self.arrive()  # one worker has one flusher
        if outcome == "rolled back":
            self.house.flush_in_vain(self.owner)
            return
        reply = self.house.begin_flush(self.owner)
        self.durable = len(self.truth)
        if outcome == "known":
            reply()
        elif outcome == "late":
            self.reply = reply

    @rule()
    def arrive(self) -> None:
        reply, self.reply = self.reply, None
        if reply is not None:
            reply()

    @going
    @rule(terminal=terminals, outcome=st.sampled_from(["known", "lost", "rolled back"]))
    def end(self, terminal: Event, outcome: str) -> None:
        if outcome == "rolled back":
            with self.house.rolled_back() as session:
                assert self.owner.stage(session, self.run_id, self.epoch, terminal) == len(self.truth) + 1
            return
        with self.house.transaction() as session:
            assert self.owner.stage(session, self.run_id, self.epoch, terminal) == len(self.truth) + 1
        self.truth.append(terminal)
        self.durable, self.ended = len(self.truth), True
        if outcome == "known":
            self.owner.append(self.run_id, self.epoch, [terminal])
        else:
            self.owner.drop(self.run_id)

    @going
    @rule(by=st.sampled_from(["a new worker", "the other", "itself"]), step=st.integers(1, 2))
    def take_over(self, by: str, step: int) -> None:
        """The owner is given up: killed, or told so in its next round."""
        self.reply = None
        if by == "itself":
            self.owner.drop(self.run_id)
        elif by == "the other":
            self.owner.drop(self.run_id)
            self.owner, self.other = self.other, self.owner
        else:
            self.owner = self.house.another_worker()
        self.epoch += step
        del self.truth[self.durable :]
        assert self.owner.append(self.run_id, self.epoch, []) == len(self.truth)

    @rule(number=st.integers(0, 2), here=st.booleans(), limit=st.integers(1, 5))
    def read(self, number: int, here: bool, limit: int) -> None:
        client = self.clients[number]
        client.read(self.owner if here else self.other, limit)
        if client.cursor.epoch == self.epoch:
            assert client.events == self.truth[: client.cursor.seq]

    def teardown(self) -> None:
        if not self.ended:
            self.end(DONE, "known")
        self.house.flush(self.owner)
        assert self.house.journal(self.run_id) == self.truth
        for client, log in zip(
            self.clients, (self.owner, self.other, self.house.another_worker()), strict=True
        ):
            assert client.read_all(log, 2) == self.truth


def test_whatever_happens_every_client_ends_with_the_whole(journal: JournalHouse) -> None:
    machine = type("Machine", (Workers,), {"house": journal})

    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=25, deadline=None)
    )
