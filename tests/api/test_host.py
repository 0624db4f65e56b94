"""Sora in somebody else's application: theirs goes on as before, and ours works in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, request, session
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy

from sora import Principal, Sora
from sora.config import Config
from sora.errors import ConfigError
from sora.knowledge.documents import SHARED, Documents, Draft
from sora.web.service import Service
from tests.api.conftest import running
from tests.support.host import URL_PREFIX, create_host
from tests.support.host import notes as plain
from tests.support.server import ENCRYPTION_KEYS
from tests.support.simulator import Simulator
from tests.support.sse import Frame, Parser
from tests.support.tables import README
from tests.support.user import DIARY, text_of
from tests.support.waiting import wait_until

StartHost = Callable[..., Flask]


@pytest.fixture
def start_host(database_url: str, simulator: Simulator, tmp_path: Path) -> Iterator[StartHost]:
    with ExitStack() as stack:

        def start(**settings: str) -> Flask:
            usual = {
                "SORA_OPENAI_BASE_URL": simulator.url,
                "SORA_MODEL": "sim-n12-d0",
                "SORA_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
                "SORA_INSTANCE_PATH": str(tmp_path / "instance"),
            }
            app = create_host(Config(database_url=database_url).database, usual | settings)
            stack.enter_context(prepared(app))
            return stack.enter_context(running(app))

        yield start


@pytest.fixture
def host(start_host: StartHost) -> Flask:
    return start_host()


@pytest.fixture
def bora(host: Flask) -> FlaskClient:
    return signed_in(host, "보라")


def prepared(app: Flask) -> ExitStack:
    """The host's tables, until the end of the block."""
    stack = ExitStack()
    with app.app_context():
        plain.db.create_all()

    def dispose() -> None:
        with app.app_context():
            plain.db.engine.dispose()

    stack.callback(dispose)
    return stack


def signed_in(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    assert client.post(f"/login/{name}").status_code == 200
    return client


def stream(client: FlaskClient, path: str, **how: Any) -> tuple[str, list[Frame]]:
    """The run's id and all its frames."""
    with client.open(path, **{"method": "POST", **how}) as response:
        assert response.status_code == 200 and response.mimetype == "text/event-stream", response.text
        return response.headers["X-Sora-Run-Id"], Parser().feed(response.data)


def shown(client: FlaskClient, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = client.get(f"{URL_PREFIX}/api/runs/{run_id}").get_json()
    return run


def ended(client: FlaskClient, run_id: str) -> dict[str, Any]:
    def final() -> dict[str, Any] | None:
        run = shown(client, run_id)
        return None if run["status"] in ("pending", "running") else run

    return wait_until(final, what="the run's end") or {}


def notes_of(app: Flask, owner: str) -> list[str]:
    with app.app_context():
        return plain.texts(owner)


@pytest.mark.parametrize("with_sora", [False, True])
def test_the_hosts_own_tests_pass_with_it_and_without(
    database_url: str, start_host: StartHost, with_sora: bool
) -> None:
    app = start_host() if with_sora else plain.create_app(Config(database_url=database_url).database)
    with prepared(app):
        client = signed_in(app, "보라")
        assert client.get("/notes/").get_json() == []
        assert client.post("/notes/", json={"text": "우산을 샀다"}).status_code == 201
        assert client.get("/notes/").get_json() == ["우산을 샀다"]
        assert signed_in(app, "다나").get("/notes/").get_json() == []
        assert (
            client.post("/notes/", json={"text": ""}).text == "<h1>The host failed: UnprocessableEntity</h1>"
        )
        assert client.get("/notes/broken").text == "<h1>The host failed: ZeroDivisionError</h1>"
        for path in ("/nowhere", "/ai/nowhere", "/", "/metrics"):
            missing = client.get(path)
            assert (missing.status_code, missing.text) == (404, "<h1>The host has no such page</h1>")
            assert missing.headers["X-Host"] == "notes" and "Cache-Control" not in missing.headers


def test_the_review_works_under_the_prefix(host: Flask, bora: FlaskClient) -> None:
    run_id, frames = stream(bora, f"{URL_PREFIX}/stream/review?format=native", json=DIARY)

    run = ended(bora, run_id)
    assert run["status"] == "completed" and run["text"] == text_of(frames) != ""
    assert run["events_url"] == f"/ai/api/runs/{run_id}/events"
    [review] = bora.get("/ai/api/reviews").get_json()["items"]
    assert review["feedback"] == run["text"]
    ticket = bora.post("/ai/api/tickets", json={"kind": "review", "input": DIARY}).get_json()
    assert ticket["url"].startswith("/ai/api/tickets/")
    assert text_of(Parser().feed(host.test_client().get(ticket["url"]).data))
    assert bora.get("/ai/").headers["Location"] == "/ai/app/"
    assert host.test_client().get("/ai/api/runs").get_json()["code"] == "unauthorized"
    assert signed_in(host, "다나").get(f"/ai/api/runs/{run_id}").status_code == 404


def test_a_reference_leads_to_the_document_under_the_prefix(host: Flask, bora: FlaskClient) -> None:
    database = host.extensions["sora"].engine.database
    Documents(database).put(
        SHARED, [Draft("rules.md", "rules.md", "규정", "text/markdown", "1", ["연차는 15일이다."])]
    )

    [hit] = bora.get("/ai/api/search?q=연차").get_json()["items"]
    _, frames = stream(bora, "/ai/api/ask", json={"question": "연차는 며칠인가요?"})

    [reference] = [frame.json() for frame in frames if frame.json()["type"] == "reference"]
    assert reference["url"] == hit["url"] == f"/ai/api/documents/{hit['documentId']}"
    assert bora.get(reference["url"]).get_json()["title"] == reference["title"] == "규정"


def test_a_generator_of_the_hosts_own_is_a_run(bora: FlaskClient) -> None:
    bora.post("/notes/", json={"text": "우산을 샀다"})

    run_id, frames = stream(bora, "/tales/notes", json={"last": "끝"})

    assert [frame.event for frame in frames] == [
        "started", "progress", "delta", "delta", "source", "done",
    ]  # fmt: skip
    assert text_of(frames) == "우산을 샀다\n끝"
    run = ended(bora, run_id)
    assert (run["kind"], run["status"], run["text"]) == ("read_notes", "completed", "우산을 샀다\n끝")
    assert [frame.id for frame in frames] == [f"{run_id}:1-{seq}" for seq in range(1, 7)]


def test_it_is_resumed_where_it_stopped(host: Flask, bora: FlaskClient) -> None:
    run_id, frames = stream(bora, "/tales/count/20")
    at = {"Last-Event-ID": frames[7].id}

    for path in (f"/ai/api/runs/{run_id}/events", "/tales/count/20"):
        again, rest = stream(bora, path, method="GET", headers=at)
        assert again == run_id and [frame.id for frame in rest] == [frame.id for frame in frames[8:]]
    at_the_end = {"Last-Event-ID": frames[-1].id}
    assert bora.get("/tales/count/20", headers=at_the_end).status_code == 204
    assert signed_in(host, "다나").get("/tales/count/20", headers=at).status_code == 204
    assert bora.head("/tales/count/20").status_code == 204
    assert len(bora.get("/ai/api/runs").get_json()["items"]) == 1


def test_an_event_source_that_lost_it_before_the_first_event_finds_it(bora: FlaskClient) -> None:
    with bora.get("/tales/count/3") as response:
        run_id, parser = response.headers["X-Sora-Run-Id"], Parser()
        parser.feed(response.data.split(b"\n\n")[0] + b"\n\n")
    assert parser.last_event_id == f"{run_id}:1-0"


def test_one_key_is_one_run(host: Flask, bora: FlaskClient) -> None:
    key = {"Idempotency-Key": "once"}
    first, frames = stream(bora, "/tales/count/5", headers=key)
    again, same = stream(bora, "/tales/count/5", headers=key)

    assert (first, text_of(frames)) == (again, text_of(same))
    other = bora.post("/tales/count/6", headers=key)
    assert other.status_code == 409 and other.get_json()["code"] == "conflict"
    other = bora.post("/tales/count/5", headers=key, json={"another": "body"})
    assert other.status_code == 409
    wait_until(lambda: notes_of(host, "counter"), what="the generator's end")
    assert notes_of(host, "counter") == ["left"]


def test_it_cannot_be_tried_again_from_here(bora: FlaskClient) -> None:
    run_id, _ = stream(bora, "/tales/count/5")

    refused = bora.post(f"/ai/api/runs/{run_id}/retry", headers={"Accept-Language": "en"})
    assert refused.status_code == 409 and "cannot be started again" in refused.get_json()["error"]


def test_a_cancel_closes_the_generator_and_keeps_what_there_was(host: Flask, bora: FlaskClient) -> None:
    with bora.post("/tales/count/1000?seconds=0.01") as response:
        run_id, pieces = response.headers["X-Sora-Run-Id"], response.iter_encoded()
        parser, frames = Parser(), []
        while len(frames) < 5:
            frames += parser.feed(next(pieces))
        assert bora.post(f"/ai/api/runs/{run_id}/cancel").status_code == 200
        for piece in pieces:
            frames += parser.feed(piece)
    assert frames[-1].event == "cancelled"
    run = ended(bora, run_id)
    assert run["status"] == "cancelled" and run["text"] == text_of(frames)
    wait_until(lambda: notes_of(host, "counter") == ["left"], what="the generator's close")


def test_who_leaves_ends_what_should_end_with_them(start_host: StartHost) -> None:
    host = start_host(SORA_ORPHAN_GRACE="0.2")
    bora = signed_in(host, "보라")
    with bora.post("/tales/leaves/1000") as response:
        run_id = response.headers["X-Sora-Run-Id"]
        next(response.iter_encoded())
    assert ended(bora, run_id)["status"] == "cancelled"
    wait_until(lambda: notes_of(host, "counter") == ["left"], what="the generator's close")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/tales/fails/typed", "upstream_timeout"),
        ("/tales/fails/secret", "internal"),
        ("/tales/hangs", "upstream_timeout"),
    ],
)
def test_a_failure_is_typed_and_tells_nothing(
    bora: FlaskClient, caplog: pytest.LogCaptureFixture, path: str, code: str
) -> None:
    run_id, frames = stream(bora, path)

    assert frames[-1].event == "error" and frames[-1].json()["code"] == code
    run = ended(bora, run_id)
    assert (run["status"], run["error"]["code"], run["text"]) == ("failed", code, "so far")
    assert "secret" not in caplog.text and "secret" not in "".join(frame.data for frame in frames)


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("sim-n9-d0", "completed", None),
        ("sim-429", "failed", "upstream_rate_limited"),
        ("sim-500", "failed", "upstream_error"),
        ("sim-n9-d0-cut3", "failed", "upstream_error"),
    ],
)
def test_the_openai_package_works_as_it_is(
    bora: FlaskClient, model: str, status: str, code: str | None
) -> None:
    run_id, frames = stream(bora, f"/tales/model/{model}")

    run = ended(bora, run_id)
    assert run["status"] == status and run["text"] == text_of(frames)
    assert (run["error"] or {}).get("code") == code
    if status == "completed":
        assert run["model"] == model and run["usage"]["output"] > 0 and run["finish_reason"] == "stop"


def test_the_run_is_counted(bora: FlaskClient) -> None:
    stream(bora, "/tales/count/5")
    assert 'sora_runs_ended_total{kind="count",status="completed"}' in bora.get("/ai/metrics").text


def test_a_foreign_page_starts_nothing(bora: FlaskClient) -> None:
    refused = bora.post("/tales/count/5", headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403 and refused.get_json()["code"] == "forbidden"
    assert bora.get("/ai/api/runs").get_json()["items"] == []


def test_who_is_not_signed_in_gets_our_words_in_a_view_of_theirs(host: Flask) -> None:
    refused = host.test_client().post("/tales/count/5")
    assert refused.status_code == 401 and refused.get_json()["code"] == "unauthorized"


def test_the_document_tells_what_is_mounted_and_where(bora: FlaskClient, host: Flask) -> None:
    document = bora.get("/ai/openapi.json").get_json()

    assert document["servers"] == [{"url": "/ai"}]
    assert "/api/runs/{run_id}" in document["paths"] and "/api/session" not in document["paths"]
    for path in document["paths"]:
        endpoint, _ = host.url_map.bind("").match(
            "/ai" + path, method=next(iter(document["paths"][path])).upper()
        )
        assert endpoint.startswith("sora.")


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., Flask]:
    """Makes an application with nothing in it but what Sora needs; `name` sets one apart from another."""

    def make(name: str = "bare", **settings: str) -> Flask:
        app = Flask(name)
        folder = str(tmp_path / name)
        app.config.update(SORA_ENCRYPTION_KEYS=ENCRYPTION_KEYS, SORA_INSTANCE_PATH=folder, **settings)
        return app

    return make


def anybody(request: object) -> Principal:
    return Principal("anybody")


def test_only_what_is_wanted_is_mounted(bare: Callable[..., Flask], sqlite_url: str) -> None:
    app = bare()
    Sora(app, url_prefix="ai/", endpoints=["runs"], db=sqlite_url, principal_loader=anybody)
    with running(app):
        client = app.test_client()
        assert client.get("/ai/api/runs").get_json()["items"] == []
        for path in ("/ai/", "/", "/ai/app/", "/ai/metrics", "/ai/api/reviews", "/ai/api/session"):
            assert client.get(path).status_code == 404
        unknown = client.post("/ai/api/runs", json={"kind": "review", "input": DIARY})
        assert unknown.status_code == 400
        service: Service = app.extensions["sora"]
        assert service.engine.health()["provider"], "there is no need of one"


@pytest.mark.parametrize(
    "how",
    [
        {"endpoints": ["ruins"]},
        {"endpoints": ["session"]},
        {"db": "sqlite://"},
        {"db": "sqlite:///:memory:"},
        {"db": "mysql+pymysql://db/host"},
    ],
)
def test_what_cannot_be_is_said_at_once(bare: Callable[..., Flask], how: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Sora(bare(SORA_OPENAI_API_KEY="k"), principal_loader=anybody, **how)


def test_the_database_may_be_an_engine_or_any_url_of_it(bare: Callable[..., Flask], sqlite_url: str) -> None:
    engine = sa.create_engine(sqlite_url)
    app = bare()
    Sora(app, endpoints=["runs"], db=engine, principal_loader=anybody)
    service: Service = app.extensions["sora"]
    assert service.engine.database.url == engine.url
    engine.dispose()

    other = bare("other")
    url = sa.make_url("postgresql+psycopg://somebody:x%40y@db.example/host")
    Sora(other, endpoints=["runs"], db=url, principal_loader=anybody)
    assert other.extensions["sora"].engine.database.url == url.set(drivername="postgresql+psycopg2")


def test_two_applications_in_one_process(bare: Callable[..., Flask], tmp_path: Path) -> None:
    sora = Sora()
    apps = []
    with ExitStack() as stack:
        for name in ("one", "two"):
            app = bare(name)
            url = f"sqlite:///{tmp_path / name}.sqlite3"
            sora.init_app(app, url_prefix=f"/{name}", endpoints=["runs"], db=url, principal_loader=anybody)
            app.add_url_rule(
                "/tell", "tell", lambda name=name: sora.stream(iter([name]), name="tell"), methods=["POST"]
            )
            apps.append(stack.enter_context(running(app)))
        for app, name in zip(apps, ("one", "two"), strict=True):
            client = app.test_client()
            run_id, frames = stream(client, "/tell")
            assert text_of(frames) == name
            items = client.get(f"/{name}/api/runs").get_json()["items"]
            assert [run["id"] for run in items] == [run_id]


@pytest.mark.parametrize(
    ("source", "how", "wrong"),
    [
        (["a"], {"name": "two words"}, ValueError),
        (["a"], {"name": "review"}, ValueError),
        (["a"], {"name": "x" * 33}, ValueError),
        (["a"], {"format": "morse"}, ValueError),
        (["a"], {"on_disconnect": "perhaps"}, ValueError),
        (7, {}, TypeError),
    ],
)
def test_what_cannot_be_streamed_is_said_to_the_programmer(
    host: Flask, source: Any, how: dict[str, Any], wrong: type[Exception]
) -> None:
    with host.test_request_context("/"), pytest.raises(wrong):
        Sora().stream(source, **how)


def test_the_lines_of_the_readme_work(bare: Callable[..., Flask], sqlite_url: str) -> None:
    section = README.read_text("utf-8").partition("\n## In an existing Flask app\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    app = bare(SORA_OPENAI_API_KEY="k")
    app.config.update(SECRET_KEY="s", SQLALCHEMY_DATABASE_URI=sqlite_url)
    app.add_url_rule(
        "/login/<name>", "login", lambda name: session.update(user=name) or name, methods=["POST"]
    )

    class chat:
        @staticmethod
        def stream(question: str) -> Iterator[str]:
            yield from (question, "!")

    given = {"app": app, "db": SQLAlchemy(app), "session": session, "request": request, "chat": chat}
    exec("\n".join(blocks), given)
    with running(app):
        client = signed_in(app, "보라")
        run_id, frames = stream(client, "/tell", json={"question": "왜"})
        assert text_of(frames) == ended(client, run_id)["text"] == "왜!"
        assert ended(client, run_id)["kind"] == "tell"
    with app.app_context():
        given["db"].engine.dispose()  # type: ignore[attr-defined]


def test_a_stream_that_ends_says_nothing_in_the_log(
    bora: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        stream(bora, "/tales/count/5")
    assert not caplog.records


def test_other_origins_are_allowed_on_our_routes_alone(start_host: StartHost) -> None:
    client = signed_in(start_host(SORA_ALLOWED_ORIGINS="http://localhost:3000"), "보라")
    page = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    for path in ("/notes/", "/no/such/path", f"{URL_PREFIX}/no/such/path"):
        for response in (client.get(path, headers=page), client.options(path, headers=page)):
            assert "Access-Control-Allow-Origin" not in response.headers, path
    for response in (
        client.get(f"{URL_PREFIX}/api/runs", headers=page),
        client.options(f"{URL_PREFIX}/api/runs", headers=page),
    ):
        assert response.headers["Access-Control-Allow-Origin"] == page["Origin"]
