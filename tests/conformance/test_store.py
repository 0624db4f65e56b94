"""What is at rest, on every database Sora supports: runs, and the reviews they leave."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sora.config import Config
from sora.engine.pipeline import Ended
from sora.errors import Conflict
from sora.events import Usage
from sora.pipelines.review import ReviewPipeline, ReviewRequest
from sora.store.crypto import Keyring
from sora.store.database import Database
from sora.store.models import JournalRow, ReviewRow, RunRow, WorkerRow
from sora.store.reviews import Position, Review, ReviewStore
from sora.store.runs import Ending, Run, RunStore, new_id, now
from tests.support import runs
from tests.support.rows import count

KEYRING = Keyring(["k1:" + base64.b64encode(bytes(range(32))).decode()])
RUNS = RunStore(KEYRING)
REVIEWS = ReviewStore(KEYRING)
DATE = dt.date(2026, 1, 20)
DAY = dt.timedelta(days=1)
_owners = itertools.count(1)


@pytest.fixture
def owner() -> str:
    return f"owner-{next(_owners)}"


def a_run(
    owner: str, *, key: str | None = None, worker: str = "w1", request: bytes = b"{}", **changes: object
) -> Run:
    run_id = new_id()
    return runs.a_run(
        owner,
        **{
            "id": run_id,
            "status": "pending",
            "worker": worker,
            "request": RUNS.seal_request(run_id, owner, request),
            "request_mac": KEYRING.mac(request),
            "idempotency_key": key,
            **changes,
        },
    )


def add_run(database: Database, run: Run) -> Run:
    with database.write() as session:
        assert RUNS.add(session, run)
    return run


def end(database: Database, run: Run, status: str = "completed", text: str = "잘했어요 🌱") -> bool:
    usage = Usage(3, 4, 7)
    with database.write() as session:
        return RUNS.end(session, run, Ending(status, text, 9, usage=usage, model="m"), ttl=60.0)


def find(database: Database, run: Run) -> Run:
    with database.read() as session:
        found = RUNS.find(session, run.id)
    assert found is not None
    return found


def add_review(database: Database, owner: str, **given: object) -> Review:
    values = {"date": DATE, "type": "FEELING", "body": "오늘", "feedback": "그랬군요"} | given
    with database.write() as session:
        review, _ = REVIEWS.add(session, owner, **values)  # type: ignore[arg-type]
    return review


def at_once(count: int, work: Callable[[], object]) -> list[object]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(count)]]


class TestRuns:
    def test_a_run_is_found_as_it_was_added(self, database: Database, owner: str) -> None:
        run = add_run(database, a_run(owner, request="비밀".encode()))

        found = find(database, run)

        assert replace(found, created_at=run.created_at) == run
        assert RUNS.request_of(found) == "비밀".encode()
        assert RUNS.text_of(found) == ""
        assert not found.final

    def test_a_key_starts_one_run(self, database: Database, owner: str) -> None:
        first = add_run(database, a_run(owner, key="k"))

        with database.write() as session:
            assert not RUNS.add(session, a_run(owner, key="k"))
            assert RUNS.add(session, a_run(owner + "-other", key="k"))
            assert RUNS.add(session, a_run(owner)) and RUNS.add(session, a_run(owner))
        with database.read() as session:
            found = RUNS.find_by_key(session, owner, "k", mac_of=b"{}")
            assert found is not None and found.id == first.id
            assert RUNS.find_by_key(session, owner, "another", mac_of=b"{}") is None
            with pytest.raises(Conflict):
                RUNS.find_by_key(session, owner, "k", mac_of=b"{ }")

    def test_a_key_used_at_once_starts_one_run(self, database: Database, owner: str) -> None:
        def start() -> bool:
            with database.write() as session:
                return RUNS.add(session, a_run(owner, key="k"))

        assert sorted(at_once(8, start)) == [False] * 7 + [True]  # type: ignore[type-var]

    def test_a_key_used_at_once_makes_one_ticket(self, database: Database, owner: str) -> None:
        """The run's row would break two rules then: none of them is an error."""

        for number in range(20):
            barrier, key = threading.Barrier(4), f"k{number}"

            def start(barrier: threading.Barrier = barrier, key: str = key) -> bool:
                with database.write() as session:
                    session.connection()
                    if database.dialect == "postgresql":  # SQLite's writers take turns as they begin
                        barrier.wait(10)
                    ticket = f"{owner} {key}"
                    return RUNS.add(session, a_run(owner, key=key), ticket=ticket, ticket_expires_at=1e10)

            assert sorted(at_once(4, start)) == [False] * 3 + [True]  # type: ignore[type-var]

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "interrupted"])
    def test_a_run_ends_once(self, database: Database, owner: str, status: str) -> None:
        run = add_run(database, a_run(owner))

        assert end(database, run, status)
        assert not end(database, run, "completed", "another end")

        found = find(database, run)
        assert (found.status, found.final, RUNS.text_of(found)) == (status, True, "잘했어요 🌱")
        assert (found.usage, found.model, found.last_seq) == (Usage(3, 4, 7), "m", 9)
        assert found.ended_at is not None
        assert found.log_expires_at is not None and 0 < found.log_expires_at - time.time() <= 60

    def test_ends_that_race_have_one_winner(self, database: Database, owner: str) -> None:
        run = add_run(database, a_run(owner))

        assert sorted(at_once(6, lambda: end(database, run))) == [False] * 5 + [True]  # type: ignore[type-var]

    def test_a_run_that_was_taken_is_no_longer_its_old_owners(self, database: Database, owner: str) -> None:
        run = add_run(database, a_run(owner))

        with database.write() as session:
            assert RUNS.take(session, run, "w2")
            assert not RUNS.take(session, run, "w3")

        taken = find(database, run)
        assert (taken.worker, taken.epoch) == ("w2", 2)
        assert not end(database, run)
        assert end(database, taken, "interrupted", "half")

    def test_a_whole_replaces_a_partial_once(self, database: Database, owner: str) -> None:
        run = add_run(database, a_run(owner))
        end(database, run, "interrupted", "half")
        with database.write() as session:
            session.add(JournalRow(run_id=run.id, first_seq=1, last_seq=2, epoch=1, payload=b"x"))
        whole = Ending("completed", "the whole", 12)

        with database.write() as session:
            assert RUNS.replace_interrupted(session, run, whole, ttl=1.0)
            assert not RUNS.replace_interrupted(session, run, whole, ttl=1.0)

        found = find(database, run)
        assert (found.status, found.epoch, RUNS.text_of(found)) == ("completed", 2, "the whole")
        assert count(database, JournalRow) == 0

    def test_a_worker_hears_what_is_wanted_of_its_runs(self, database: Database, owner: str) -> None:
        quiet, cancelled, read, late = (add_run(database, a_run(owner)) for _ in range(4))
        elsewhere, ended = add_run(database, a_run(owner, worker="w2")), add_run(database, a_run(owner))
        end(database, ended)

        with database.write() as session:
            for run in (cancelled, elsewhere, ended):
                RUNS.request_cancel(session, run.id)
            RUNS.stamp_reads(session, [read.id, ended.id])
            RUNS.stamp_reads(session, [read.id])
            for run in (late, read, ended):
                RUNS.supersede(session, run.id, True)
            RUNS.supersede(session, read.id, False)
        with database.read() as session:
            wishes = set(RUNS.wishes(session, "w1"))

        assert wishes == {
            (cancelled.id, True, False, 0),
            (read.id, False, False, 2),
            (late.id, False, True, 0),
        }
        assert not find(database, ended).cancel_requested and not find(database, quiet).cancel_requested

    def test_runs_of_workers_that_are_gone_are_orphans(self, database: Database, owner: str) -> None:
        with database.write() as session:
            for worker, alive in (("w1", True), ("w2", False)):
                session.add(WorkerRow(id=worker, host="h", pid=1, alive=alive, started_at=now()))
        add_run(database, a_run(owner))
        dead, unknown = (add_run(database, a_run(owner, worker=worker)) for worker in ("w2", "w3"))
        doubtful, ended = (add_run(database, a_run(owner, worker=worker)) for worker in ("w1", "w2"))
        end(database, ended)

        with database.read() as session:
            orphans = {run.id for run in RUNS.orphans(session, [doubtful.id, ended.id], limit=10)}

        assert orphans == {dead.id, unknown.id, doubtful.id}

    def test_begin_marks_only_what_is_pending(self, database: Database, owner: str) -> None:
        pending, ended = add_run(database, a_run(owner)), add_run(database, a_run(owner))
        end(database, ended)

        with database.write() as session:
            RUNS.begin(session, [pending.id, ended.id])

        assert (find(database, pending).status, find(database, ended).status) == ("running", "completed")

    def test_a_list_is_newest_first_and_goes_on_where_it_stopped(
        self, database: Database, owner: str
    ) -> None:
        moment = now()
        # Several runs of one moment: the order must not leave one out between pages.
        runs = [add_run(database, a_run(owner, created_at=moment + (i // 3) * DAY)) for i in range(7)]
        add_run(database, a_run(owner + "-other"))
        end(database, runs[0])

        seen: list[Run] = []
        with database.read() as session:
            while page := RUNS.list(
                session, owner, status=None, limit=2, before=seen[-1].id if seen else None
            ):
                seen += page
            completed = RUNS.list(session, owner, status="completed", limit=5, before=None)

        expected = sorted(runs, key=lambda run: (run.created_at, run.id), reverse=True)
        assert [run.id for run in seen] == [run.id for run in expected]
        assert [run.id for run in completed] == [runs[0].id]

    def test_a_ticket_names_its_run_again_and_again_once_it_was_used_in_time(
        self, database: Database, owner: str
    ) -> None:
        run, late = a_run(owner), a_run(owner)
        with database.write() as session:
            RUNS.add(session, run, ticket="good", ticket_expires_at=time.time() + 60)
            RUNS.add(session, late, ticket="late", ticket_expires_at=time.time() - 1)

        with database.write() as session:
            found = [RUNS.find_by_ticket(session, ticket) for ticket in ("good", "good", "late", "made up")]
            session.execute(sa.update(RunRow).where(RunRow.id == run.id).values(ticket_expires_at=0.0))
            again = RUNS.find_by_ticket(session, "good")

        assert [one and one.id for one in found] == [run.id, run.id, None, None]
        assert again is not None and again.id == run.id

    def test_a_ticket_is_good_until_its_log_expires(self, database: Database, owner: str) -> None:
        run = a_run(owner)
        with database.write() as session:
            RUNS.add(session, run, ticket="good", ticket_expires_at=time.time() + 60)
            assert RUNS.find_by_ticket(session, "good")
            for expires_at, good in ((time.time() + 60, True), (time.time() - 1, False), (0.0, False)):
                session.execute(
                    sa.update(RunRow).where(RunRow.id == run.id).values(log_expires_at=expires_at)
                )
                assert bool(RUNS.find_by_ticket(session, "good")) is good

    def test_only_a_final_run_is_deleted_and_its_log_with_it(self, database: Database, owner: str) -> None:
        run = add_run(database, a_run(owner))
        with database.write() as session:
            session.add(JournalRow(run_id=run.id, first_seq=1, last_seq=2, epoch=1, payload=b"x"))

        with database.write() as session:
            assert not RUNS.delete(session, run.id)
        assert count(database, JournalRow) == 1
        end(database, run)
        with database.write() as session:
            assert RUNS.delete(session, run.id)
            assert not RUNS.delete(session, run.id)
        assert count(database, RunRow) == count(database, JournalRow) == 0


class TestReviews:
    def test_a_review_is_found_as_it_was_added(self, database: Database, owner: str) -> None:
        review = add_review(database, owner, body="비가 왔다\n\u2028", feedback="")

        with database.read() as session:
            assert REVIEWS.find(session, owner, review.id) == review
            assert REVIEWS.find(session, owner + "-other", review.id) is None
            assert REVIEWS.find(session, owner, "unknown") is None

    def test_nothing_readable_is_at_rest(self, database: Database, owner: str) -> None:
        add_review(database, owner, body="a secret diary", feedback="a secret answer")

        with database.read() as session:
            row = session.scalars(sa.select(ReviewRow)).one()
        assert b"secret" not in row.body + row.feedback

    def test_a_run_is_saved_once(self, database: Database, owner: str) -> None:
        first = add_review(database, owner, run_id="run")
        again = add_review(database, owner, run_id="run", feedback="another")
        other = add_review(database, owner, run_id="other")

        assert again == first
        assert other.id != first.id
        assert count(database, ReviewRow) == 2

    def test_a_key_saves_one_review(self, database: Database, owner: str) -> None:
        first = add_review(database, owner, idempotency_key="k", mac_of=b"request")

        assert add_review(database, owner, idempotency_key="k", mac_of=b"request") == first
        with pytest.raises(Conflict):
            add_review(database, owner, idempotency_key="k", mac_of=b"another")
        add_review(database, owner + "-other", idempotency_key="k", mac_of=b"another")
        add_review(database, owner), add_review(database, owner)
        assert count(database, ReviewRow) == 4

    def test_a_key_used_at_once_saves_one_review(self, database: Database, owner: str) -> None:
        saved = at_once(8, lambda: add_review(database, owner, idempotency_key="k", mac_of=b"request"))

        assert len(set(saved)) == 1
        assert count(database, ReviewRow) == 1

    def test_a_month_shows_the_newest_of_each_day(self, database: Database, owner: str) -> None:
        for day, type in ((20, "FEELING"), (3, "THINKING"), (20, "THINKING"), (31, "FEELING")):
            add_review(database, owner, date=dt.date(2026, 1, day), type=type)
        add_review(database, owner, date=dt.date(2026, 2, 1))
        add_review(database, owner, date=dt.date(2025, 1, 3))
        add_review(database, owner + "-other", date=dt.date(2026, 1, 4))

        with database.read() as session:
            month = REVIEWS.month(session, owner, year=2026, month=1)
            assert REVIEWS.month(session, owner, year=9999, month=12) == []

        assert month == [(3, "THINKING"), (20, "THINKING"), (31, "FEELING")]

    def test_a_day_shows_its_newest_and_names_the_others(self, database: Database, owner: str) -> None:
        first, second, third = (add_review(database, owner) for _ in range(3))
        add_review(database, owner, date=DATE + DAY)
        add_review(database, owner + "-other")

        with database.read() as session:
            assert REVIEWS.day(session, owner, DATE) == (third, [second.id, first.id])
            assert REVIEWS.day(session, owner, DATE - DAY) is None

    def test_deleting_a_review_deletes_the_run_that_wrote_it(self, database: Database, owner: str) -> None:
        run, other = add_run(database, a_run(owner)), add_run(database, a_run(owner))
        with database.write() as session:
            session.add(JournalRow(run_id=run.id, first_seq=1, last_seq=2, epoch=1, payload=b"x"))
        end(database, run), end(database, other)
        review, kept = add_review(database, owner, run_id=run.id), add_review(database, owner)

        with database.write() as session:
            assert not REVIEWS.delete(session, owner + "-other", review.id)
        assert count(database, RunRow) == 2
        with database.write() as session:
            assert REVIEWS.delete(session, owner, review.id)
            assert not REVIEWS.delete(session, owner, review.id)
            assert REVIEWS.find(session, owner, kept.id) == kept
            assert RUNS.find(session, run.id) is None and RUNS.find(session, other.id) is not None
        assert count(database, JournalRow) == 0

    def test_a_page_says_when_there_is_no_more(self, database: Database, owner: str) -> None:
        with database.read() as session:
            assert REVIEWS.page(session, owner) == ([], None)
        reviews = [add_review(database, owner) for _ in range(10)]

        with database.read() as session:
            assert REVIEWS.page(session, owner) == (reviews[::-1], None)
            nine, after = REVIEWS.page(session, owner, limit=9)
            assert nine == reviews[:0:-1]
            assert after is not None
            assert REVIEWS.page(session, owner, after) == ([reviews[0]], None)

    def test_after_a_date_come_older_reviews(self, database: Database, owner: str) -> None:
        older = add_review(database, owner, date=DATE - DAY)
        add_review(database, owner), add_review(database, owner, date=DATE + DAY)

        with database.read() as session:
            assert REVIEWS.page(session, owner, Position.parse("2026-01-20")) == ([older], None)

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        dates=st.lists(st.integers(0, 3), max_size=12),
        limit=st.integers(1, 5),
        deleted=st.sets(st.integers(0, 11)),
    )
    def test_pages_hold_every_review_once(
        self, database: Database, dates: list[int], limit: int, deleted: set[int]
    ) -> None:
        """In order, also when the last of each page is deleted, or newer ones are added, before the next is read."""
        owner = f"owner-{next(_owners)}"
        reviews = [add_review(database, owner, date=DATE + days * DAY) for days in dates]
        expected = sorted(reviews, key=lambda one: (one.date, one.created_at, one.id), reverse=True)

        seen: list[Review] = []
        after: Position | None = None
        for number in itertools.count():
            with database.read() as session:
                page, after = REVIEWS.page(session, owner, after, limit=limit)
            seen += page
            if after is None:
                break
            assert len(page) == limit
            after = Position.parse(str(after))
            if number in deleted:
                with database.write() as session:
                    REVIEWS.delete(session, owner, page[-1].id)
                add_review(database, owner, date=DATE + 9 * DAY)

        assert seen == expected

    @given(
        st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
    )
    def test_a_position_that_is_made_up_is_refused_or_harmless(self, text: str) -> None:
        try:
            position = Position.parse(text)
        except ValueError:
            return
        assert position.id == "" or position.id.isalnum()


class TestReviewPipeline:
    REQUEST = ReviewRequest(body="오늘", type="THINKING", review_date=DATE, name="보라").encode()

    def save(
        self, database: Database, run: Run, *, status: str = "completed", text: str = "조언"
    ) -> list[Review]:
        pipeline = ReviewPipeline(Config(), reviews=REVIEWS)
        with database.write() as session:
            pipeline.save(session, Ended(run, self.REQUEST, status, text))
            return REVIEWS.page(session, run.owner)[0]

    def test_a_completed_run_is_saved_as_a_review(self, database: Database, owner: str) -> None:
        run = a_run(owner)

        (review,) = self.save(database, run)

        assert (review.run_id, review.date, review.type) == (run.id, DATE, "THINKING")
        assert (review.body, review.feedback) == ("오늘", "조언")

    def test_saving_again_saves_nothing_more(self, database: Database, owner: str) -> None:
        run = a_run(owner)

        assert self.save(database, run) == self.save(database, run)

    def test_an_empty_answer_is_saved_as_it_is(self, database: Database, owner: str) -> None:
        (review,) = self.save(database, a_run(owner), text="")

        assert review.feedback == ""

    @pytest.mark.parametrize("status", ["failed", "cancelled", "interrupted"])
    def test_a_partial_is_not_a_review(self, database: Database, owner: str, status: str) -> None:
        assert self.save(database, a_run(owner), status=status) == []
