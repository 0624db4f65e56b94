"""Pages of other origins: those on the list may do what the API offers, all others nothing."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from sora.errors import ConfigError
from tests.api.conftest import StartApp
from tests.api.test_session import sign_in
from tests.support.simulator import Simulator
from tests.support.web import DIARY, Api, frames

FRONT = "http://localhost:3000"
OTHER = "https://front.example"
ALLOWED = f"{FRONT}, {OTHER}/"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,last-event-id",
}
STRANGERS = (
    "https://evil.example",
    "http://localhost:30001",
    "http://localhost",
    "https://localhost:3000",
    "http://localhost:3000.evil.example",
    "http://evil.example/http://localhost:3000",
    "null",
)
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def granted(response: TestResponse) -> dict[str, str]:
    return {
        name.removeprefix("Access-Control-"): value
        for name, value in response.headers.items()
        if name.startswith("Access-Control-")
    }


@pytest.fixture
def open_app(start_app: StartApp) -> Flask:
    return start_app(allowed_origins=ALLOWED)


@pytest.mark.parametrize("origin", [FRONT, OTHER])
def test_a_page_on_the_list_may_ask_and_read(open_app: Flask, origin: str) -> None:
    bora = Api(open_app, "보라", headers={"Origin": origin})
    stream = bora.post("/stream/review", DIARY)

    assert frames(stream)
    assert stream.headers["Vary"] == "Origin"
    assert granted(stream) == {
        "Allow-Origin": origin,
        "Allow-Credentials": "true",
        "Expose-Headers": "Retry-After, X-Sora-Run-Id",
    }
    run_id = stream.headers["X-Sora-Run-Id"]
    attached = bora.get(f"/api/runs/{run_id}/events")
    assert frames(attached) and granted(attached) == granted(stream)


def test_what_is_refused_can_be_read_too(start_app: StartApp) -> None:
    app = start_app(allowed_origins=ALLOWED, max_request_bytes=2000)
    bora, nobody = Api(app, "보라", headers={"Origin": FRONT}), Api(app, None, headers={"Origin": FRONT})
    answers = {
        400: bora.post("/stream/review", {"type": "F"}),
        401: nobody.post("/stream/review", DIARY),
        404: bora.get("/no/such/path"),
        405: bora.get("/stream/review"),
        413: bora.post("/stream/review", {**DIARY, "body": "가" * 2000}),
        415: bora.post("/stream/review", data="{}"),
    }
    for status, response in answers.items():
        assert response.status_code == status
        assert granted(response)["Allow-Origin"] == FRONT, status


def test_a_server_that_is_busy_says_when_to_come_again(start_app: StartApp) -> None:
    app = start_app(allowed_origins=ALLOWED, max_runs=1, model="sim-stall1-d0")
    bora = Api(app, "보라", headers={"Origin": FRONT})
    run_id = bora.start()
    response = bora.post("/stream/review", DIARY)
    assert response.status_code == 503 and response.headers["Retry-After"]
    assert "Retry-After" in granted(response)["Expose-Headers"]
    bora.post(f"/api/runs/{run_id}/cancel")
    bora.ended(run_id)


@pytest.mark.parametrize(("path", "method"), [("/stream/review", "POST"), ("/api/runs/some-run", "DELETE")])
def test_a_preflight_is_answered_and_starts_nothing(
    open_app: Flask, simulator: Simulator, path: str, method: str
) -> None:
    asking = {**PREFLIGHT, "Origin": FRONT, "Access-Control-Request-Method": method}
    response = Api(open_app, None).call("OPTIONS", path, headers=asking)  # a browser sends it without a token

    assert response.status_code == 200 and not response.data
    assert granted(response) == {
        "Allow-Origin": FRONT,
        "Allow-Credentials": "true",
        "Allow-Headers": "authorization, content-type, idempotency-key, last-event-id",
        "Allow-Methods": "DELETE, GET, HEAD, PATCH, POST",
        "Max-Age": "600",
        "Expose-Headers": "Retry-After, X-Sora-Run-Id",
    }
    assert Api(open_app, "보라").get("/api/runs").get_json()["items"] == []
    assert simulator.requests() == []


def test_no_other_header_is_allowed(open_app: Flask) -> None:
    asking = {**PREFLIGHT, "Origin": FRONT, "Access-Control-Request-Headers": "x-anything, content-type"}
    response = Api(open_app, None).call("OPTIONS", "/api/runs", headers=asking)
    assert granted(response)["Allow-Headers"] == "content-type"


@pytest.mark.parametrize("origin", STRANGERS)
def test_a_stranger_gets_nothing(open_app: Flask, origin: str) -> None:
    bora = Api(open_app, "보라", headers={"Origin": origin})
    for response in (
        bora.get("/api/runs"),
        bora.get("/no/such/path"),
        bora.call("OPTIONS", "/stream/review", headers=PREFLIGHT),
    ):
        assert granted(response) == {}


def test_without_a_list_there_is_no_other_origin(start_app: StartApp) -> None:
    bora = Api(start_app(), "보라", headers={"Origin": FRONT})
    assert granted(bora.get("/api/runs")) == {}
    assert granted(bora.call("OPTIONS", "/stream/review", headers=PREFLIGHT)) == {}


def test_who_does_not_come_from_a_page_is_told_nothing_of_the_list(open_app: Flask) -> None:
    assert granted(Api(open_app, "보라").get("/api/runs")) == {}


@pytest.mark.parametrize("origin", [FRONT, FRONT.upper(), OTHER])
def test_a_cookie_goes_with_the_list(open_app: Flask, origin: str) -> None:
    """A page on another port is of the same site, so that its requests carry the cookie."""
    by_cookie = sign_in(Api(open_app, "보라"))
    assert frames(by_cookie.post("/stream/review", DIARY, headers={"Origin": origin}))
    for stranger in set(STRANGERS) - {"http://localhost"}:  # which is where these requests go
        assert by_cookie.post("/stream/review", DIARY, headers={"Origin": stranger}).status_code == 403


def test_a_guest_may_come_from_the_list(start_app: StartApp) -> None:
    nobody = Api(start_app(auth="guest", allowed_origins=ALLOWED), None)
    assert frames(nobody.post("/stream/review", DIARY, headers={"Origin": FRONT}))
    assert nobody.post("/stream/review", DIARY, headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "origins",
    ["*", f"{FRONT},*", "https://*.example.com", "example.com", "https://a.example/path", "null", "https://"],
)
def test_a_list_that_is_not_exact_stops_the_start(start_app: StartApp, origins: str) -> None:
    with pytest.raises(ConfigError, match="SORA_ALLOWED_ORIGINS must list exact origins"):
        start_app(allowed_origins=origins)


@pytest.mark.parametrize("auth", ["guest", "required"])
@pytest.mark.parametrize("path", ["/chat?query=a", "/api/chat/stream?message=a"])
def test_a_get_that_generates_is_for_the_list_too(
    start_app: StartApp, simulator: Simulator, auth: str, path: str
) -> None:
    app = start_app(auth=auth, allowed_origins=ALLOWED)
    who = Api(app, None) if auth == "guest" else sign_in(Api(app, "보라"))
    strangers = [{"Origin": origin} for origin in STRANGERS if origin != "http://localhost"]
    embedding = [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site")]  # an image, a link
    for headers in (*strangers, *embedding):
        response = who.get(path, headers=headers)
        assert response.status_code == 403 and response.get_json()["code"] == "forbidden", headers
    assert simulator.requests() == []
    for number, headers in enumerate(
        ({}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": FRONT})
    ):
        assert frames(who.get(f"{path}{number}", headers=headers))
    # A header is not added by a browser: any page that has the token may use it.
    assert frames(Api(app, "보라").get(path, headers={"Origin": "https://evil.example"}))
