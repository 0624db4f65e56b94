"""Hooks and middlewares of the host's: those that wrap a stream let it flow, and none swallows it without a word."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, make_response
from flask.testing import FlaskClient

from sora import Principal, Sora
from sora.web.service import Service
from tests.api.conftest import running
from tests.support.server import ENCRYPTION_KEYS
from tests.support.sse import Parser
from tests.support.user import text_of
from tests.support.waiting import wait_until

Hook = Callable[[Response], Response]


class Steps:
    """A generator that says "one", and "two" once it may."""

    def __init__(self) -> None:
        self.may_go_on = False

    def __iter__(self) -> Iterator[str]:
        yield "one"
        wait_until(lambda: self.may_go_on, what="leave to go on")
        yield "two"


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def app(steps: Steps, sqlite_url: str, tmp_path: Path) -> Iterator[Flask]:
    app = Flask("host")
    app.config.update(SORA_ENCRYPTION_KEYS=ENCRYPTION_KEYS, SORA_INSTANCE_PATH=str(tmp_path / "instance"))
    sora = Sora(app, endpoints=["runs"], db=sqlite_url, principal_loader=lambda request: Principal("anybody"))
    app.add_url_rule(
        "/tell", view_func=lambda: sora.stream(steps, name="tell"), endpoint="tell", methods=["POST"]
    )
    with running(app):
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def wrapped(response: Response) -> Response:
    if not response.is_streamed:
        return response

    def shouting() -> Iterator[bytes]:
        for piece in response.iter_encoded():
            yield piece.replace(b'"one"', b'"ONE"')

    pieces = shouting()
    new = make_response(pieces)
    new.headers.extend(response.headers)
    new.call_on_close(response.close)
    return new


def in_place(response: Response) -> Response:
    pieces = response.response
    response.response = (piece for piece in pieces)
    return response


def looked_at(response: Response) -> Response:
    if response.mimetype != "text/event-stream":
        return response
    assert response.get_data() == b"" and response.get_data(as_text=True) == "" and response.data == b""
    assert response.get_json(silent=True) is None and response.calculate_content_length() is None
    return response


def tagged(response: Response) -> Response:
    response.add_etag()
    return response


@pytest.mark.parametrize("hook", [wrapped, in_place, looked_at, tagged])
def test_a_hook_neither_breaks_nor_buffers_a_stream(
    app: Flask, client: FlaskClient, steps: Steps, hook: Hook
) -> None:
    app.after_request(hook)
    flows(app, client, steps, shouted=hook is wrapped)


class Forgetful:
    """A middleware that passes pieces on, and never closes what it got them from."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        pieces = iter(self._application(environ, start_response))
        while (piece := next(pieces, None)) is not None:
            yield piece


def test_a_middleware_neither_breaks_nor_buffers_a_stream(
    app: Flask, client: FlaskClient, steps: Steps
) -> None:
    app.wsgi_app = Forgetful(app.wsgi_app)  # type: ignore[method-assign]
    flows(app, client, steps)


def flows(app: Flask, client: FlaskClient, steps: Steps, *, shouted: bool = False) -> None:
    """A stream arrives as it is made, and leaves no reader behind."""
    with client.post("/tell") as response:
        run_id, pieces = response.headers["X-Sora-Run-Id"], response.iter_encoded()
        assert "Content-Length" not in response.headers
        parser, frames = Parser(), []
        while not any(frame.event == "delta" for frame in frames):
            frames += parser.feed(next(pieces))
        steps.may_go_on = True  # what came until here was not held back
        for piece in pieces:
            frames += parser.feed(piece)
    text = text_of(frames)
    assert text == ("ONEtwo" if shouted else "onetwo") and frames[-1].event == "done"
    service: Service = app.extensions["sora"]
    assert not service.engine.readers.all()
    assert client.get(f"/api/runs/{run_id}").get_json()["text"] == "onetwo"


def test_who_asks_for_the_whole_body_is_told(
    app: Flask, client: FlaskClient, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    app.after_request(looked_at)
    steps.may_go_on = True
    with caplog.at_level(logging.WARNING):
        client.post("/tell").close()
    assert "whole body" in caplog.text


@pytest.mark.parametrize("take", ["set_data", "make_sequence", "freeze"])
def test_a_hook_that_replaces_what_it_read_fails_aloud_and_the_run_goes_on(
    app: Flask, client: FlaskClient, steps: Steps, take: str
) -> None:
    def replace(response: Response) -> Response:
        if response.mimetype == "text/event-stream":
            if take == "set_data":
                response.set_data(response.get_data() + b"!")
            else:
                getattr(response, take)()
        return response

    app.after_request(replace)
    assert client.post("/tell").status_code == 500
    service: Service = app.extensions["sora"]
    assert not service.engine.readers.all()
    steps.may_go_on = True
    wait_until(
        lambda: [run["status"] for run in client.get("/api/runs").get_json()["items"]] == ["completed"],
        what="the run's end",
    )


def test_a_hook_may_answer_something_else(app: Flask, client: FlaskClient, steps: Steps) -> None:
    def instead(response: Response) -> Response:
        response.set_data("not today")
        return response

    app.after_request(instead)
    assert client.get("/nowhere").text == "not today"
    with client.post("/tell") as response:
        assert response.text == "not today"
    steps.may_go_on = True
    service: Service = app.extensions["sora"]
    assert not service.engine.readers.all()
