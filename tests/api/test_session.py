from __future__ import annotations

import time
from http.cookies import SimpleCookie

import pytest
from flask import Flask

from tests.api.conftest import StartApp
from tests.support.client import make_token
from tests.support.waiting import wait_until
from tests.support.web import DIARY, Api, frames

OWN = {"Origin": "http://localhost"}
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def sign_in(api: Api) -> Api:
    """The same user, with the cookie instead of the token."""
    response = api.post("/api/session")
    assert response.status_code == 200
    [cookie] = SimpleCookie(response.headers["Set-Cookie"]).values()
    by_cookie = Api(api.client.application, None)
    by_cookie.headers["Cookie"] = f"{cookie.key}={cookie.value}"
    return by_cookie


def test_a_token_becomes_a_cookie_that_scripts_cannot_read(bora: Api) -> None:
    response = bora.post("/api/session")
    who = response.get_json()
    assert who["name"] == "보라" and who["role"] == "ROLE_USER" and who["expires_at"] > time.time()
    [cookie] = SimpleCookie(response.headers["Set-Cookie"]).values()
    assert (
        cookie.key == "sora_session"
        and cookie["httponly"]
        and cookie["samesite"] == "Strict"
        and cookie["path"] == "/"
    )
    assert 3500 < int(cookie["max-age"]) <= 3630
    by_cookie = sign_in(bora)
    assert by_cookie.get("/api/session").get_json() == who
    run_id = bora.start()
    assert by_cookie.get(f"/api/runs/{run_id}").status_code == 200
    secure = bora.post("/api/session", environ_overrides={"wsgi.url_scheme": "https"})
    assert "Secure" in secure.headers["Set-Cookie"] and "Secure" not in response.headers["Set-Cookie"]


def test_signing_out_takes_the_cookie_away(bora: Api) -> None:
    response = sign_in(bora).delete("/api/session", headers=OWN)
    assert response.status_code == 204
    [cookie] = SimpleCookie(response.headers["Set-Cookie"]).values()
    assert cookie["max-age"] == "0" and not cookie.value


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_change_by_cookie_comes_from_our_own_pages(start_app: StartApp, language: str) -> None:
    app = start_app(allowed_origins="https://front.example, https://other.example")
    bora = Api(app, "보라")
    by_cookie = sign_in(bora)
    for origin in (
        None,
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "https://localhost",
        "http://localhost:81",
    ):
        for method, path in [("POST", "/stream/review"), ("POST", "/api/runs"), ("DELETE", "/api/session")]:
            headers = {"Accept-Language": language} | ({"Origin": origin} if origin else {})
            response = by_cookie.call(method, path, json=DIARY, headers=headers)
            assert response.status_code == 403 and response.get_json()["code"] == "forbidden", origin
            assert ("출처" in response.get_json()["error"]) == (language == "ko")
    assert bora.get("/api/runs").get_json()["items"] == []
    for origin in ("http://localhost", "https://front.example", "https://other.example"):
        assert frames(by_cookie.post("/stream/review", DIARY, headers={"Origin": origin}))
    assert by_cookie.get("/api/runs").status_code == 200, "reading changes nothing"
    # A header is not added by a browser: any page that has the token may use it.
    assert frames(bora.post("/stream/review", DIARY, headers={"Origin": "https://evil.example"}))


def test_who_one_is_must_be_known(app: Flask) -> None:
    nobody = Api(app, None)
    for method, path in [
        ("GET", "/api/session"), ("POST", "/api/session"), ("GET", "/api/reviews"), ("POST", "/api/reviews"),
        ("GET", "/api/reviews/month"), ("GET", "/api/reviews/day"), ("GET", "/api/reviews/-"), ("DELETE", "/api/reviews/-"),
        ("GET", "/api/runs"), ("POST", "/api/runs"), ("GET", "/api/runs/-"), ("DELETE", "/api/runs/-"),
        ("GET", "/api/runs/-/events"), ("POST", "/api/runs/-/cancel"), ("POST", "/api/runs/-/retry"),
        ("POST", "/api/tickets"), ("POST", "/stream/review"), ("POST", "/test/api/request/review"),
    ]:  # fmt: skip
        response = nobody.call(method, path)
        assert response.status_code == 401 and response.get_json()["code"] == "unauthorized", (method, path)


def test_guests_without_a_cookie_are_one(start_app: StartApp) -> None:
    app = start_app(auth="guest")
    nobody = Api(app, None)
    assert nobody.get("/api/session").get_json() == {
        "id": "guest",
        "name": "",
        "role": "USER",
        "expires_at": None,
    }
    nobody.ended(nobody.start())
    assert len(nobody.get("/api/reviews").get_json()["items"]) == 1
    assert Api(app, "보라").get("/api/reviews").get_json()["items"] == []
    assert nobody.get("/api/runs", headers={"Authorization": "Bearer bad"}).status_code == 401
    assert nobody.get("/api/runs", headers={"Cookie": "sora_session=bad"}).status_code == 401
    assert nobody.post("/api/runs", headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_guest_may_have_a_session_of_their_own(start_app: StartApp) -> None:
    nobody = Api(start_app(auth="guest"), None)
    one, other = sign_in(nobody), sign_in(nobody)
    who = one.get("/api/session").get_json()
    assert who["id"].startswith("guest-") and who != other.get("/api/session").get_json()
    kept = one.post("/api/session", headers=OWN).get_json()
    assert kept == who
    one.headers["Cookie"] = f"sora_session={make_token('보라', exp=1)}"
    assert one.post("/api/session", headers=OWN).get_json()["id"].startswith("guest-")


def test_a_stream_ends_when_its_token_does(start_app: StartApp) -> None:
    app = start_app(model="sim-stall2-d0", jwt_leeway=0.0)
    bora = Api(app, "보라")
    run_id = bora.start()
    wait_until(lambda: bora.get(f"/api/runs/{run_id}").get_json()["status"] == "running")
    short = Api(app, None, headers={"Authorization": f"Bearer {make_token('보라', exp=time.time() + 1.2)}"})
    *_, last = frames(short.get(f"/api/runs/{run_id}/events"))
    assert last.event == "error" and last.json()["code"] == "unauthorized"
    assert bora.get(f"/api/runs/{run_id}").get_json()["status"] == "running"
    bora.post(f"/api/runs/{run_id}/cancel")
    wait_until(lambda: bora.ended(run_id))


def test_behind_a_proxy_the_origin_is_the_proxys(start_app: StartApp) -> None:
    forwarded = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "sora.example",
        "Origin": "https://sora.example",
    }
    for proxies, status in [(0, 403), (1, 200)]:
        by_cookie = sign_in(Api(start_app(trusted_proxies=proxies), "보라"))
        assert by_cookie.post("/stream/review", DIARY, headers=forwarded).status_code == status


@pytest.mark.parametrize("exp", [10**400, 1e308, "9999999999"])
def test_a_token_may_be_good_for_ages(app: Flask, exp: object) -> None:
    headers = {"Authorization": f"Bearer {make_token('보라', exp=exp)}"}
    for method in ("POST", "GET"):
        response = Api(app, None, headers=headers).call(method, "/api/session")
        assert response.status_code == 200 and response.get_json()["expires_at"] < 1e11
