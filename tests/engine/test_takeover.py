"""A worker dies, and another goes on with the answers that are made in the background: nothing lost, nothing doubled."""

from __future__ import annotations

import random
import threading
import time
from _thread import start_new_thread
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.engine.engine import Engine
from sora.engine.generation import Generate, Message
from sora.engine.pipeline import Ended, Pipeline, Steps
from sora.events import Delta, Metadata, Progress, Source, text_of
from sora.store.models import RunRow
from sora.store.runs import Run
from tests.engine.workers import (
    OWNER,
    Client,
    Script,
    Unreliable,
    Workers,
    begin,
    ended,
    kill,
    read,
    told,
)
from tests.engine.workers import text_of as shown
from tests.support.client import request
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

KEY = {"Authorization": "Bearer any"}
KILLS = 50
AT_ONCE = 10  # workers that are killed beside each other


class Rich(Script):
    """A pipeline with steps before and after its model call, whose metadata is another each time."""

    def __init__(self) -> None:
        super().__init__(before=(progress("search"), progress("answer")))
        self.saved: list[Ended] = []
        self.gate = threading.Event()

    def steps(self, run: Run, request: bytes) -> Steps:
        yield from super().steps(run, request)
        yield progress("answered")
        yield Source("https://a.example/", "A")
        yield Source("https://b.example/", "B")
        yield Metadata({"at": time.monotonic_ns()})
        self.gate.wait(10)

    def save(self, session: Session, ended: Ended) -> None:
        self.saved.append(ended)


class Twice(Script):
    """Two model calls; the second is the one that takes long."""

    def steps(self, run: Run, request: bytes) -> Steps:
        for script in ("sim-n9-d2", request.decode()):
            yield Generate(
                messages=(Message("user", "안녕 🌱"),),
                models=(script,),
                max_tokens=100,
                temperature=0.7,
                top_p=0.9,
            )


def progress(stage: str) -> Progress:
    return Progress(stage, stage, "in_progress", stage)


def mortal(workers: Workers, *pipelines: Pipeline, **settings: object) -> Engine:
    """A worker to be killed."""
    return workers(*pipelines, database=Unreliable, background=True, **settings)


def survivor(workers: Workers, *pipelines: Pipeline, **settings: object) -> Engine:
    return workers(*pipelines, background=True, **{"lease": 0.5, **settings})


def noted(engine: Engine, run: Run) -> None:
    """Returns once it is written down where the run can be gone on with, at the latest when it is over."""

    def there() -> bool:
        with engine.database.read() as session:
            row = engine.store.find(session, run.id)
        return row is not None and (row.final or row.upstream is not None)

    wait_until(there, what="the note")


def taken(engine: Engine, run: Run) -> None:
    wait_until(lambda: engine.produces(run.id), what="the takeover")


def whole(client: Client, text: str) -> None:
    """The client has read the run to its end."""
    client.end()
    assert client.error is None, repr(client.error)
    assert client.events[-1] == "done" and len(client.terminals) == 1
    assert client.text == text


def usual(engine: Engine, script: str) -> str:
    """The text of a script when nothing happens."""
    return read(engine, begin(engine, script)).text


def stopped(simulator: Simulator, script: str) -> bool:
    return any(seen["stopped"] for seen in simulator.requests() if seen["model"] == script)


def made(simulator: Simulator, script: str) -> int:
    """How many answers were asked for."""
    return sum(1 for seen in simulator.requests() if seen["model"] == script)


def kill_at(count: int, produced: tuple[Engine, Run], client: Client) -> None:
    """Kill a run's worker, and cut its reader, when so many events are in its log."""
    engine, run = produced
    noted(engine, run)
    wait_until(
        lambda: not engine.produces(run.id) or len(engine.recovery.events(run)) >= count, what="the moment"
    )
    kill(engine)
    client.reader.leave("gone")


@pytest.mark.timeout(240)
def test_at_fifty_moments(workers: Workers) -> None:
    """Readers there and elsewhere, from the start or from where they were cut: all get the whole text."""
    chances = random.Random(7)
    heir = survivor(workers)
    scripts = ["sim-n120-d25", "sim-n120-d25-b4", "sim-n120-d25-reasoning", "sim-n120-d25-nostream"]
    texts = {script: usual(heir, script) for script in scripts}
    resets = killed = 0
    for _ in range(KILLS // AT_ONCE):
        dying = [mortal(workers) for _ in range(AT_ONCE)]
        runs = [(engine, begin(engine, script)) for engine in dying if (script := chances.choice(scripts))]
        scripts_of = {run.id: heir.store.request_of(run).decode() for _, run in runs}
        local = [Client(engine, run) for engine, run in runs]
        remote = [Client(heir, run) for _, run in runs]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            moments = [chances.randrange(1, 115) for _ in runs]
            list(pool.map(kill_at, moments, runs, local))

        for (_, run), cut, far in zip(runs, local, remote, strict=True):
            text = texts[scripts_of[run.id]]
            saved = ended(heir, run)
            assert (saved.status, saved.error_code, heir.text(saved)) == ("completed", None, text)
            assert saved.usage is not None and saved.upstream is None
            whole(far, text)
            cut.end()
            killed += saved.epoch > 1
            if cut.terminals or not cut.frames:
                continue
            rest = read(heir, run, cursor=cut.cursor, resumed=True)
            resets += "reset" in rest.events
            assert shown(cut.frames + rest.frames) == text
            assert read(heir, run).text == text
            indices = [frame.json()["index"] for frame in read(heir, run).frames if frame.event == "delta"]
            assert indices == list(range(len(indices)))
    assert resets, "not one reader had seen what a death took back"
    assert killed > KILLS / 2, f"only {killed} were killed before their end"


class TestAWorkerThatDies:
    def test_leaves_an_answer_that_is_whole_already(
        self, sqlite_workers: Workers, simulator: Simulator
    ) -> None:
        dying, heir = mortal(sqlite_workers), survivor(sqlite_workers)
        text = usual(heir, "sim-n200-d1")
        run = begin(dying, "sim-n200-d1")
        noted(dying, run)
        kill(dying)
        wait_until(lambda: all(seen["finished"] or seen["cut_by_client"] for seen in simulator.requests()))

        assert heir.text(ended(heir, run)) == text
        assert ended(heir, run).model == "sim-n200-d1"
        assert read(heir, run).text == text

    def test_leaves_a_reader_of_another_format_that_goes_on(self, sqlite_workers: Workers) -> None:
        dying, heir = mortal(sqlite_workers), survivor(sqlite_workers)
        run = begin(dying, "sim-n80-d10")
        remote = Client(heir, run, format="review").until(20)
        kill(dying)
        remote.end()
        assert remote.error is None and "error" not in remote.events
        text = "".join(frame.json()["value"] for frame in remote.frames if frame.data.startswith('{"seq":'))
        assert text == heir.text(ended(heir, run))

    @pytest.mark.parametrize("count", [3, 30, 68])
    def test_leaves_steps_that_are_told_once(self, workers: Workers, count: int) -> None:
        """Also those after the model call, with one metadata, which is the one that is kept."""
        held, pipeline = Rich(), Rich()
        pipeline.gate.set()
        dying, heir = mortal(workers, held), survivor(workers, pipeline)
        text = usual(heir, "sim-n60-d5")
        run = begin(dying, "sim-n60-d5")
        noted(dying, run)
        told(dying, run, count)
        dying.worker.round()
        kill(dying)
        held.gate.set()

        saved = ended(heir, run)
        assert not held.saved
        events = heir.recovery.events(run)
        others = [event for event in events if not isinstance(event, Delta)]
        assert (saved.status, text_of(events)) == ("completed", text)
        assert [type(event).__name__ for event in others] == [
            "Started", "Progress", "Progress", "Usage", "Progress", "Source", "Source", "Metadata", "Done"
        ]  # fmt: skip
        extras = [event for event in events if isinstance(event, Source | Metadata)]
        assert heir.extras(saved) == extras == list(pipeline.saved[-1].extras)

    def test_twice_leaves_it_to_a_third(self, workers: Workers) -> None:
        first, second = mortal(workers), mortal(workers, lease=0.5)
        watching = survivor(workers, lease=60.0)
        text = usual(watching, "sim-n300-d10")
        run = begin(first, "sim-n300-d10")
        client = Client(watching, run)
        told(first, run, 20)
        kill(first)
        taken(second, run)
        told(second, run, 60)
        kill(second)

        third = survivor(workers)
        saved = ended(third, run)
        assert (saved.status, saved.epoch, saved.worker) == ("completed", 3, third.worker.id)
        whole(client, text)
        assert read(third, run).text == text

    def test_again_and_again_leaves_a_run_that_ends(self, sqlite_workers: Workers) -> None:
        """Whatever kills them all, it is not let loose on one more for ever."""
        run = begin(mortal(sqlite_workers), "sim-n9-d5-stall3")
        owner = sqlite_workers.of(1)[0]
        for _ in range(5):
            noted(owner, run)
            told(owner, run, 4)
            kill(owner)
            owner = mortal(sqlite_workers, lease=0.3)
            taken(owner, run)
        kill(owner)
        last = survivor(sqlite_workers, lease=0.3)
        assert (ended(last, run).status, ended(last, run).epoch) == ("interrupted", 7)

    def test_leaves_several_model_calls(self, sqlite_workers: Workers, simulator: Simulator) -> None:
        dying, heir = mortal(sqlite_workers, Twice()), survivor(sqlite_workers, Twice())
        text = usual(heir, "sim-n100-d10")
        run = begin(dying, "sim-n100-d10")
        told(dying, run, 40)
        dying.worker.round()
        kill(dying)
        assert heir.text(ended(heir, run)) == text
        assert made(simulator, "sim-n100-d10") == 2

    def test_leaves_a_cancelled_run_cancelled_upstream_too(
        self, workers: Workers, simulator: Simulator
    ) -> None:
        dying, heir = mortal(workers), survivor(workers)
        run = begin(dying, "sim-n9-d0-stall3")
        remote = Client(heir, run).until(4)
        kill(dying)
        heir.cancel(run.id, owner=OWNER)
        saved = ended(heir, run)
        remote.end()
        assert saved.status == "cancelled" and remote.events[-1] == "cancelled"
        assert heir.text(saved) == remote.text != ""
        wait_until(lambda: stopped(simulator, "sim-n9-d0-stall3"), what="the cancel upstream")

    def test_leaves_a_run_that_can_be_cancelled(self, workers: Workers, simulator: Simulator) -> None:
        dying, heir = mortal(workers), survivor(workers)
        run = begin(dying, "sim-n900-d10")
        remote = Client(heir, run).until(10)
        kill(dying)
        taken(heir, run)
        heir.cancel(run.id, owner=OWNER)
        saved = ended(heir, run)
        remote.end()
        assert saved.status == "cancelled" and remote.events[-1] == "cancelled"
        assert heir.text(saved) == remote.text != "" and "reset" not in remote.events
        wait_until(lambda: stopped(simulator, "sim-n900-d10"), what="the cancel upstream")

    def test_leaves_a_run_that_can_be_cancelled_before_it_is_gone_on_with(
        self, sqlite_workers: Workers, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held: list[tuple[Any, ...]] = []
        monkeypatch.setattr("sora.engine.heir.start_new_thread", lambda *work: held.append(work))
        dying, heir = mortal(sqlite_workers), survivor(sqlite_workers)
        run = begin(dying, "sim-n901-d10")
        noted(dying, run)
        kill(dying)
        taken(heir, run)
        heir.cancel(run.id, owner=OWNER)
        [work] = wait_until(lambda: held, what="the heir")
        start_new_thread(*work)
        assert ended(heir, run).status == "cancelled"
        wait_until(lambda: stopped(simulator, "sim-n901-d10"), what="the cancel upstream")

    @pytest.mark.parametrize(
        ("script", "settings"),
        [
            ("sim-n9-d0-stall3", {"gap_timeout": 0.5}),
            ("sim-n900-d20", {"total_timeout": 2.0, "connect_timeout": 0.5}),
            ("sim-n900-d20-nostream", {"total_timeout": 2.0, "connect_timeout": 0.5}),
        ],
    )
    def test_leaves_deadlines(
        self, sqlite_workers: Workers, simulator: Simulator, script: str, settings: dict[str, float]
    ) -> None:
        dying, heir = mortal(sqlite_workers), survivor(sqlite_workers, **settings)
        begun = time.monotonic()
        run = begin(dying, script)
        remote = Client(heir, run).until(4)
        kill(dying)
        saved = ended(heir, run)
        remote.end()
        assert time.monotonic() - begun < 5.0
        assert (saved.status, saved.error_code) == ("failed", "upstream_timeout")
        assert heir.text(saved) == remote.text != ""
        wait_until(lambda: stopped(simulator, script), what="the cancel upstream")

    def test_leaves_what_is_fetched_long_after_its_deadline(self, sqlite_workers: Workers) -> None:
        dying = mortal(sqlite_workers)
        run = begin(dying, "sim-n60-d5")
        noted(dying, run)
        kill(dying)
        wait_until(lambda: run.age > 1.0)
        heir = survivor(sqlite_workers, total_timeout=0.5)
        assert ended(heir, run).status == "completed"

    @pytest.mark.parametrize("options", ["", "-nostream"])
    def test_leaves_an_answer_that_is_forgotten(
        self, workers: Workers, simulator: Simulator, options: str
    ) -> None:
        dying, heir = mortal(workers), survivor(workers)
        run = begin(dying, f"sim-n9-d0-stall3{options}")
        remote = Client(heir, run).until(4)
        noted(heir, run)
        kill(dying)
        (seen,) = simulator.requests()
        assert (
            request(simulator.url, f"/v1/responses/{seen['response']}", method="DELETE", headers=KEY).status
            == 200
        )
        saved = ended(heir, run)
        remote.end()
        assert (saved.status, saved.error_code) == ("interrupted", "interrupted")
        assert remote.frames[-1].json()["retryable"] and "reset" not in remote.events
        assert heir.text(saved) == remote.text != ""
        again = heir.retry(run.id, owner=OWNER)
        assert Client(heir, again).until(4).text == remote.text

    @pytest.mark.parametrize(
        ("script", "code"), [("failed40", "upstream_error"), ("filter40", "content_filter")]
    )
    @pytest.mark.parametrize("options", ["", "-nostream"])
    def test_leaves_an_answer_that_fails(
        self, sqlite_workers: Workers, script: str, code: str, options: str
    ) -> None:
        dying, heir = mortal(sqlite_workers), survivor(sqlite_workers)
        run = begin(dying, f"sim-n60-d10-{script}{options}")
        remote = Client(heir, run).until(9)
        kill(dying)
        saved = ended(heir, run)
        remote.end()
        assert (saved.status, saved.error_code) == ("failed", code)
        assert heir.text(saved) == remote.text != ""
        assert [frame.event for frame in remote.terminals] == ["error"]

    def test_leaves_models_to_fall_back_on(self, sqlite_workers: Workers) -> None:
        class Fallback(Script):
            def steps(self, run: Run, request: bytes) -> Steps:
                (asked,) = list(super().steps(run, request))
                assert isinstance(asked, Generate)
                yield Generate(
                    messages=asked.messages,
                    models=("sim-404", *request.decode().split(), "sim-n5-d0"),
                    max_tokens=100,
                    temperature=0.7,
                    top_p=0.9,
                )

        dying, heir = mortal(sqlite_workers, Fallback()), survivor(sqlite_workers, Fallback())
        # The one that is under way goes on; the one that fails before its first word makes room for the next.
        scripts = {"sim-n90-d10": "sim-n90-d10", "sim-first900-failed0": "sim-n5-d0"}
        runs = {script: begin(dying, script) for script in scripts}
        for run in runs.values():
            noted(dying, run)
        told(dying, runs["sim-n90-d10"], 9)
        kill(dying)
        for script, model in scripts.items():
            saved = ended(heir, runs[script])
            assert (saved.status, saved.model) == ("completed", model)
            assert any(isinstance(event, Progress) for event in heir.recovery.events(saved))

    def test_before_its_answer_is_known_leaves_it_interrupted(self, sqlite_workers: Workers) -> None:
        dying, heir = mortal(sqlite_workers), survivor(sqlite_workers)
        run = begin(dying, "sim-headers9000")
        kill(dying)
        assert ended(heir, run).status == "interrupted"

    def test_while_it_drains_another_leaves_it_to_a_third(self, sqlite_workers: Workers) -> None:
        dying, draining = mortal(sqlite_workers), survivor(sqlite_workers)
        run = begin(dying, "sim-n900-d10")
        noted(dying, run)
        draining.draining = True
        kill(dying)
        third = survivor(sqlite_workers)
        taken(third, run)
        third.cancel(run.id, owner=OWNER)
        assert ended(third, run).status == "cancelled"
        draining.draining = False  # so that it is stopped after the test


def test_an_heir_that_breaks_ends_the_run(sqlite_workers: Workers) -> None:
    class Broken(Script):
        def steps(self, run: Run, request: bytes) -> Steps:
            if run.epoch > 1:
                raise SystemError("only where it is taken over")
            yield from super().steps(run, request)

    dying, heir = mortal(sqlite_workers, Broken()), survivor(sqlite_workers, Broken())
    run = begin(dying, "sim-n60-d10")
    remote = Client(heir, run).until(9)
    kill(dying)
    saved = ended(heir, run)
    remote.end()
    assert (saved.status, saved.error_code) == ("failed", "internal")
    assert heir.text(saved) == remote.text != ""


def test_another_text_is_not_mixed_with_the_first(sqlite_workers: Workers) -> None:
    """The upstream has another answer under this id, or none that is as long."""
    heir = survivor(sqlite_workers)
    other = begin(heir, "sim-n60-d10")
    noted(heir, other)
    for script in ("sim-n90-d5-reasoning-echo", "sim-n3-d0"):
        dying = mortal(sqlite_workers)
        run = begin(dying, "sim-n900-d10")
        remote = Client(heir, run).until(20)
        mistaken = begin(dying, script)
        noted(dying, run)
        noted(dying, mistaken)
        kill(dying)
        with dying.database.read() as session:
            wrong = session.scalar(sa.select(RunRow.upstream).where(RunRow.id == mistaken.id))
        with heir.database.write() as session:
            session.execute(sa.update(RunRow).where(RunRow.id == run.id).values(upstream=wrong))
        saved = ended(heir, run)
        remote.end()
        assert (saved.status, heir.text(saved)) == ("interrupted", remote.text)
        assert "reset" not in remote.events


class TestADrain:
    def test_leaves_what_another_can_go_on_with(self, workers: Workers) -> None:
        going, heir = survivor(workers, lease=9.0), survivor(workers, lease=9.0)
        text = usual(heir, "sim-n150-d20")
        run, plain = begin(going, "sim-n150-d20"), begin(going, "sim-headers9000")
        local, remote = Client(going, run).until(9), Client(heir, run)
        noted(going, run)
        going.stop(grace=1.0)

        local.end()
        assert isinstance(local.error, ConnectionResetError) and not local.terminals
        rest = read(heir, run, cursor=local.cursor, resumed=True)
        assert shown(local.frames + rest.frames) == text and "reset" not in rest.events
        whole(remote, text)
        assert (ended(heir, run).status, ended(heir, run).epoch) == ("completed", 2)
        assert ended(heir, plain).status == "interrupted"

    def test_of_the_last_worker_leaves_it_to_the_next_start(self, sqlite_workers: Workers) -> None:
        going = survivor(sqlite_workers)
        run = begin(going, "sim-n100-d20")
        told(going, run, 9)
        going.stop(grace=0.5)
        assert read(survivor(sqlite_workers, lease=9.0), run).events[-1] == "done"


def test_many_that_begin_at_once_are_all_noted(workers: Workers) -> None:
    engine = survivor(workers, journal_interval=5.0)
    runs = [begin(engine, "sim-n9-d0-stall3") for _ in range(5)]
    begun = time.monotonic()
    for run in runs:
        noted(engine, run)
    assert time.monotonic() - begun < 4.0, "it does not wait for the journal's next turn"
    for run in runs:
        engine.cancel(run.id, owner=OWNER)
