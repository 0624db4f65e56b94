"""A client that leaves before the model has said a word is noticed at once; its run goes on, or not, as it was wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.client import Stream
from tests.support.metrics import metrics
from tests.support.nginx import binary, nginx
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import DIARY, User
from tests.support.waiting import wait_until

NOTICED = 1.0  # seconds
FIRST, HEADERS = (
    "sim-n5-d0-first3000",
    "sim-n5-d0-headers3000",
)  # a silence of 3 s, after the headers or before


class Place:
    """A machine, and nginx before it."""

    def __init__(self, server: Server, proxy_url: str) -> None:
        self.user = User(server.url)
        self.ways = {"direct": server.url, "nginx": proxy_url}

    def readers(self) -> float:
        return metrics(self.user.url)["sora_active_readers"]

    def leave(self, stream: Stream, how: Callable[[Stream], None]) -> None:
        """The client of the only stream leaves: the count of readers says so within a second."""
        assert stream.read().startswith(b": open\n")
        assert self.readers() == 1
        how(stream)
        left = time.monotonic()
        wait_until(lambda: self.readers() == 0, timeout=NOTICED, what="the notice")
        assert time.monotonic() - left < NOTICED


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, _simulator: Simulator, module_url: str) -> Iterator[Place]:
    """A machine with the settings that the test's `parametrize` gives, on each kind of database."""
    if binary() is None:
        pytest.skip("nginx is not installed · apt-get install nginx-light")
    env = {"SORA_ORPHAN_GRACE": "1", **request.param}
    with Server(module_url, _simulator.url, env=env) as server, nginx(server.port) as proxy:
        yield Place(server, proxy.url)


def with_settings(**env: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "place", [env], indirect=True, ids=["-".join(env.values())], scope="module"
    )


def wait_for_the_upstreams_end(simulator: Simulator) -> None:
    wait_until(
        lambda: [entry["cut_by_client"] for entry in simulator.requests()] == [True],
        timeout=1,
        what="the end of the model's connection",
    )


@with_settings(SORA_MODEL=FIRST)
@pytest.mark.parametrize("way", ["direct", "nginx"])
@pytest.mark.parametrize("how", [Stream.close, Stream.reset], ids=["close", "reset"])
def test_a_review_goes_on_without_its_reader(
    place: Place, simulator: Simulator, way: str, how: Callable[[Stream], None]
) -> None:
    user = place.user
    with user.open("/stream/review", at=place.ways[way], payload=DIARY) as stream:
        run_id = stream.headers["X-Sora-Run-Id"]
        place.leave(stream, how)
    assert user.run(run_id)["status"] in ("pending", "running")
    run = user.ended(run_id)
    assert (run["status"], run["usage"]["output"]) == ("completed", 5)
    assert user.reviews()[0]["feedback"] == run["text"]


@with_settings(SORA_MODEL=FIRST)
@pytest.mark.parametrize("way", ["direct", "nginx"])
def test_a_run_that_was_asked_to_ends_with_its_reader(place: Place, simulator: Simulator, way: str) -> None:
    user = place.user
    before = len(user.reviews())
    run_id = user.start(on_disconnect="cancel")
    with user.open(f"/api/runs/{run_id}/events", at=place.ways[way]) as stream:
        place.leave(stream, Stream.close)
    assert user.ended(run_id, timeout=3)["status"] == "cancelled"
    wait_for_the_upstreams_end(simulator)
    assert len(user.reviews()) == before


@with_settings(SORA_MODEL=FIRST)
def test_a_reader_that_comes_back_in_time_saves_its_run(place: Place, simulator: Simulator) -> None:
    user = place.user
    run_id = user.start(on_disconnect="cancel")
    path = f"/api/runs/{run_id}/events"
    for _ in range(3):
        with user.open(path) as stream:
            place.leave(stream, Stream.reset)
    with user.open(path) as stream:
        assert stream.rest()[-1].event == "done"


@with_settings(SORA_MODEL=HEADERS, SORA_ON_DISCONNECT="cancel")
@pytest.mark.parametrize("way", ["direct", "nginx"])
def test_a_review_ends_with_its_reader_when_so_set(place: Place, simulator: Simulator, way: str) -> None:
    user = place.user
    before = len(user.reviews())
    with user.open("/stream/review", at=place.ways[way], payload=DIARY) as stream:
        run_id = stream.headers["X-Sora-Run-Id"]
        place.leave(stream, Stream.close)
    assert user.ended(run_id, timeout=3)["status"] == "cancelled"
    wait_for_the_upstreams_end(simulator)
    assert len(user.reviews()) == before


@with_settings(SORA_MODEL=HEADERS, SORA_ON_DISCONNECT="cancel")
def test_the_request_goes_before_the_setting(place: Place, simulator: Simulator) -> None:
    user = place.user
    run_id = user.start(on_disconnect="continue")
    with user.open(f"/api/runs/{run_id}/events") as stream:
        place.leave(stream, Stream.close)
    assert user.ended(run_id)["status"] == "completed"


def test_a_reader_of_another_machine_keeps_a_run_alive(postgres_url: str, simulator: Simulator) -> None:
    env = {"SORA_MODEL": "sim-stall1", "SORA_ORPHAN_GRACE": "0.5"}
    with (
        Server(postgres_url, simulator.url, env=env) as one,
        Server(postgres_url, simulator.url, env=env) as two,
    ):
        user = User(one.url)
        run_id = user.start(on_disconnect="cancel")
        path = f"/api/runs/{run_id}/events"
        with user.open(path) as here, user.open(path, at=two.url) as there:
            here.take(2)
            there.take(2)
            wait_until(lambda: metrics(two.url)["sora_active_readers"] == 1, what="the other reader")
            here.close()
            with pytest.raises(AssertionError, match="not within 4 s"):
                wait_until(lambda: user.run(run_id)["status"] != "running", timeout=4)
            there.close()
        assert user.ended(run_id)["status"] == "cancelled"
