"""One request is one generation, whoever repeats it; one run has one end, whoever asks for it."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import urlsplit

import pytest

from tests.support.client import Answer
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.sse import Frame
from tests.support.user import DIARY, User, is_delta, text_of
from tests.support.waiting import wait_until

AT_ONCE = 20
RACES = 200
TOKENS = 24
TARGETS = ((0,), (1,), (0, 1))  # the machine that produces the run, the other one, both
ENV = {"SORA_MODEL": f"sim-n{TOKENS}-d5", "SORA_JOURNAL_INTERVAL": "0.05"}
T = TypeVar("T")


@pytest.fixture(scope="module")
def places(module_url: str, _simulator: Simulator) -> Iterator[tuple[str, str]]:
    """Two machines of one worker each, with one database."""
    with (
        Server(module_url, _simulator.url, env=ENV) as one,
        Server(module_url, _simulator.url, env=ENV) as two,
    ):
        yield one.url, two.url


def at_once(arguments: Sequence[T], call: Callable[[T], Answer]) -> list[Answer]:
    """The answers to calls that are made at the same moment, in the order of their arguments."""
    barrier = threading.Barrier(len(arguments))

    def run(argument: T) -> Answer:
        barrier.wait(10)
        return call(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(run, arguments))


@pytest.mark.parametrize("number", range(3))
def test_twenty_posts_with_one_key_are_one_generation(
    places: tuple[str, str], simulator: Simulator, number: int
) -> None:
    user = User(places[0], f"스물 {number}")
    headers = {"Idempotency-Key": "key"}
    answers = at_once(
        places * (AT_ONCE // 2),
        lambda at: user.request("/stream/review?ids=1", at=at, payload=DIARY, headers=headers),
    )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.headers["X-Sora-Run-Id"] for answer in answers}) == 1
    assert len({answer.body for answer in answers}) == 1, "they all saw the same"
    assert len(simulator.requests()) == len(user.runs()) == len(user.reviews()) == 1


@pytest.mark.parametrize(
    ("path", "statuses"), [("/api/runs", {201: 1, 200: AT_ONCE - 1}), ("/api/tickets", {201: AT_ONCE})]
)
def test_a_key_starts_one_run_and_makes_one_ticket(
    places: tuple[str, str], simulator: Simulator, path: str, statuses: dict[int, int]
) -> None:
    user = User(places[0], f"하나 {path}")
    payload, headers = {"kind": "review", "input": DIARY}, {"Idempotency-Key": "key"}
    answers = at_once(
        places * (AT_ONCE // 2), lambda at: user.request(path, at=at, payload=payload, headers=headers)
    )
    seen = Counter(answer.status for answer in answers)
    assert seen == statuses, [answer.text for answer in answers if answer.status not in statuses]
    assert len({answer.json().get("id") or answer.json()["ticket"] for answer in answers}) == 1
    [run] = user.runs()
    user.ended(run["id"])
    assert len(simulator.requests()) == len(user.reviews()) == 1


def test_of_two_requests_with_one_key_one_is_a_conflict(
    places: tuple[str, str], simulator: Simulator
) -> None:
    user = User(places[0], "둘")
    bodies = (DIARY, {**DIARY, "type": "T"})
    calls = [(at, body) for at in places for body in bodies] * (AT_ONCE // 4)
    headers = {"Idempotency-Key": "key"}
    answers = at_once(
        calls,
        lambda call: user.request("/stream/review", at=call[0], payload=call[1], headers=headers),
    )
    won = [body for (_, body), answer in zip(calls, answers, strict=True) if answer.status == 200]
    assert won in ([bodies[0]] * (AT_ONCE // 2), [bodies[1]] * (AT_ONCE // 2))
    lost = {(answer.status, answer.json()["code"]) for answer in answers if answer.status != 200}
    assert lost == {(409, "conflict")}
    assert len(simulator.requests()) == len(user.runs()) == 1


def test_a_post_whose_answer_never_came_is_found_again(places: tuple[str, str], simulator: Simulator) -> None:
    user = User(places[0], "넷")
    headers = {"Idempotency-Key": "lost"}
    address = urlsplit(places[0])
    for _ in range(3):  # a client that gives up before a single byte of the answer
        with socket.create_connection((address.hostname, address.port or 0)) as connection:
            body = b'{"body": "\xeb\xb9\x84", "type": "F", "reviewDate": "2026-01-20"}'
            lines = (
                "POST /stream/review HTTP/1.1", f"Host: {address.netloc}", "Content-Type: application/json",
                f"Authorization: Bearer {user.token}", "Idempotency-Key: lost", f"Content-Length: {len(body)}",
            )  # fmt: skip
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    wait_until(user.runs, what="the run")
    payload = {"body": "비", "type": "F", "reviewDate": "2026-01-20"}
    answer = user.request("/stream/review?ids=1", at=places[1], payload=payload, headers=headers)
    assert answer.status == 200
    run = user.ended(answer.headers["X-Sora-Run-Id"])
    assert run["status"] == "completed"
    assert len(simulator.requests()) == len(user.runs()) == len(user.reviews()) == 1


@pytest.mark.timeout(180)
def test_cancel_and_completion_race_to_one_end(places: tuple[str, str], simulator: Simulator) -> None:
    when = [TOKENS - 4] * len(TARGETS)

    def run(number: int) -> str:
        kind = number % len(TARGETS)
        status = race(places, User(places[0], f"경주 {number}"), when[kind], TARGETS[kind])
        # Later after a cancel, earlier after a completion: so they meet, on a machine of any speed.
        when[kind] = max(0, min(TOKENS, when[kind] + (1 if status == "cancelled" else -1)))
        return status

    with ThreadPoolExecutor(6) as pool:
        statuses = Counter(pool.map(run, range(RACES)))
    assert set(statuses) == {"completed", "cancelled"}, statuses
    assert min(statuses.values()) >= RACES // 20, f"hardly a race: {statuses}, {when}"
    assert len(simulator.requests()) <= RACES


def race(places: tuple[str, str], user: User, when: int, targets: tuple[int, ...]) -> str:
    """A user's only run, cancelled at these machines once so many deltas were seen; its status."""
    run_id = user.start()
    path = f"/api/runs/{run_id}"
    with (
        user.open(f"{path}/events", at=places[0]) as near,
        user.open(f"{path}/events", at=places[1]) as far,
        ThreadPoolExecutor(2) as pool,
    ):
        seen: list[Frame] = []
        while sum(map(is_delta, seen)) < when and (frame := near.next()) is not None:
            seen.append(frame)
        asked = pool.map(lambda one: user.request(f"{path}/cancel", at=places[one], method="POST"), targets)
        assert {answer.status for answer in asked} == {200}
        streams = [[*seen, *near.rest()], far.rest()]
        assert (near.ended, far.ended) == ("clean", "clean")
    run = user.run(run_id)
    status: str = run["status"]
    for frames in streams:
        ends = [frame for frame in frames if frame.event in ("done", "error", "cancelled", "reset")]
        assert ends == frames[-1:]
        assert ends[0].event == {"completed": "done", "cancelled": "cancelled"}[status]
        assert text_of(frames) == run["text"]
    for at in places:
        assert user.run(run_id, at=at) == run
        assert user.request(f"{path}/events", at=at, last_event_id=streams[0][-1].id).status == 204
    assert [review["feedback"] for review in user.reviews()] == [run["text"]] * (status == "completed")
    return status
