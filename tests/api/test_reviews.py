from __future__ import annotations

import re

import pytest
from flask import Flask

from tests.api.conftest import StartApp
from tests.support.golden import assert_original
from tests.support.simulator import Simulator
from tests.support.web import DIARY, Api, frames


@pytest.mark.parametrize(
    ("path", "model", "golden"),
    [
        ("/stream/review", "sim-echo-d0", "review.sse"),
        ("/stream/review?ids=1", "sim-echo-d0", "review-ids.sse"),
        ("/stream/review", "sim-echo-d0-error3", "review-error.sse"),
        ("/test/api/request/review", "sim-echo-d0", "review-text.sse"),
    ],
)
def test_the_bytes_are_those_of_the_original(start_app: StartApp, path: str, model: str, golden: str) -> None:
    api = Api(start_app(model=model), "보라")
    assert_original(api.post(path, {**DIARY, "body": '비가 왔다.\n따옴표 "와" 줄바꿈 🌧️'}), golden)


def test_a_streamed_review_is_saved_and_comes_back(bora: Api, dana: Api, simulator: Simulator) -> None:
    streamed = "".join(frame.json()["value"] for frame in frames(bora.post("/stream/review", DIARY)))
    assert len(simulator.requests()) == 1
    page = bora.get("/api/reviews").get_json()
    [review] = page["items"]
    assert page == {"items": [review], "hasNext": False, "nextCursor": None}
    assert review == {
        "id": review["id"],
        "type": "FEELING",
        "feedbackType": "FEELING",
        "body": DIARY["body"],
        "feedback": streamed,
        "date": "2026-01-20",
    }
    assert bora.get(f"/api/reviews/{review['id']}").get_json() == review
    assert dana.get("/api/reviews").get_json()["items"] == []
    assert dana.get(f"/api/reviews/{review['id']}").status_code == 404
    assert dana.delete(f"/api/reviews/{review['id']}").status_code == 404
    assert bora.delete(f"/api/reviews/{review['id']}").status_code == 204
    assert bora.get(f"/api/reviews/{review['id']}").status_code == 404
    assert bora.get("/api/runs").get_json()["items"] == [], "the run held the same diary"


@pytest.mark.parametrize("format", ["native", "review", "text"])
def test_any_stream_speaks_any_format(bora: Api, format: str) -> None:
    response = bora.post(f"/stream/review?format={format}", DIARY)
    native = frames(response)
    assert bool(native[0].id) == (format == "native")
    assert (native[-1].event == "done") == (format == "native")


def test_the_same_key_is_the_same_generation(bora: Api, dana: Api, simulator: Simulator) -> None:
    key = {"Idempotency-Key": "a-key"}
    first, second = (bora.post("/stream/review", DIARY, headers=key) for _ in range(2))
    assert first.data == second.data and first.headers["X-Sora-Run-Id"] == second.headers["X-Sora-Run-Id"]
    assert len(simulator.requests()) == len(bora.get("/api/reviews").get_json()["items"]) == 1
    # The parsed request counts, not its spelling.
    spelled = bora.post("/stream/review", {**DIARY, "type": "FEELING", "more": 1}, headers=key)
    assert spelled.data == first.data
    other = bora.post("/stream/review", {**DIARY, "type": "T"}, headers=key)
    assert other.status_code == 409 and other.get_json()["code"] == "conflict"
    assert (
        dana.post("/stream/review", DIARY, headers=key).headers["X-Sora-Run-Id"]
        != first.headers["X-Sora-Run-Id"]
    )


def test_a_review_written_elsewhere_is_saved_once(bora: Api) -> None:
    review = {**DIARY, "feedback": "잘 쉬셨네요."}
    key = {"Idempotency-Key": "delivery-1"}
    first, second = (bora.post("/api/reviews", review, headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.get_json() == second.get_json()
    assert bora.post("/api/reviews", {**review, "feedback": "다름"}, headers=key).status_code == 409
    assert bora.post("/api/reviews", review).status_code == 201
    assert len(bora.get("/api/reviews").get_json()["items"]) == 2


def test_pages_lose_no_review_of_a_shared_date(bora: Api) -> None:
    dates = ["2026-01-20"] * 13 + ["2026-01-19"] * 9 + ["2026-02-01"]
    for number, date in enumerate(dates):
        bora.post("/api/reviews", {**DIARY, "reviewDate": date, "feedback": str(number)})
    seen, path = [], "/api/reviews"
    while True:
        page = bora.get(path).get_json()
        assert len(page["items"]) <= 10
        seen += page["items"]
        assert page["hasNext"] == (page["nextCursor"] is not None)
        if not page["hasNext"]:
            break
        path = f"/api/reviews?after={page['nextCursor']}"
    assert [item["date"] for item in seen] == sorted(dates, reverse=True)
    assert sorted(int(item["feedback"]) for item in seen) == list(range(len(dates)))
    older = bora.get("/api/reviews?after=2026-01-20").get_json()["items"]
    assert {item["date"] for item in older} == {"2026-01-19"}


def test_a_month_and_a_day(bora: Api) -> None:
    for date, type in [("2026-01-20", "F"), ("2026-01-20", "T"), ("2026-01-31", "F"), ("2026-02-01", "T")]:
        bora.post("/api/reviews", {**DIARY, "reviewDate": date, "type": type, "feedback": type})
    month = bora.get("/api/reviews/month?year=2026&month=1").get_json()
    assert month == [{"day": 20, "feedbackType": "THINKING"}, {"day": 31, "feedbackType": "FEELING"}]
    day = bora.get("/api/reviews/day?year=2026&month=1&day=20").get_json()
    assert day["type"] == "THINKING"
    [other] = day["others"]
    assert bora.get(f"/api/reviews/{other}").get_json()["type"] == "FEELING"
    assert bora.get("/api/reviews/day?year=2026&month=1&day=21").status_code == 404
    assert bora.get("/api/reviews/day?year=2026&month=2&day=30").status_code == 400


def test_an_answer_that_fails_is_kept_but_is_no_review(start_app: StartApp) -> None:
    api = Api(start_app(model="sim-cut3-d0"), "보라")
    response = api.post("/stream/review", DIARY)
    *deltas, error = frames(response)
    assert error.event == "error"
    assert error.json() == {
        "code": "upstream_error",
        "message": "AI 모델이 응답하지 못했습니다.",
        "retryable": True,
    }
    run = api.ended(response.headers["X-Sora-Run-Id"])
    assert run["status"] == "failed" and run["error"] == error.json()
    assert run["text"] == "".join(frame.json()["value"] for frame in deltas)
    assert api.get("/api/reviews").get_json()["items"] == []


def test_nothing_that_was_written_is_logged(app: Flask, bora: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    bora.post("/stream/review", {**DIARY, "body": "아무도 모르는 비밀"})
    bora.post("/stream/review", {**DIARY, "body": "아무도 모르는 비밀", "type": 7})
    assert "비밀" not in caplog.text
    assert not re.search(r"eyJ\w+", caplog.text)
