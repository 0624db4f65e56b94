"""Runs: started once, told in order, saved whole, and found again."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.orm import Session

from sora.engine.engine import Engine, Order
from sora.engine.pipeline import Ended
from sora.errors import Conflict, NotFound, Overloaded, RunActive, TooManyRuns
from sora.events import Metadata, Progress, Result, Started
from sora.pipelines.review import ReviewRequest
from sora.store.models import JournalRow, ReviewRow, RunRow
from sora.store.reviews import ReviewStore
from sora.store.runs import Run
from tests.engine.workers import KEYRING, OWNER, Client, Script, Workers, begin, ended, order, read, told
from tests.support.rows import count
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

STALLED = "sim-n9-d0-stall3"


class TestARun:
    def test_is_told_in_order_and_saved_as_it_was_told(self, engine: Engine) -> None:
        run = begin(engine, "sim-n50-d1")
        client = read(engine, run)

        assert client.events == ["started", *["delta"] * 50, "usage", "done"]
        assert [frame.id for frame in client.frames] == [f"{run.id}:1-{n}" for n in range(1, 54)]
        assert [frame.json()["index"] for frame in client.frames[1:51]] == list(range(50))
        saved = engine.get(run.id, owner=OWNER)
        assert (saved.status, saved.finish_reason, saved.error_code) == ("completed", "stop", None)
        assert (saved.last_seq, saved.model) == (53, "sim-n50-d1")
        assert engine.text(saved) == client.text != ""
        usage = client.frames[-2].json()
        assert saved.usage is not None
        assert usage == {
            "input_tokens": saved.usage.input_tokens,
            "output_tokens": 50,
            "total_tokens": saved.usage.input_tokens + 50,
        }

    def test_tells_what_its_pipeline_yields(self, sqlite_workers: Workers) -> None:
        before, after = (
            Progress("draft", "draft", "in_progress", "쓰는 중"),
            [Metadata({"a": 1}), Result({"b": "나"})],
        )
        engine = sqlite_workers(Script(before=[before], after=after))
        run = begin(engine, "sim-n2-d0-nousage")

        assert read(engine, run).events == [
            "started",
            "progress",
            "delta",
            "delta",
            "metadata",
            "result",
            "done",
        ]
        assert engine.recovery.events(run)[:2] == [Started("script"), before]

    def test_is_pending_then_running_and_its_text_can_be_seen_meanwhile(self, engine: Engine) -> None:
        run = begin(engine, STALLED)
        assert run.status == "pending"
        client = Client(engine, run).until(4)

        assert engine.text(engine.get(run.id, owner=OWNER)) == client.text != ""
        assert Client(engine, run).until(4).text == client.text
        wait_until(lambda: engine.get(run.id, owner=OWNER).status == "running")
        engine.cancel(run.id, owner=OWNER)
        client.end()

    def test_cleans_what_the_model_sends(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers()
        run = begin(engine, "sim-n30-d0-surrogate")
        text = read(engine, run).text

        assert "😊" in text and "\ufffdlone" in text and "\0" not in text
        assert engine.text(engine.get(run.id, owner=OWNER)) == text

    def test_of_a_review_saves_the_review(self, workers: Workers) -> None:
        engine = workers(model="sim-n20-d0")
        request = ReviewRequest(
            body="오늘은 힘들었다", type="FEELING", review_date=dt.date(2026, 1, 20), name="보라"
        )
        run, _ = engine.begin(Order(OWNER, "review", request.encode(), "ko"))
        text = read(engine, run).text

        with engine.database.read() as session:
            ((review,), _) = ReviewStore(KEYRING).page(session, OWNER)
        assert (review.run_id, review.body, review.feedback) == (run.id, "오늘은 힘들었다", text)

    @pytest.mark.parametrize(
        ("script", "code"),
        [
            ("sim-n9-d0-error4", "upstream_error"),
            ("sim-n9-d0-cut4", "upstream_error"),
            ("sim-n9-d0-filter4", "content_filter"),
            ("sim-429", "upstream_rate_limited"),
        ],
    )
    def test_that_fails_keeps_what_it_had(self, sqlite_workers: Workers, script: str, code: str) -> None:
        engine = sqlite_workers()
        run = begin(engine, script)
        client = read(engine, run)

        assert [frame.event for frame in client.terminals] == ["error"]
        assert client.frames[-1].json()["code"] == code
        saved = engine.get(run.id, owner=OWNER)
        assert (saved.status, saved.error_code) == ("failed", code)
        assert engine.text(saved) == client.text
        assert bool(client.text) == (script != "sim-429")

    def test_whose_saving_fails_ends_as_failed_and_keeps_its_text(self, workers: Workers) -> None:
        def saving(session: Session, end: Ended) -> None:
            if end.status == "completed":
                session.add(ReviewRow(id="x", owner=OWNER))  # most of a review is missing
                session.flush()

        engine = workers(Script(saving=saving))
        run = begin(engine, "sim-n5-d0")
        client = read(engine, run)

        assert client.events[-1:] == ["error"] and len(client.terminals) == 1
        assert client.frames[-1].json()["code"] == "internal"
        saved = engine.get(run.id, owner=OWNER)
        assert (saved.status, saved.error_code) == ("failed", "internal")
        assert engine.text(saved) == client.text != ""

    def test_whose_saving_always_fails_ends_too(self, sqlite_workers: Workers) -> None:
        def saving(session: Session, end: Ended) -> None:
            raise ZeroDivisionError

        engine = sqlite_workers(Script(saving=saving))
        run = begin(engine, "sim-n5-d0")
        client = read(engine, run)

        assert client.events[-1] == "error" and len(client.terminals) == 1
        saved = ended(engine, run)
        assert (saved.status, saved.error_code) == ("failed", "internal")
        assert engine.text(saved) == client.text != ""

    def test_whose_pipeline_fails_says_so_in_words_of_ours(self, sqlite_workers: Workers) -> None:
        class Broken(Script):
            def steps(self, run: Run, request: bytes):  # type: ignore[no-untyped-def]
                yield from Script().steps(run, b"sim-n3-d0")
                raise ZeroDivisionError("a secret")

        engine = sqlite_workers(Broken())
        client = read(engine, begin(engine))

        assert client.frames[-1].json()["code"] == "internal"
        assert "secret" not in client.frames[-1].data and client.text


class TestAKey:
    def test_starts_one_run(self, engine: Engine) -> None:
        run, created = engine.begin(order(idempotency_key="k"))
        again, created_again = engine.begin(order(idempotency_key="k"))

        assert (created, created_again) == (True, False)
        assert again.id == run.id
        read(engine, run)
        finished, _ = engine.begin(order(idempotency_key="k"))
        assert (finished.id, finished.status) == (run.id, "completed")
        assert begin(engine, idempotency_key="k", owner="another").id != run.id

    def test_used_by_another_request_is_a_conflict(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers()
        read(engine, begin(engine, idempotency_key="k"))

        with pytest.raises(Conflict):
            begin(engine, "sim-n21-d0", idempotency_key="k")
        with pytest.raises(Conflict):
            begin(engine, idempotency_key="k", on_disconnect="cancel")

    def test_used_twenty_times_at_once_on_two_workers_asks_the_model_once(
        self, workers: Workers, simulator: Simulator
    ) -> None:
        engines = [workers(), workers()]
        with ThreadPoolExecutor(20) as pool:
            begun = list(pool.map(lambda n: engines[n % 2].begin(order(idempotency_key="k")), range(20)))

        assert len({run.id for run, _ in begun}) == 1
        assert sum(created for _, created in begun) == 1
        texts = {read(engines[n], begun[0][0]).text for n in (0, 1)}
        assert len(texts) == 1
        assert len(simulator.requests()) == 1
        assert count(engines[0].database, RunRow) == 1


class TestAdmission:
    def test_is_limited_per_worker_and_per_principal(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers(max_runs=3, max_runs_per_principal=2)
        runs = [begin(engine, STALLED, owner=owner) for owner in ("a", "a", "b")]

        with pytest.raises(Overloaded):
            begin(engine, owner="c")
        engine.cancel(runs[2].id, owner="b")
        ended(engine, runs[2])
        with pytest.raises(TooManyRuns) as refused:
            begin(engine, owner="a")
        assert refused.value.retry_after
        read(engine, begin(engine, owner="c"))

    def test_lets_a_known_key_through(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers(max_runs=1)
        run = begin(engine, STALLED, idempotency_key="k")

        assert begin(engine, STALLED, idempotency_key="k").id == run.id


class TestAFinalRun:
    def test_is_retried_as_a_new_run(self, sqlite_workers: Workers, simulator: Simulator) -> None:
        engine = sqlite_workers()
        run = begin(engine, STALLED, idempotency_key="k", on_disconnect="cancel")
        with pytest.raises(RunActive):
            engine.retry(run.id, owner=OWNER)
        told(engine, run, 4)
        engine.cancel(run.id, owner=OWNER)
        ended(engine, run)

        again = engine.retry(run.id, owner=OWNER)
        told(engine, again, 4)
        assert (again.retry_of, again.on_disconnect) == (run.id, "cancel")
        assert again.id != run.id and len(simulator.requests()) == 2
        engine.cancel(again.id, owner=OWNER)

    def test_is_deleted_with_its_log(self, engine: Engine) -> None:
        run = begin(engine, STALLED)
        with pytest.raises(RunActive):
            engine.delete(run.id, owner=OWNER)
        engine.cancel(run.id, owner=OWNER)
        ended(engine, run)

        engine.delete(run.id, owner=OWNER)
        with pytest.raises(NotFound):
            engine.get(run.id, owner=OWNER)
        assert count(engine.database, JournalRow) == 0

    def test_that_is_somebody_elses_is_not_there(self, sqlite_workers: Workers) -> None:
        engine = sqlite_workers()
        run = begin(engine)
        for ask in (engine.get, engine.cancel, engine.retry, engine.delete):
            with pytest.raises(NotFound):
                ask(run.id, owner="somebody")
        assert engine.list("somebody") == []
        read(engine, run)

    def test_is_listed_newest_first_page_by_page(self, engine: Engine) -> None:
        runs = [begin(engine, "sim-n1-d0") for _ in range(5)]
        for run in runs:
            ended(engine, run)
        begin(engine, "sim-n1-d0", owner="another")

        first = engine.list(OWNER, limit=3)
        rest = engine.list(OWNER, limit=3, before=first[-1].id)
        assert [run.id for run in first + rest] == [run.id for run in reversed(runs)]
        assert engine.list(OWNER, status="failed") == []
        assert len(engine.list(OWNER, status="completed")) == 5
