from __future__ import annotations

import re

import pytest
from flask import Flask

from sora import Sora, create_app
from sora.errors import ConfigError
from tests.api.conftest import StartApp, running
from tests.support.web import DIARY, Api, frames

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_the_document_describes_every_route(app: Flask) -> None:
    document = Api(app, None).get("/openapi.json").get_json()
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == routes
    schemas = document["components"]["schemas"]
    used = set(re.findall(r"#/components/schemas/(\w+)", Api(app, None).get("/openapi.json").text))
    assert used == set(schemas)


def test_the_document_tells_what_is_answered(app: Flask, bora: Api) -> None:
    schemas = Api(app, None).get("/openapi.json").get_json()["components"]["schemas"]
    bora.ended(bora.start())
    [run] = bora.get("/api/runs").get_json()["items"]
    [review] = bora.get("/api/reviews").get_json()["items"]
    assert set(schemas["Run"]["properties"]) == {*run, "text"}
    assert set(schemas["Review"]["properties"]) == {*review, "others"}
    assert set(schemas["Session"]["properties"]) == set(bora.get("/api/session").get_json())


def test_alive_ready_and_counted(app: Flask, bora: Api) -> None:
    nobody = Api(app, None)
    assert nobody.get("/healthz").get_json() == {"status": "ok"}
    bora.ended(bora.start())
    ready = nobody.get("/readyz").get_json()
    assert ready["ready"] and all(ready["checks"].values())
    metrics = nobody.get("/metrics")
    assert metrics.mimetype == "text/plain" and "sora_runs_ended_total" in metrics.text


def test_an_application_has_one_sora(app: Flask) -> None:
    with pytest.raises(RuntimeError):
        Sora(app)


def test_in_another_application_it_keeps_to_its_own(start_app: StartApp) -> None:
    settings = {name: value for name, value in start_app().config.items() if name.startswith("SORA_")}
    host = Flask("host")
    host.config.update(settings)
    with running(Sora(host) and host) as app:
        bora = Api(app, "보라")
        assert frames(bora.post("/stream/review", DIARY))
        assert bora.post("/stream/review", {}).get_json()["code"] == "invalid_request"
        missing = bora.get("/of-the-host")
        assert missing.status_code == 404 and missing.mimetype == "text/html"
        assert "Cache-Control" not in missing.headers


@pytest.mark.parametrize("name", ["SORA_JWT_SECRET", "SORA_ENCRYPTION_KEYS", "SORA_OPENAI_BASE_URL"])
def test_a_start_without_a_secret_says_which(start_app: StartApp, name: str) -> None:
    settings = {
        key: value for key, value in start_app().config.items() if key.startswith("SORA_") and key != name
    }
    with pytest.raises(ConfigError, match="SORA_OPENAI_API_KEY" if name == "SORA_OPENAI_BASE_URL" else name):
        create_app(settings)


def test_a_short_secret_does_not_start(start_app: StartApp) -> None:
    settings = {key: value for key, value in start_app().config.items() if key.startswith("SORA_")}
    with pytest.raises(ConfigError, match="SORA_JWT_SECRET"):
        create_app(settings | {"SORA_JWT_SECRET": "short"})
