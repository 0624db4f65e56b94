"""Five database connections are enough: nobody waits long for one, and no stream holds one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.metrics import metrics
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import DIARY, User
from tests.support.waiting import wait_until

MANY = 200
WAITS = "sora_database_wait_seconds"


def long_waits(before: dict[str, float], after: dict[str, float]) -> tuple[int, int]:
    """How many waits for a connection there were in between, and how many of them were longer than 100 ms."""
    count, short = (after[name] - before[name] for name in (f"{WAITS}_count", f'{WAITS}_bucket{{le="0.1"}}'))
    return int(count), int(count - short)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [1, 2])
def test_two_hundred_reviews_at_once(database_url: str, simulator: Simulator, workers: int) -> None:
    env = {"SORA_DATABASE_POOL": "5", "SORA_MODEL": "sim-n40"}
    with Server(database_url, simulator.url, workers=workers, env=env) as server:
        users = [User(server.url, f"{number}번째") for number in range(3)]
        # What else the machine does makes a wait longer, never shorter: there must be a crowd without a long one.
        asked = next(
            (number for number, user in enumerate(users, 1) if crowd(server, user, simulator) == 0), None
        )
        assert asked, "of each crowd somebody waited for a connection longer than 100 ms"
        saved = metrics(server.url)['sora_runs_ended_total{kind="review",status="completed"}']
        assert saved == asked * MANY


def crowd(server: Server, user: User, simulator: Simulator) -> int:
    """Two hundred reviews at once, every one of them whole, and saved: how many waits for a connection were long."""
    simulator.clear()
    before = metrics(server.url)
    with ThreadPoolExecutor(MANY) as pool:
        answers = list(
            pool.map(lambda _: user.request("/stream/review", payload=DIARY, timeout=60), range(MANY))
        )
    waits, long = long_waits(before, metrics(server.url))
    assert {answer.status for answer in answers} == {200}
    assert all(answer.text.count("data: ") == 40 for answer in answers)
    assert not [answer for answer in answers if "event: error" in answer.text]
    assert waits >= 2 * MANY, "each run is written when it starts and when it ends"
    # Ten a page: all of them are there to be read.
    found, cursor = 0, ""
    while cursor is not None:
        page = user.request(f"/api/reviews?after={cursor}").json()
        found, cursor = found + len(page["items"]), page["nextCursor"]
    assert found == MANY
    assert len(simulator.requests()) == MANY
    return long


@pytest.mark.timeout(120)
def test_open_streams_hold_no_connection(postgres_url: str, simulator: Simulator) -> None:
    env = {"SORA_DATABASE_POOL": "1", "SORA_MODEL": "sim-stall1"}
    with Server(postgres_url, simulator.url, env=env) as server:
        user = User(server.url)
        with ThreadPoolExecutor(MANY) as pool:
            streams = list(
                pool.map(lambda _: user.open("/stream/review", payload=DIARY, timeout=60), range(MANY))
            )
            try:
                list(pool.map(lambda stream: stream.take(1), streams))
                assert metrics(server.url)["sora_active_readers"] == MANY
                before = metrics(server.url)
                assert user.request("/api/reviews").status == 200
                assert len(user.runs()) == 100
                waits, long = long_waits(before, metrics(server.url))
                assert waits >= 2 and long == 0
            finally:
                for stream in streams:
                    stream.close()
        wait_until(lambda: metrics(server.url)["sora_active_readers"] == 0, what="the readers' end")
