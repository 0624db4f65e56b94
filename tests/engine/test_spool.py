"""The spool: what the database did not take before the process had to go is saved at the next start."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

from sora.engine.engine import Engine, Order
from sora.pipelines.review import ReviewRequest
from sora.store.models import ReviewRow
from sora.store.runs import Ending, Run
from tests.engine.workers import (
    OWNER,
    Client,
    Unreliable,
    Workers,
    begin,
    ended,
    read,
    text_of,
    told,
)
from tests.support.postgres import Postgres
from tests.support.rows import count
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until


def files(engine: Engine) -> list[Path]:
    folder = engine.config.instance / "spool"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def spooled(engine: Engine, run: Run) -> Client:
    """Stops a worker whose database takes nothing from the run's end on; the run's client."""
    client = Client(engine, run).until(3)
    told(engine, run, 20)
    engine.database.loses = lambda: "commit"  # type: ignore[attr-defined]
    wait_until(lambda: "progress" in client.events, what="word of the saving")
    engine.stop(grace=0.6)
    client.end()
    assert isinstance(client.error, ConnectionResetError) and not client.terminals
    return client


def test_an_ending_is_kept_and_saved_at_the_next_start(workers: Workers) -> None:
    engine = workers(database=Unreliable)
    run = begin(engine, "sim-n60-d5")
    client = spooled(engine, run)

    (file,) = files(engine)
    assert file.stat().st_mode & 0o077 == 0
    kept = file.read_bytes()
    assert not any(word.encode() in kept for word in client.text.split() if len(word.encode()) > 3)

    again = workers()
    saved = ended(again, run)
    assert (saved.status, saved.epoch, saved.finish_reason) == ("completed", 1, "stop")
    assert again.text(saved) == client.text != ""
    assert saved.usage is not None
    wait_until(lambda: not files(again), what="an empty spool")
    rest = read(again, run, cursor=client.cursor, resumed=True)
    assert rest.events[-1] == "done" and "reset" not in rest.events
    assert text_of(client.frames + rest.frames) == client.text
    assert [frame.id for frame in read(again, run).frames] == [
        f"{run.id}:1-{n}" for n in range(1, (saved.last_seq or 0) + 1)
    ]


def test_the_whole_takes_the_place_of_anothers_partial(workers: Workers, tmp_path: Path) -> None:
    engine = workers(database=Unreliable, model="sim-n60-d5")
    request = ReviewRequest(body="오늘", type="FEELING", review_date=dt.date(2026, 1, 20), name="보라")
    run, _ = engine.begin(Order(OWNER, "review", request.encode(), "ko"))
    whole = spooled(engine, run)
    other = workers(instance_path=str(tmp_path / "elsewhere"), lease=0.5)
    partial = read(other, run)
    taken = ended(other, run)
    assert (taken.status, taken.epoch) == ("interrupted", 2)
    assert (
        partial.events[-1] == "error" and whole.text.startswith(partial.text) and partial.text != whole.text
    )

    back = workers()
    wait_until(lambda: back.get(run.id, owner=OWNER).status == "completed", what="the whole")

    saved = back.get(run.id, owner=OWNER)
    assert (saved.epoch, saved.error_code, saved.finish_reason) == (3, None, "stop")
    assert back.text(saved) == whole.text
    rest = read(back, run, cursor=partial.cursor, resumed=True)
    assert rest.events[0] == "reset" and rest.frames[0].json() == {"seq": 0}
    assert rest.events[-1] == "done" and len(rest.terminals) == 1
    assert text_of(partial.frames + rest.frames) == whole.text
    assert not back.exhausted(saved, format="native", cursor=partial.cursor)
    assert read(back, run).text == whole.text
    assert count(back.database, ReviewRow) == 1
    wait_until(lambda: not files(back), what="an empty spool")


def test_an_ending_waits_for_a_claimant_that_is_not_done(sqlite_workers: Workers) -> None:
    engine = sqlite_workers(database=Unreliable)
    run = begin(engine, "sim-n60-d5")
    whole = spooled(engine, run)
    with engine.database.read() as session:
        row = engine.store.find(session, run.id)
    engine.database.loses = lambda: ""  # type: ignore[attr-defined]
    assert row is not None
    with engine.database.write() as session:
        assert engine.store.take(session, row, "nobody")

    back = sqlite_workers()
    wait_until(lambda: back.get(run.id, owner=OWNER).status == "completed", what="the whole")
    assert back.text(back.get(run.id, owner=OWNER)) == whole.text


def test_an_ending_that_was_saved_after_all_changes_nothing(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()
    run = begin(engine)
    read(engine, run)
    saved = engine.get(run.id, owner=OWNER)
    events = engine.recovery.events(run)
    engine.spool.put(run, Ending("interrupted", "other", len(events), "error", "interrupted"), events)

    wait_until(lambda: not files(engine), what="an empty spool")
    assert engine.get(run.id, owner=OWNER) == saved


def test_an_entry_that_cannot_be_read_stays_and_holds_up_no_other(sqlite_workers: Workers) -> None:
    engine = sqlite_workers(database=Unreliable)
    run = begin(engine, "sim-n60-d5")
    spooled(engine, run)
    broken = files(engine)[0].with_name("0-1")
    broken.write_bytes(b"not ours")

    back = sqlite_workers()
    assert ended(back, run).status == "completed"
    wait_until(lambda: files(back) == [broken])


def test_an_interrupted_run_is_spooled_as_such(sqlite_workers: Workers) -> None:
    engine = sqlite_workers(database=Unreliable)
    run = begin(engine, "sim-n9-d0-stall5")
    client = Client(engine, run).until(6)
    engine.database.loses = lambda: "commit"  # type: ignore[attr-defined]
    engine.stop(grace=0.6)
    client.end()

    back = sqlite_workers()
    saved = ended(back, run)
    assert (saved.status, back.text(saved)) == ("interrupted", client.text)
    assert read(back, run, cursor=client.cursor).events == ["error"]


def test_a_database_that_hangs_does_not_keep_the_ending_from_the_disk(
    postgres_workers: Workers, postgres: Postgres
) -> None:
    engine = postgres_workers(database_timeout=1.0)
    run = begin(engine, "sim-n60-d5")
    client = Client(engine, run).until(3)
    postgres.pause()
    try:
        told(engine, run, 62)
        began = time.monotonic()
        engine.stop(grace=0.6)
        assert len(files(engine)) == 1
        assert time.monotonic() - began < 6
    finally:
        postgres.resume()
    client.end()

    back = postgres_workers()
    wait_until(lambda: back.get(run.id, owner=OWNER).final, what="the end")
    assert back.get(run.id, owner=OWNER).status == "completed"
    assert back.text(back.get(run.id, owner=OWNER)) == client.text


def test_another_application_that_spools_in_the_same_folder_leaves_it_alone(
    sqlite_workers: Workers, simulator: Simulator, tmp_path: Path
) -> None:
    engine = sqlite_workers(database=Unreliable)
    run = begin(engine, "sim-n60-d5")
    client = spooled(engine, run)
    others = Workers(
        f"sqlite:///{tmp_path / 'other.sqlite3'}", model_url=simulator.url, folder=engine.config.instance
    )
    other = others()
    try:
        other.spool.replay()
        assert len(files(engine)) == 1
    finally:
        others.close()

    again = sqlite_workers()
    assert again.text(ended(again, run)) == client.text
    wait_until(lambda: not files(again), what="an empty spool")
