"""A diary reviewed by a Dify app: the same stream, the same saved review, another who writes it."""

from __future__ import annotations

import json

import pytest

from tests.api.conftest import StartApp
from tests.support.simulator import Simulator
from tests.support.web import DIARY, Api, frames

PATH = "/stream/review/dify"


def user(start_app: StartApp, simulator: Simulator, script: str = "sim-echo-d0", name: str = "보라") -> Api:
    keys = {"dify_key_t": "app-thinking", "dify_key_f": f"app-{script}"}
    return Api(start_app(dify_base_url=simulator.url, provider_retries=1, **keys), name)


def test_the_stream_is_that_of_the_review(start_app: StartApp, simulator: Simulator) -> None:
    bora = user(start_app, simulator)
    body = '비가 왔다.\n따옴표 "와" 줄바꿈 🌧️'
    response = bora.post(PATH, {**DIARY, "body": body})
    values = [frame.json()["value"] for frame in frames(response)]
    assert "".join(values) == body and len(values) > 3
    written = [
        json.dumps({"seq": i, "value": v}, ensure_ascii=False, separators=(",", ":"))
        for i, v in enumerate(values)
    ]
    assert response.text == ": open\n\n" + "".join(f"data: {line}\n\n" for line in written)
    [seen] = simulator.requests()
    assert seen["messages"] == [{"role": "user", "content": body}]
    assert seen["parameters"]["inputs"] == {"name": "보라", "date": DIARY["reviewDate"]}
    [review] = bora.get("/api/reviews").get_json()["items"]
    assert (review["body"], review["feedback"], review["type"]) == (body, body, "FEELING")
    run = bora.get(f"/api/runs/{response.headers['X-Sora-Run-Id']}").get_json()
    assert (run["kind"], run["status"], run["model"]) == ("review", "completed", "dify-feeling")
    assert run["usage"]["output"] == len(values)


def test_each_persona_is_an_app_of_its_own(start_app: StartApp, simulator: Simulator) -> None:
    bora = user(start_app, simulator)
    said = {
        type: "".join(f.json()["value"] for f in frames(bora.post(PATH, {**DIARY, "type": type})))
        for type in "FT"
    }
    assert said["F"] == DIARY["body"] and said["T"] != said["F"]
    assert [entry["model"] for entry in simulator.requests()] == ["sim-echo-d0", "sim"]


def test_a_key_holds_for_the_endpoint_it_came_to(start_app: StartApp, simulator: Simulator) -> None:
    bora, key = user(start_app, simulator), {"Idempotency-Key": "one"}
    first, again = (bora.post(PATH, DIARY, headers=key) for _ in range(2))
    assert first.data == again.data and len(simulator.requests()) == 1
    assert bora.post("/stream/review", DIARY, headers=key).status_code == 409


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("sim-d0-cut3", "upstream_error"),
        ("sim-d0-error3", "upstream_error"),
        ("sim-401", "upstream_error"),
        ("sim-429", "upstream_rate_limited"),
        ("sim-d0-filter3", "content_filter"),
    ],
)
def test_a_fault_has_its_code_and_is_no_review(
    start_app: StartApp, simulator: Simulator, script: str, code: str
) -> None:
    bora = user(start_app, simulator, script)
    response = bora.post(PATH, DIARY)
    *deltas, error = frames(response)
    assert (error.event, error.json()["code"]) == ("error", code)
    run = bora.ended(response.headers["X-Sora-Run-Id"])
    assert run["text"] == "".join(frame.json()["value"] for frame in deltas)
    assert bora.get("/api/reviews").get_json()["items"] == []


def test_a_retry_asks_the_same_app(start_app: StartApp, simulator: Simulator) -> None:
    bora = user(start_app, simulator, "sim-echo-d0-fail2x500")
    failed = bora.post(PATH, DIARY).headers["X-Sora-Run-Id"]
    assert bora.ended(failed)["status"] == "failed"
    again = bora.post(f"/api/runs/{failed}/retry")
    assert again.status_code == 201
    assert bora.ended(again.get_json()["id"])["text"] == DIARY["body"]
    assert {entry["path"] for entry in simulator.requests()} == {"/v1/chat-messages"}


@pytest.mark.parametrize(("type", "status"), [("T", 404), ("F", 200)])
def test_without_its_key_a_persona_is_not_there(
    start_app: StartApp, simulator: Simulator, type: str, status: int
) -> None:
    bora = Api(start_app(dify_base_url=simulator.url, dify_key_f="app-sim-n3-d0"), "보라")
    response = bora.post(PATH, {**DIARY, "type": type}, headers={"Accept-Language": "en"})
    assert response.status_code == status
    if status == 404:
        assert response.get_json()["code"] == "not_found"
        assert "SORA_DIFY_KEY_T" in response.get_json()["error"]
        assert simulator.requests() == [] and bora.get("/api/runs").get_json()["items"] == []


def test_without_dify_it_says_so(bora: Api) -> None:
    response = bora.post(PATH, DIARY)
    assert response.status_code == 404 and "SORA_DIFY_BASE_URL" in response.get_json()["error"]
