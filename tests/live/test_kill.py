"""A worker that dies in mid-answer: its runs come to an end, and every reader is told, wherever it comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.support.nginx import binary, nginx
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.sse import Frame
from tests.support.user import DIARY, User, text_of
from tests.support.waiting import wait_until

LEASE = 2.0
SLACK = 5.0  # seconds that the end may come after the lease
INTERVAL = 0.25  # of the journal
WRITING = 0.5  # seconds that writing it may take on a busy machine
FRAMES = 150
RUNS = 4
ENV = {"SORA_LEASE": str(LEASE), "SORA_MODEL": "sim-n3000-d10", "SORA_JOURNAL_INTERVAL": str(INTERVAL)}


@dataclass(frozen=True)
class Seen:
    """What a reader had when its worker died, at this monotonic time."""

    run_id: str
    frames: list[Frame]
    died: float


def interrupted(user: User, run_id: str, *, at: str, lease: float = LEASE) -> dict[str, object]:
    """The run once it is final, which is in time and as interrupted."""
    died = time.monotonic()

    def final() -> dict[str, object] | None:
        run = user.run(run_id, at=at)
        return run if run["status"] not in ("pending", "running") else None

    run = wait_until(final, timeout=lease + SLACK, what="the run's end", interval=0.1)
    assert run is not None and time.monotonic() - died < lease + SLACK
    assert run["status"] == "interrupted"
    assert run["error"]["code"] == "interrupted" and run["error"]["retryable"] is True  # type: ignore[index]
    return run


def resumed(seen: list[Frame], rest: list[Frame]) -> str:
    """The text of a reader that came back: what it had, less what a reset takes back, and what it then got."""
    kept = list(seen)
    for frame in rest:
        if frame.event == "reset":
            assert frame is rest[0], "a reset comes first"
            point = frame.json()["seq"]
            assert frame.id.endswith(f"-{point}")
            kept = [old for old in kept if int(old.id.rpartition("-")[2]) <= point]
        else:
            kept.append(frame)
    ends = [frame for frame in kept if frame.event in ("error", "done", "cancelled")]
    assert [(frame.event, frame.json()["code"]) for frame in ends] == [("error", "interrupted")]
    assert kept[-1] is ends[0], "the terminal event is the last"
    return text_of(kept)


def events(
    user: User, run_id: str, *, at: str, last: str | None = None, format: str = "native"
) -> list[Frame]:
    with user.open(
        f"/api/runs/{run_id}/events?format={format}", at=at, last_event_id=last, timeout=20
    ) as stream:
        assert stream.status == 200
        frames = stream.rest()
        assert stream.ended == "clean"
        return frames


def kill_in_mid_answer(user: User, kill: Callable[[], object]) -> list[Seen]:
    """Runs of which some deltas were read when `kill` came. No stream ends cleanly."""
    streams = [user.open("/stream/review?format=native", payload=DIARY) for _ in range(RUNS)]
    try:
        for _ in range(FRAMES):
            for stream in streams:
                stream.take(1)
        kill()
        died = time.monotonic()
        for stream in streams:
            stream.rest()
            assert stream.ended == "cut", "the end of the body alone never means success"
            assert not [frame for frame in stream.frames if frame.event in ("done", "error")]
    finally:
        for stream in streams:
            stream.close()
    return [Seen(stream.headers["X-Sora-Run-Id"], stream.frames, died) for stream in streams]


def check_ends(user: User, places: list[str], shown: list[Seen]) -> None:
    """Every run is interrupted in time, with what had been shown up to the journal's interval; every reader, of every
    place and format, gets the rest or a reset, and one terminal event."""
    resets = 0
    for seen in shown:
        text = interrupted(user, seen.run_id, at=places[-1])["text"]
        old = [frame for frame in seen.frames if frame.at < seen.died - INTERVAL - WRITING]
        assert isinstance(text, str) and text.startswith(text_of(old)) and old
        assert text_of(seen.frames).startswith(text) or text.startswith(text_of(seen.frames))
        path = f"/api/runs/{seen.run_id}/events"
        for place in places:
            # Where the live reader stopped, and further back, and from the start.
            for count in (len(seen.frames), len(seen.frames) // 2, 3, 0):
                last = seen.frames[count - 1].id if count else None
                rest = events(user, seen.run_id, at=place, last=last)
                assert resumed(seen.frames[:count], rest) == text
                resets += rest[0].event == "reset"
                assert user.request(path, at=place, last_event_id=rest[-1].id).status == 204
            review = events(user, seen.run_id, at=place, format="review")
            assert text_of(review) == text
            # A format that cannot take anything back ends with the error, and is not to come again.
            for frames in (
                review,
                events(user, seen.run_id, at=place, last=seen.frames[-1].id, format="review"),
            ):
                assert [frame.json()["code"] for frame in frames if frame.event == "error"] == ["interrupted"]
                assert frames[-1].event == "error"
                assert user.request(path, at=place, last_event_id=frames[-1].id).status == 204
    assert resets, "not one reader had seen what the crash took back"
    assert {run["status"] for run in user.runs()} == {"interrupted"}
    assert user.reviews() == []


@pytest.mark.timeout(120)
def test_a_killed_worker(database_url: str, simulator: Simulator) -> None:
    with (
        Server(database_url, simulator.url, env=ENV) as one,
        Server(database_url, simulator.url, env=ENV) as two,
    ):
        user = User(one.url)
        shown = kill_in_mid_answer(user, one.kill_worker)
        # A reader that comes at once waits for the end, it is not turned away.
        run_id, frames = shown[0].run_id, shown[0].frames
        path = f"/api/runs/{run_id}/events"
        with user.open(path, at=two.url, last_event_id=frames[-1].id, timeout=LEASE + SLACK) as early:
            text = resumed(frames, early.rest())
            assert early.ended == "clean"
        assert text == interrupted(user, run_id, at=two.url)["text"]
        check_ends(user, [one.url, two.url], shown)
        # What was interrupted can be tried again.
        assert user.request(f"/api/runs/{run_id}/retry", body=b"").status == 201


@pytest.mark.timeout(120)
def test_a_worker_killed_before_the_first_word(sqlite_url: str, simulator: Simulator) -> None:
    with Server(sqlite_url, simulator.url, env={**ENV, "SORA_MODEL": "sim-headers60000"}) as server:
        user = User(server.url)
        run_ids = [user.start() for _ in range(RUNS)]
        server.kill_worker()
        wait_until(lambda: answers(user), what="the worker that takes its place")
        for run_id in run_ids:
            assert interrupted(user, run_id, at=server.url)["text"] == ""
            assert resumed([], events(user, run_id, at=server.url)) == ""


@pytest.mark.timeout(120)
def test_a_machine_that_loses_its_power(database_url: str, simulator: Simulator) -> None:
    """Nobody else is there: the runs end once the machine is back."""
    with Server(database_url, simulator.url, env=ENV) as server:
        user = User(server.url)
        shown = kill_in_mid_answer(user, server.kill)
        server.start()
        check_ends(user, [server.url], shown)


@pytest.mark.timeout(120)
def test_a_killed_worker_behind_nginx(sqlite_url: str, simulator: Simulator) -> None:
    """With the lease and the journal as they are by default."""
    if binary() is None:
        pytest.skip("nginx is not installed · apt-get install nginx-light")
    env = {"SORA_MODEL": ENV["SORA_MODEL"]}
    with (
        Server(sqlite_url, simulator.url, env=env) as one,
        Server(sqlite_url, simulator.url, env=env) as two,
        nginx(one.port) as proxy,
    ):
        user = User(proxy.url)
        shown = kill_in_mid_answer(user, one.kill_worker)
        for seen in shown:
            interrupted(user, seen.run_id, at=two.url, lease=10.0)
        assert time.monotonic() - shown[0].died < 10.0 + SLACK
        wait_until(lambda: answers(user), what="the worker that takes its place")
        assert {run["status"] for run in user.runs()} == {"interrupted"}


def answers(user: User) -> bool:
    try:
        return user.request("/readyz").status == 200
    except OSError:
        return False
