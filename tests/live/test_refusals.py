"""What cannot be answered is refused in clear words, starts nothing and harms nobody: by Sora, by gunicorn, by nginx."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest

from sora.errors import MESSAGES
from tests.support.client import JWT_SECRET, make_token, request
from tests.support.nginx import binary, nginx
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import DIARY, User
from tests.support.waiting import wait_until

LANGUAGES = ("ko", "en")
JSON = "application/json"
GOOD = json.dumps(DIARY).encode()
MIB = 1 << 20


@dataclass(frozen=True)
class Site:
    """A server, also as it is seen through nginx."""

    direct: str
    nginx: str


@pytest.fixture(scope="module")
def site(_simulator: Simulator, module_url: str) -> Iterator[Site]:
    if binary() is None:
        pytest.skip("nginx is not installed · apt-get install nginx-light")
    with (
        Server(module_url, _simulator.url, env={"SORA_MODEL": "sim-n60-d20"}) as server,
        nginx(server.port) as proxy,
    ):
        yield Site(server.url, proxy.url)


@pytest.fixture(params=["direct", "nginx"])
def url(request: pytest.FixtureRequest, site: Site) -> str:
    found: str = getattr(site, request.param)
    return found


@dataclass(frozen=True)
class Refusal:
    """A request to /stream/review and what it gets. `says` is a key of MESSAGES; empty: the words of the code, in both
    languages, because nobody has read which is wanted. A `proxy_status` of None: the client breaks off, and nginx closes
    without a word."""

    status: int
    code: str
    says: str = ""
    field: str = ""
    body: bytes = GOOD
    headers: tuple[str, ...] = ()
    type: str | None = JSON
    token: str | None = ""  # empty: a good one
    length: str | None = None  # what the request says of its body; empty: nothing
    line: str = "POST /stream/review HTTP/1.1"
    proxy_status: int | None = 0  # 0: the same


def diary(**fields: Any) -> bytes:
    """The usual diary with other fields; None takes one away."""
    return json.dumps(
        {key: value for key, value in {**DIARY, **fields}.items() if value is not None}
    ).encode()


def chunked(body: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:])) + b"0\r\n\r\n"


def token(secret: str = JWT_SECRET, **claims: Any) -> str:
    return make_token("보라", secret=secret, **claims)


def field(name: str, says: str, **fields: Any) -> Refusal:
    return Refusal(400, "invalid_request", says, field=name, body=diary(**fields))


def no_json(body: bytes) -> Refusal:
    return Refusal(400, "invalid_request", "bad_json", body=body)


def unauthorized(says: str, token: str | None) -> Refusal:
    return Refusal(401, "unauthorized", says, token=token)


def malformed(**how: Any) -> Refusal:
    return Refusal(400, "invalid_request", **how)


CHUNKS: dict[str, Any] = {"length": "", "headers": ("Transfer-Encoding: chunked",)}
REFUSALS = {
    "wrong type": field("type", "field_choice", type="SAD"),
    "type of another type": field("type", "field_choice", type=["F"]),
    "no type": field("type", "field_required", type=None),
    "no such date": field("reviewDate", "field_date", reviewDate="2026-02-30"),
    "date of another form": field("reviewDate", "field_date", reviewDate="20.01.2026"),
    "date with a time": field("reviewDate", "field_date", reviewDate="2026-01-20T00:00:00Z"),
    "no diary": field("body", "field_required", body=None),
    "empty diary": field("body", "field_empty", body=""),
    "blank diary": field("body", "field_empty", body=" \n\u3000"),
    "diary of another type": field("body", "field_text", body={"a": 1}),
    "long diary": field("body", "field_long", body="가" * 20_001),
    "lone surrogate": field("body", "field_characters", body="\ud800"),
    "NUL": field("body", "field_characters", body="a\0b"),
    "no object": Refusal(400, "invalid_request", "field_object", body=b"[]"),
    "no body": no_json(b""),
    "half of it": no_json(GOOD[:-5]),
    "no UTF-8": no_json(b'{"body": "\xff\xfe", "type": "F", "reviewDate": "2026-01-20"}'),
    "UTF-16": no_json(GOOD.decode().encode("utf-16")),
    "a name twice": no_json(b'{"body": "a", "body": "b", "type": "F", "reviewDate": "2026-01-20"}'),
    "deep arrays": no_json(b"[" * 200_000),
    "deep objects": no_json(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "deep in a field": no_json(b'{"body":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    "not a number": no_json(b'{"body": NaN}'),
    "huge number": no_json(b'{"body": ' + b"9" * 100_000 + b"}"),
    "text": Refusal(415, "unsupported_media_type", "unsupported_media_type", type="text/plain"),
    "form": Refusal(415, "unsupported_media_type", "unsupported_media_type", type="application/x-www-form-urlencoded"),
    "no content type": Refusal(415, "unsupported_media_type", "unsupported_media_type", type=None),
    "compressed": Refusal(
        415, "unsupported_media_type", "unsupported_media_type", body=gzip.compress(GOOD),
        headers=("Content-Encoding: gzip",),
    ),
    "large": Refusal(413, "too_large", "too_large", body=b" " * MIB + GOOD),
    "large in chunks": Refusal(413, "too_large", "too_large", body=chunked(b" " * MIB + GOOD), **CHUNKS),
    "said to be large": Refusal(413, "too_large", "too_large", length=str(40 * MIB), body=b"{", proxy_status=None),
    "no token": unauthorized("unauthorized", None),
    "made-up token": unauthorized("token_invalid", "abc"),
    "another secret": unauthorized("token_invalid", token("x" * 40)),
    "no signature": unauthorized("token_invalid", jwt.encode({"sub": "a", "exp": 9e9}, "", "none")),
    "expired": unauthorized("token_expired", token(exp=int(time.time()) - 3600)),
    "refresh token": unauthorized("token_refresh", token(category="refresh")),
    "token without an end": unauthorized("token_invalid", token(exp=None)),
    "token of nobody": unauthorized("token_invalid", token(sub=None, uuid=None, username=None)),
    "huge token": unauthorized("token_invalid", "a" * 60_000),
    "chunk without a size": malformed(says="bad_body", body=b"zz\r\nabc\r\n0\r\n\r\n", proxy_status=400, **CHUNKS),
    "half a chunk": malformed(says="bad_body", body=b"f00\r\n" + GOOD, proxy_status=None, **CHUNKS),
    "no last chunk": malformed(says="bad_body", body=chunked(GOOD)[:-5], proxy_status=None, **CHUNKS),
    "less than was said": malformed(says="bad_body", length="500", proxy_status=None),
    "length and chunks": malformed(headers=("Transfer-Encoding: chunked",), body=chunked(GOOD)),
    "negative length": malformed(length="-5"),
    "length in words": malformed(length="many"),
    "header without a name": malformed(headers=("no name",)),
    "NUL in a header": malformed(headers=("X-A: a\0b",)),
    "small letters": malformed(line="post /stream/review HTTP/1.1"),
    "no HTTP": malformed(line="\x16\x03\x01\x02"),
    "huge header": Refusal(431, "too_large", headers=(f"X-A: {'a' * 70_000}",)),
    "many headers": Refusal(431, "too_large", headers=tuple(f"X-{number}: 1" for number in range(200))),
    "GET": Refusal(405, "method_not_allowed", "method_not_allowed", line="GET /stream/review HTTP/1.1"),
    "PUT": Refusal(405, "method_not_allowed", "method_not_allowed", line="PUT /stream/review HTTP/1.1"),
    "unknown format": Refusal(
        400, "invalid_request", "field_choice", field="format", line="POST /stream/review?format=xml HTTP/1.1"
    ),
    "unusable key": Refusal(
        400, "invalid_request", "field_key", field="Idempotency-Key", headers=("Idempotency-Key: a b",)
    ),
    "no such path": Refusal(404, "not_found", "not_found", line="POST /stream/reviews HTTP/1.1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_it_says_why_and_starts_nothing(site: Site, simulator: Simulator, name: str) -> None:
    refusal = REFUSALS[name]
    user = User(site.direct)
    for language in LANGUAGES:
        data = of(refusal, language, user.token)
        breaks_off = refusal.proxy_status is None
        status, answer = exchange(site.direct, data, breaks_off=breaks_off)
        assert status == refusal.status
        assert_says(answer, refusal, language)
        status, answer = exchange(site.nginx, data, breaks_off=breaks_off)
        if refusal.proxy_status is None:
            assert status is None
        else:
            assert status == (refusal.proxy_status or refusal.status)
            assert_says(answer, refusal, language)
    assert simulator.requests() == [] and user.runs() == [] and user.reviews() == []


def of(refusal: Refusal, language: str, good_token: str) -> bytes:
    """The bytes of the request."""
    lines = [refusal.line, "Host: sora.example", f"Accept-Language: {language}", *refusal.headers]
    if refusal.token is not None:
        lines.append(f"Authorization: Bearer {refusal.token or good_token}")
    if refusal.type is not None:
        lines.append(f"Content-Type: {refusal.type}")
    if refusal.length != "":
        lines.append(f"Content-Length: {refusal.length or len(refusal.body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + refusal.body


def exchange(url: str, data: bytes, *, breaks_off: bool = False) -> tuple[int | None, bytes]:
    """Sends these bytes, and ends its side when it `breaks_off`; status and body of the answer, None when there is none."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=10) as connection:
        try:
            connection.sendall(data)
            if breaks_off:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has heard enough
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            return response.status, response.read()
        except (http.client.BadStatusLine, ConnectionError):
            return None, b""


def assert_says(answer: bytes, refusal: Refusal, language: str) -> None:
    said = json.loads(answer)
    assert said["success"] is False and said["code"] == refusal.code
    own, general = MESSAGES[refusal.says or refusal.code], MESSAGES[refusal.code]
    which = LANGUAGES.index(language)
    if said["error"] == " ".join(general):
        assert set(said) == {"success", "error", "code"}
    elif refusal.says.startswith("field_"):
        assert said["error"] == general[which]
        [detail] = said["details"]
        assert detail["field"] == refusal.field
        assert re.fullmatch(
            re.sub(r"{\w+}", ".+", re.sub(r"([.()])", r"\\\1", own[which])), detail["message"]
        )
    else:
        assert said["error"] == own[which]


@pytest.mark.parametrize(
    "path",
    [
        "/test/api/request/review",
        "/api/runs",
        "/api/tickets",
        "/api/reviews",
        "/api/runs/0/retry",
        "/api/session",
    ],
)
def test_every_endpoint_asks_who_it_is(url: str, simulator: Simulator, path: str) -> None:
    for bad in (None, "abc", token(category="refresh")):
        answer = request(url, path, payload={"kind": "review", "input": DIARY, **DIARY}, token=bad)
        assert (answer.status, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert simulator.requests() == []


def test_more_than_nginx_takes(site: Site, simulator: Simulator) -> None:
    user = User(site.direct)
    head = (
        "POST /api/runs HTTP/1.1", "Host: sora.example", f"Authorization: Bearer {user.token}",
        f"Content-Type: {JSON}", f"Content-Length: {300 * MIB}",
    )  # fmt: skip
    for url in (site.direct, site.nginx):
        status, answer = exchange(url, "\r\n".join(head).encode() + b"\r\n\r\n" + b" " * MIB)
        assert status == 413
        assert json.loads(answer)["code"] == "too_large"
    path = f"/api/runs?before={'a' * 300_000}"
    assert request(site.nginx, path, token=user.token).status == 414
    assert request(site.direct, path, token=user.token).status == 400
    assert simulator.requests() == [] and user.runs() == []


def test_an_unread_body_is_no_request(url: str, simulator: Simulator) -> None:
    """What follows a refusal on the same connection is the next request, never what was in the refused one's body."""
    user = User(url)
    hidden = of(Refusal(0, ""), "ko", user.token)
    address = urlsplit(url)
    for refusal in (
        Refusal(401, "", token="abc", body=hidden),
        Refusal(415, "", type="text/plain", body=hidden),
        Refusal(404, "", line="POST /nowhere HTTP/1.1", body=hidden),
        Refusal(413, "", body=b" " * (2 * MIB) + hidden),
    ):
        with socket.create_connection((address.hostname, address.port or 0), timeout=10) as connection:
            data = (
                of(refusal, "ko", user.token)
                + b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            )
            sending = threading.Thread(target=send, args=(connection, data))
            sending.start()
            received = b""
            try:
                while more := connection.recv(65536):
                    received += more
            except ConnectionError:
                pass
            sending.join()
        statuses = re.findall(rb"HTTP/1.1 (\d+)", received)
        assert statuses in ([b"%d" % refusal.status, b"200"], [b"%d" % refusal.status]), received[:500]
        assert b"text/event-stream" not in received
    assert simulator.requests() == [] and user.runs() == []


def send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except OSError:
        pass  # it has heard enough


def test_somebody_elses_run_is_not_there(url: str, simulator: Simulator) -> None:
    bora, dana = User(url, f"보라 {url}"), User(url, f"다나 {url}")
    run_id = bora.start()
    with bora.open(f"/api/runs/{run_id}/events") as stream:
        last = stream.take(2)[-1].id
        for identifier in (run_id, "0" * 22, "가", "a" * 300):
            path = f"/api/runs/{identifier}".replace("가", "%EA%B0%80")
            for method, rest, how in [
                ("GET", "", {}),
                ("GET", "/events", {}),
                ("GET", "/events?format=review", {"last_event_id": last}),
                ("POST", "/cancel", {}),
                ("POST", "/retry", {}),
                ("DELETE", "", {}),
            ]:
                for language in LANGUAGES:
                    headers = {"Accept-Language": language}
                    answer = dana.request(path + rest, method=method, headers=headers, **how)
                    assert answer.status == 404, (method, path, rest)
                    assert answer.json() == {
                        "success": False,
                        "error": MESSAGES["not_found"][LANGUAGES.index(language)],
                        "code": "not_found",
                    }
            assert dana.request(f"{path}/events", method="HEAD").status == 404
        assert [frame.event for frame in stream.rest()][-2:] == ["usage", "done"]
    assert bora.run(run_id)["status"] == "completed"
    review = bora.reviews()[0]["id"]
    for method in ("GET", "DELETE"):
        assert dana.request(f"/api/reviews/{review}", method=method).status == 404
    assert len(bora.reviews()) == len(bora.runs()) == len(simulator.requests()) == 1
    assert dana.runs() == [] and dana.reviews() == []


def test_looking_at_a_stream_reads_nothing_of_it(site: Site, url: str, simulator: Simulator) -> None:
    user = User(url, f"보기 {url}")
    assert user.request("/stream/review", method="HEAD", payload=DIARY).status == 405
    assert simulator.requests() == [] and user.runs() == []
    run_id = user.start()
    path = f"/api/runs/{run_id}/events"
    for how in (
        {"method": "HEAD"},
        {"method": "HEAD", "last_event_id": f"{run_id}:1-2"},
        {"headers": {"Purpose": "prefetch"}},
        {"headers": {"Sec-Purpose": "prefetch;prerender"}},
    ):
        answer = user.request(path, **how)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert user.run(run_id)["status"] in ("pending", "running"), "it came at once"
    wait_until(lambda: "sora_active_readers 0.0" in request(site.direct, "/metrics").text, what="no reader")
    ticket = user.request("/api/tickets", payload={"kind": "review", "input": DIARY}).json()["url"]
    for _ in range(2):
        assert request(url, ticket, method="HEAD").body == b""
    with user.open(path) as stream:
        assert stream.rest()[-1].event == "done"
    with user.open(ticket) as stream:
        assert stream.rest()[-1].event == "done"
    wait_until(lambda: len(simulator.requests()) == 2, what="both runs' generations")
    assert len(user.runs()) == 2


def test_a_position_that_is_none(url: str) -> None:
    user = User(url, f"자리 {url}")
    one, two = user.start(), user.start()
    user.ended(two)
    for last in ("x", f"{two}:1-3", f"{one}:0-0", f"{one}:1", f"{one}:1-" + "9" * 30, "a" * 5000):
        for language in LANGUAGES:
            answer = user.request(
                f"/api/runs/{one}/events", last_event_id=last, headers={"Accept-Language": language}
            )
            assert answer.status == 400, last
            [detail] = answer.json()["details"]
            words = MESSAGES["field_cursor"][LANGUAGES.index(language)]
            assert detail == {"field": "Last-Event-ID", "message": words}
    # Beyond what there is: this is a position all the same, and the run goes on from there.
    assert user.request(f"/api/runs/{two}/events", last_event_id=f"{two}:1-999").status == 204
