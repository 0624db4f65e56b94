from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest

from sora.errors import MESSAGES
from tests.api.conftest import StartApp
from tests.support.client import make_token
from tests.support.postgres import Postgres
from tests.support.simulator import Simulator
from tests.support.sse import Parser
from tests.support.waiting import wait_until
from tests.support.web import DIARY, Api

LANGUAGES = ["ko", "en"]
_BAD_PAGES = ["status=done", "limit=0", "limit=101", "limit=x", "limit=-1", "before=%00", "before=a-b"]
_BAD_POSITIONS = ["x", "2026-02-30", "MjAyNi0wMS0wMXwwfAA", "%00", "가" * 10]


def of(body: Any) -> dict[str, Any]:
    return {"data": body if isinstance(body, bytes) else json.dumps(body), "content_type": "application/json"}


def without(name: str) -> dict[str, Any]:
    return of({key: value for key, value in DIARY.items() if key != name})


# What is wrong, the status, the code, the field that is named (None: none is), a key of MESSAGES.
BAD: dict[str, tuple[dict[str, Any], int, str, str | None, str]] = {
    "no type": (without("type"), 400, "invalid_request", "type", "field_required"),
    "unknown type": (of({**DIARY, "type": "X"}), 400, "invalid_request", "type", "field_choice"),
    "number type": (of({**DIARY, "type": 1}), 400, "invalid_request", "type", "field_choice"),
    "list type": (of({**DIARY, "type": ["F"]}), 400, "invalid_request", "type", "field_choice"),
    "no date": (without("reviewDate"), 400, "invalid_request", "reviewDate", "field_required"),
    "no such date": (of({**DIARY, "reviewDate": "2026-02-30"}), 400, "invalid_request", "reviewDate", "field_date"),
    "short date": (of({**DIARY, "reviewDate": "2026-1-2"}), 400, "invalid_request", "reviewDate", "field_date"),
    "week date": (of({**DIARY, "reviewDate": "2026-W04-2"}), 400, "invalid_request", "reviewDate", "field_date"),
    "other digits": (of({**DIARY, "reviewDate": "２０２６-01-02"}), 400, "invalid_request", "reviewDate", "field_date"),
    "number date": (of({**DIARY, "reviewDate": 20260102}), 400, "invalid_request", "reviewDate", "field_date"),
    "no body": (without("body"), 400, "invalid_request", "body", "field_required"),
    "null body": (of({**DIARY, "body": None}), 400, "invalid_request", "body", "field_required"),
    "empty body": (of({**DIARY, "body": ""}), 400, "invalid_request", "body", "field_empty"),
    "blank body": (of({**DIARY, "body": " \n\t　"}), 400, "invalid_request", "body", "field_empty"),
    "object body": (of({**DIARY, "body": {}}), 400, "invalid_request", "body", "field_text"),
    "long body": (of({**DIARY, "body": "가" * 20_001}), 400, "invalid_request", "body", "field_long"),
    "NUL": (of({**DIARY, "body": "a\0b"}), 400, "invalid_request", "body", "field_characters"),
    "surrogate": (of({**DIARY, "body": "a\ud83d"}), 400, "invalid_request", "body", "field_characters"),
    "no JSON": (of(b"{"), 400, "invalid_request", None, "bad_json"),
    "nothing": (of(b""), 400, "invalid_request", None, "bad_json"),
    "NaN": (of(b'{"body": NaN}'), 400, "invalid_request", None, "bad_json"),
    "infinite": (of(b'{"body": 1e999}'), 400, "invalid_request", None, "bad_json"),
    "huge integer": (of(b'{"body": ' + b"9" * 5000 + b"}"), 400, "invalid_request", None, "bad_json"),
    "name twice": (of(b'{"body": "a", "body": "b"}'), 400, "invalid_request", None, "bad_json"),
    "too deep": (of(b"[" * 100_000), 400, "invalid_request", None, "bad_json"),
    "no UTF-8": (of(b'{"body": "\xff"}'), 400, "invalid_request", None, "bad_json"),
    "UTF-16": (of(json.dumps(DIARY).encode("utf-16")), 400, "invalid_request", None, "bad_json"),
    "a list": (of([]), 400, "invalid_request", "", "field_object"),
    "too large": (of(b" " * 1_048_577), 413, "too_large", None, "too_large"),
    "a form": ({"data": {"body": "a"}}, 415, "unsupported_media_type", None, "unsupported_media_type"),
    "plain text": (
        {"data": json.dumps(DIARY), "content_type": "text/plain"},
        *(415, "unsupported_media_type", None, "unsupported_media_type"),
    ),
    "spaced key": (of(DIARY) | {"headers": {"Idempotency-Key": "a b"}}, 400, "invalid_request", "Idempotency-Key", "field_key"),
    "empty key": (of(DIARY) | {"headers": {"Idempotency-Key": ""}}, 400, "invalid_request", "Idempotency-Key", "field_key"),
    "long key": (of(DIARY) | {"headers": {"Idempotency-Key": "k" * 256}}, 400, "invalid_request", "Idempotency-Key", "field_key"),
    "unknown format": (of(DIARY) | {"query_string": "format=x"}, 400, "invalid_request", "format", "field_choice"),
    "unknown heartbeat": (of(DIARY) | {"query_string": "heartbeat=x"}, 400, "invalid_request", "heartbeat", "field_choice"),
    "bad token": (of(DIARY) | {"headers": {"Authorization": "Bearer x.y.z"}}, 401, "unauthorized", None, "token_invalid"),
    "no token": (of(DIARY) | {"headers": {"Authorization": ""}}, 401, "unauthorized", None, "unauthorized"),
    "expired": (
        of(DIARY) | {"headers": {"Authorization": f"Bearer {make_token('보라', exp=int(time.time()) - 60)}"}},
        *(401, "unauthorized", None, "token_expired"),
    ),
    "refresh token": (
        of(DIARY) | {"headers": {"Authorization": f"Bearer {make_token('보라', category='refresh')}"}},
        *(401, "unauthorized", None, "token_refresh"),
    ),
}  # fmt: skip


def words(key: str, language: str) -> str:
    """What a message begins with, whatever is filled in."""
    return MESSAGES[key][LANGUAGES.index(language)].split("{")[0]


@pytest.mark.parametrize("path", ["/stream/review", "/test/api/request/review"])
def test_a_bad_request_is_told_what_is_wrong_and_starts_nothing(
    bora: Api, simulator: Simulator, path: str
) -> None:
    for name, (request, status, code, field, key) in BAD.items():
        for language in LANGUAGES:
            headers = {"Accept-Language": f"{language}-XX, fr;q=0.1", **request.get("headers", {})}
            response = bora.call("POST", path, **(request | {"headers": headers}))
            said = response.get_json()
            assert (response.status_code, said["code"], said["success"]) == (status, code, False), name
            if field is None:
                assert said["error"] == words(key, language), name
                assert "details" not in said
            else:
                assert said["error"] == words(code, language)
                [detail] = said["details"]
                assert detail["field"] == field and detail["message"].startswith(words(key, language)), name
            assert response.headers["Cache-Control"] == "no-store"
            assert ("WWW-Authenticate" in response.headers) == (status == 401)
    assert simulator.requests() == []
    assert bora.get("/api/runs").get_json()["items"] == []


def test_every_problem_is_told_at_once(bora: Api) -> None:
    details = bora.post("/stream/review", {"type": "X", "reviewDate": "x"}).get_json()["details"]
    assert [detail["field"] for detail in details] == ["body", "type", "reviewDate"]
    details = bora.post("/api/runs", {"kind": "review", "input": {}, "on_disconnect": 1}).get_json()[
        "details"
    ]
    assert [detail["field"] for detail in details] == [
        "on_disconnect",
        "input.body",
        "input.type",
        "input.reviewDate",
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "dream", "input": {}}, "kind"),
        ({"kind": "review"}, "input"),
        ({"kind": "review", "input": 1}, "input"),
    ],
)
@pytest.mark.parametrize("path", ["/api/runs", "/api/tickets"])
def test_a_run_of_no_kind_or_without_input(bora: Api, path: str, body: dict[str, Any], field: str) -> None:
    response = bora.post(path, body)
    assert response.status_code == 400
    assert [detail["field"] for detail in response.get_json()["details"]] == [field]


def test_a_body_without_a_length_is_bounded_too(bora: Api) -> None:
    response = bora.call(
        "POST",
        "/stream/review",
        input_stream=io.BytesIO(b" " * 1_048_577),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    assert response.status_code == 413 and response.get_json()["code"] == "too_large"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_somebody_elses_is_not_there(bora: Api, dana: Api, language: str) -> None:
    run_id = bora.start()
    bora.ended(run_id)
    for path in (run_id, "0" * 22, "%00", "가", "0" * 300):
        for method, rest in [
            ("GET", ""),
            ("GET", "/events"),
            ("POST", "/cancel"),
            ("POST", "/retry"),
            ("DELETE", ""),
        ]:
            response = dana.call(method, f"/api/runs/{path}{rest}", headers={"Accept-Language": language})
            assert response.status_code == 404, (method, path, rest)
            assert response.get_json() == {
                "success": False,
                "error": words("not_found", language),
                "code": "not_found",
            }
    assert bora.get(f"/api/runs/{run_id}").get_json()["status"] == "completed"
    assert len(bora.get("/api/runs").get_json()["items"]) == 1
    for path in ("%00", "가", "0" * 22):
        assert bora.get(f"/api/reviews/{path}").status_code == 404


def test_looking_starts_nothing(bora: Api, simulator: Simulator) -> None:
    assert bora.call("HEAD", "/stream/review", json=DIARY).status_code == 405
    run_id = bora.start()
    bora.ended(run_id)
    path = f"/api/runs/{run_id}/events"
    head = bora.call("HEAD", path)
    assert head.status_code == 200 and head.data == b"" and head.mimetype == "text/event-stream"
    for name in ("Purpose", "Sec-Purpose"):
        assert bora.get(path, headers={name: "prefetch;anonymous-client-ip"}).data == b""
    ticket = bora.post("/api/tickets", {"kind": "review", "input": DIARY}).get_json()["url"]
    assert bora.call("HEAD", ticket).data == b""
    wait_until(lambda: len(simulator.requests()) == 2, what="the ticket's own generation")
    assert len(bora.get("/api/runs").get_json()["items"]) == 2


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/reviews/month?year=2026", "month"),
        ("/api/reviews/month?year=0&month=1", "year"),
        ("/api/reviews/month?year=2026&month=13", "month"),
        ("/api/reviews/month?year=2026&month=x", "month"),
        ("/api/reviews/month?year=９&month=1", "year"),
        ("/api/reviews/day?year=2026&month=2&day=30", "day"),
        *((f"/api/runs?{query}", query.split("=")[0]) for query in _BAD_PAGES),
        *((f"/api/reviews?after={after}", "after") for after in _BAD_POSITIONS),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_query_that_says_nothing_useful(bora: Api, path: str, field: str) -> None:
    response = bora.get(path)
    assert response.status_code == 400
    assert [detail["field"] for detail in response.get_json()["details"]] == [field]


def test_no_such_path_and_no_such_method(bora: Api) -> None:
    missing = bora.get("/nothing/here", headers={"Accept-Language": "en"})
    assert missing.status_code == 404
    assert missing.get_json() == {"success": False, "error": "Not found.", "code": "not_found"}
    wrong = bora.get("/stream/review")
    assert wrong.status_code == 405 and wrong.get_json()["code"] == "method_not_allowed"
    assert set(wrong.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


def test_an_unexpected_failure_tells_nothing(start_app: StartApp, caplog: pytest.LogCaptureFixture) -> None:
    app = start_app()

    @app.get("/broken")
    def broken() -> None:
        raise LookupError(DIARY["body"])

    response = Api(app, None).get("/broken")
    assert response.status_code == 500
    assert response.get_json() == {"success": False, "error": "서버에 문제가 생겼습니다.", "code": "internal"}
    assert "LookupError in broken" in caplog.text and DIARY["body"] not in caplog.text


def test_too_many_runs(start_app: StartApp) -> None:
    api = Api(start_app(model="sim-stall2-d0", max_runs_per_principal=1), "보라")
    run_id = api.start()
    response = api.post("/stream/review", DIARY)
    assert response.status_code == 429 and response.get_json()["code"] == "too_many_runs"
    assert int(response.headers["Retry-After"]) >= 1
    api.post(f"/api/runs/{run_id}/cancel")
    api.ended(run_id)


def test_a_server_that_is_going(start_app: StartApp) -> None:
    app = start_app()
    app.extensions["sora"].engine.start()
    app.extensions["sora"].engine.stop(grace=0.1)
    response = Api(app, "보라").post("/stream/review", DIARY)
    assert response.status_code == 503 and response.get_json()["code"] == "draining"
    assert int(response.headers["Retry-After"]) >= 1
    ready = Api(app, None).get("/readyz")
    assert ready.status_code == 503
    assert ready.get_json()["code"] == "draining" and not ready.get_json()["checks"]["accepting"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_database_that_is_away(start_app: StartApp, postgres: Postgres) -> None:
    api = Api(start_app(database_timeout=0.5), "보라")
    run_id = api.start()
    api.ended(run_id)
    postgres.stop("immediate")
    try:
        response = api.post("/stream/review", DIARY, headers={"Accept-Language": "en"})
        assert response.status_code == 503
        assert response.get_json() == {
            "success": False,
            "error": words("overloaded", "en"),
            "code": "overloaded",
        }
        assert int(response.headers["Retry-After"]) >= 1
        # Any other status than 200 would close an EventSource for good.
        stream = api.get(f"/api/runs/{run_id}/events", headers={"Accept": "text/event-stream"})
        assert stream.status_code == 200 and stream.mimetype == "text/event-stream"
        parser = Parser()
        [frame] = parser.feed(stream.data)
        assert frame.event == "error" and frame.json()["code"] == "overloaded" and frame.json()["retryable"]
        assert parser.retry is not None and parser.retry >= 1000
        assert api.get("/readyz").status_code == 503
    finally:
        postgres.start()
