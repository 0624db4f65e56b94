from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from tests.api.conftest import StartApp
from tests.support.simulator import Simulator
from tests.support.sse import Parser
from tests.support.web import DIARY, Api, frames


def test_a_run_tells_of_itself(bora: Api) -> None:
    response = bora.post("/api/runs", {"kind": "review", "input": DIARY})
    started = response.get_json()
    assert response.status_code == 201 and response.headers["Location"] == f"/api/runs/{started['id']}"
    run = bora.ended(started["id"])
    assert run == {
        "id": started["id"],
        "kind": "review",
        "status": "completed",
        "finish_reason": "stop",
        "error": None,
        "usage": run["usage"],
        "model": run["model"],
        "created_at": run["created_at"],
        "ended_at": run["ended_at"],
        "retry_of": None,
        "events_url": f"/api/runs/{started['id']}/events",
        "text": run["text"],
    }
    assert run["usage"]["total"] == run["usage"]["input"] + run["usage"]["output"] > 0
    assert run["created_at"].endswith("+00:00") and run["created_at"] < run["ended_at"]
    [listed] = bora.get("/api/runs").get_json()["items"]
    assert listed == {name: value for name, value in run.items() if name != "text"}


def test_events_go_on_after_any_of_them(bora: Api) -> None:
    run_id = bora.start()
    text = bora.ended(run_id)["text"]
    path = f"/api/runs/{run_id}/events"
    whole = frames(bora.get(path))
    assert [frame.event for frame in whole[:2]] == ["started", "delta"] and whole[-1].event == "done"
    assert "".join(frame.json()["text"] for frame in whole if frame.event == "delta") == text
    assert [frame.id for frame in whole] == [f"{run_id}:1-{seq}" for seq in range(1, len(whole) + 1)]
    for at, frame in enumerate(whole[:-1]):
        rest = bora.get(path, headers={"Last-Event-ID": frame.id})
        assert [(one.id, one.data) for one in frames(rest)] == [(one.id, one.data) for one in whole[at + 1 :]]
        # The header goes first: an EventSource keeps the query it was made with.
        stale = bora.get(f"{path}?last_event_id={run_id}:1-0", headers={"Last-Event-ID": frame.id})
        assert stale.data == rest.data == bora.get(f"{path}?last_event_id={frame.id}").data
        assert rest.data.startswith(f": open\nid: {frame.id}\n\n".encode())
    assert bora.get(path).data.startswith(f": open\nid: {run_id}:1-0\n\n".encode())


def test_there_is_a_204_when_nothing_is_left(bora: Api) -> None:
    run_id = bora.start()
    bora.ended(run_id)
    path = f"/api/runs/{run_id}/events"
    whole = frames(bora.get(path))
    for at in (whole[-1].id, f"{run_id}:end"):
        assert bora.get(path, headers={"Last-Event-ID": at}).status_code == 204
    last_delta = [frame for frame in whole if frame.event == "delta"][-1].id
    assert bora.get(f"{path}?format=review", headers={"Last-Event-ID": last_delta}).status_code == 204
    assert bora.get(path, headers={"Last-Event-ID": last_delta}).status_code == 200


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_position_that_is_none_of_this_run(bora: Api, language: str) -> None:
    run_id = bora.start()
    bora.ended(run_id)
    for at in (
        "x",
        f"{run_id}",
        f"{run_id}:1",
        f"{run_id}:0-1",
        f"{run_id}:1--1",
        "a" * 22 + ":1-1",
        f"{run_id}:１-1",
    ):
        response = bora.get(
            f"/api/runs/{run_id}/events?last_event_id={at}", headers={"Accept-Language": language}
        )
        assert response.status_code == 400, at
        assert response.get_json()["details"][0]["field"] == "Last-Event-ID"


def test_a_run_is_cancelled_and_tried_again(start_app: StartApp) -> None:
    api = Api(start_app(model="sim-stall3-d0"), "보라")
    run_id = api.start()
    path = f"/api/runs/{run_id}/events"
    parser, seen = Parser(), []
    with api.open("GET", path) as response:
        for chunk in response.iter_encoded():
            seen += parser.feed(chunk)
            if len([frame for frame in seen if frame.event == "delta"]) == 3:
                break
        assert api.delete(f"/api/runs/{run_id}").status_code == 409
        assert api.post(f"/api/runs/{run_id}/retry").get_json()["code"] == "run_active"
        assert api.post(f"/api/runs/{run_id}/cancel").status_code == 200
    run = api.ended(run_id)
    assert run["status"] == "cancelled" and run["error"] is None
    assert run["text"] == "".join(frame.json()["text"] for frame in seen if frame.event == "delta")
    assert api.post(f"/api/runs/{run_id}/cancel").get_json()["status"] == "cancelled"
    assert frames(api.get(path))[-1].event == "cancelled"
    assert frames(api.get(f"{path}?format=review"))[-1].json()["code"] == "cancelled"

    again, repeated = (
        api.post(f"/api/runs/{run_id}/retry", headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert again.status_code == 201 and repeated.get_json()["id"] == again.get_json()["id"]
    second = again.get_json()
    assert second["retry_of"] == run_id and second["id"] != run_id
    api.post(f"/api/runs/{second['id']}/cancel")
    api.ended(second["id"])
    assert api.delete(f"/api/runs/{run_id}").status_code == 204
    assert api.get(f"/api/runs/{run_id}").status_code == 404


def test_runs_are_listed_in_pages(bora: Api, dana: Api) -> None:
    ids = [bora.start() for _ in range(5)]
    for run_id in ids:
        bora.ended(run_id)
    dana.ended(dana.start())
    seen, path = [], "/api/runs?limit=2&status=completed"
    while True:
        page = bora.get(path).get_json()
        seen += [item["id"] for item in page["items"]]
        assert page["hasNext"] == (page["nextCursor"] is not None)
        if not page["hasNext"]:
            break
        path = f"/api/runs?limit=2&status=completed&before={page['nextCursor']}"
    assert seen == ids[::-1]
    assert bora.get("/api/runs?status=failed").get_json()["items"] == []


def test_one_key_in_many_hands_at_once(app: Flask, simulator: Simulator) -> None:
    def start(_: int) -> tuple[int, str]:
        response = Api(app, "보라").post(
            "/api/runs", {"kind": "review", "input": DIARY}, headers={"Idempotency-Key": "k"}
        )
        return response.status_code, response.get_json()["id"]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(start, range(16)))
    assert len({run_id for _, run_id in answers}) == 1
    assert sorted(status for status, _ in answers) == [200] * 15 + [201]
    Api(app, "보라").ended(answers[0][1])
    assert len(simulator.requests()) == 1


def test_heartbeats_are_events_for_those_who_ask(start_app: StartApp) -> None:
    api = Api(start_app(model="sim-stall1-d0", heartbeat=0.05), "보라")
    run_id = api.start()
    for query, expected in [("", b": heartbeat\n\n"), ("?heartbeat=event", b"event: ping\ndata: {}\n\n")]:
        with api.open("GET", f"/api/runs/{run_id}/events{query}") as response:
            assert any(expected == chunk for chunk in response.iter_encoded())
    api.post(f"/api/runs/{run_id}/cancel")
    api.ended(run_id)


def test_a_ticket_is_good_without_a_header(app: Flask, bora: Api) -> None:
    body = {"kind": "review", "input": DIARY}
    ticket = bora.post("/api/tickets", body).get_json()
    assert set(ticket) == {"ticket", "url", "expires_in"} and ticket["expires_in"] == 60
    nobody = Api(app, None)
    whole = frames(nobody.get(ticket["url"]))
    assert whole[-1].event == "done"
    again = nobody.get(ticket["url"], headers={"Last-Event-ID": whole[2].id})
    assert [frame.id for frame in frames(again)] == [frame.id for frame in whole[3:]]
    assert nobody.get(ticket["url"], headers={"Last-Event-ID": whole[-1].id}).status_code == 204
    assert len(bora.get("/api/runs").get_json()["items"]) == 1

    made_up = "/api/tickets/made-up/events"
    assert nobody.get(made_up).status_code == 404
    for at in (whole[2].id, "a" * 22 + ":1-3"):
        assert nobody.get(made_up, headers={"Last-Event-ID": at}).status_code == 204
    other = bora.post("/api/tickets", body).get_json()
    assert nobody.get(other["url"], headers={"Last-Event-ID": whole[2].id}).status_code == 204


def test_a_ticket_expires_before_its_first_use_only(start_app: StartApp) -> None:
    app = start_app(ticket_ttl=0.0)
    ticket = Api(app, "보라").post("/api/tickets", {"kind": "review", "input": DIARY}).get_json()
    assert Api(app, None).get(ticket["url"]).status_code == 404


def test_the_same_key_gets_the_same_ticket(app: Flask, bora: Api) -> None:
    key = {"Idempotency-Key": "k"}
    first, second = (
        bora.post("/api/tickets", {"kind": "review", "input": DIARY}, headers=key).get_json()
        for _ in range(2)
    )
    assert first == second
    assert frames(Api(app, None).get(second["url"]))[-1].event == "done"
    assert len(bora.get("/api/runs").get_json()["items"]) == 1


def test_a_key_that_has_started_a_run_opens_it_with_a_ticket_too(app: Flask, bora: Api) -> None:
    key, body = {"Idempotency-Key": "k"}, {"kind": "review", "input": DIARY}
    run = bora.post("/api/runs", body, headers=key).get_json()
    ticket = bora.post("/api/tickets", body, headers=key).get_json()
    opened = Api(app, None).get(ticket["url"])
    assert opened.headers["X-Sora-Run-Id"] == run["id"]
    assert frames(opened)[-1].event == "done"
