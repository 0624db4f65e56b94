"""What has expired is deleted beside those who read; who comes back for it is given the saved text."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.sse import Frame
from tests.support.user import User, text_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

READERS = 50
RUNS = 10  # that they read
OLD = 5  # runs whose logs go
ENV = {"SORA_RUN_TTL": "2", "SORA_JOURNAL_INTERVAL": "0.05", "SORA_MODEL": "sim-n500-d20"}


def test_a_purge_beside_fifty_readers_disturbs_none(simulator: Simulator, postgres_url: str) -> None:
    with Server(postgres_url, simulator.url, workers=2, env=ENV) as server:
        user = User(server.url)
        old = [user.start() for _ in range(OLD)]
        for run_id in old:
            wait_until(lambda run_id=run_id: len(user.run(run_id)["text"]) > 20, what="some text")  # type: ignore[misc]
            assert user.request(f"/api/runs/{run_id}/cancel", method="POST").status == 200
        stopped = [user.ended(run_id) for run_id in old]
        finished = user.start()

        live = [user.start() for _ in range(RUNS)]
        with ThreadPoolExecutor(READERS) as pool:

            def read(number: int) -> tuple[list[Frame], str | None]:
                with user.open(f"/api/runs/{live[number % RUNS]}/events", timeout=30) as stream:
                    return stream.rest(), stream.ended

            readers = [pool.submit(read, number) for number in range(READERS)]
            wait_until(
                lambda: f"{OLD}개 로그" in server.flask("sora", "purge", "--dry-run"),
                timeout=10,
                what="expiry",
            )
            told = server.flask("sora", "purge")
            assert told.startswith(f"{OLD}개 로그, 0개 실행"), told
            assert not any(reader.done() for reader in readers), "they were reading all the while"
            streams = [reader.result() for reader in readers]

        texts = {run_id: user.ended(run_id)["text"] for run_id in live}
        for number, (frames, ended) in enumerate(streams):
            assert ended == "clean"
            assert [frame.event for frame in frames if frame.event not in ("delta", "usage")] == [
                "started", "done",
            ]  # fmt: skip
            assert text_of(frames) == texts[live[number % RUNS]]

        # Who had read a part gets the whole; who had read all of it gets nothing.
        for run in stopped:
            events = f"/api/runs/{run['id']}/events"
            with user.open(events, last_event_id=f"{run['id']}:1-3") as stream:
                frames = stream.rest()
            assert frames[0].event == "reset" and frames[0].json() == {"seq": 0}
            assert [f.json()["text"] for f in frames if f.event == "delta"] == [run["text"]] * bool(
                run["text"]
            )
            assert frames[-1].event == "cancelled" and stream.ended == "clean"
            assert user.request(events, last_event_id=frames[-1].id).status == 204
            with user.open(events) as stream:
                assert "reset" not in [frame.event for frame in stream.rest()]

        assert server.flask("sora", "purge").endswith(" 0 runs\n")

        # Old runs go if that is wanted; reviews stay.
        user.ended(finished)
        reviews = user.reviews()
        wait_until(
            lambda: (
                f"{OLD + RUNS + 1}개 실행" in server.flask("sora", "purge", "--older-than", "0", "--dry-run")
            ),
            timeout=10,
            what="their expiry",
        )
        assert server.flask("sora", "purge", "--older-than", "1").endswith(" 0 runs\n")
        assert server.flask("sora", "purge", "--older-than", "0").endswith(f" {OLD + RUNS + 1} runs\n")
        assert user.runs() == [] and user.request(f"/api/runs/{old[0]}").status == 404
        assert user.reviews() == reviews and reviews
        assert "Traceback" not in server.log_text()
