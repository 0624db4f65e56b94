"""A user of an application in this process, through Flask's own client."""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.support.client import make_token
from tests.support.sse import Frame, Parser
from tests.support.waiting import wait_until

DIARY = {"body": "오늘은 비가 와서 창밖을 오래 보았다.", "type": "F", "reviewDate": "2026-01-20"}


class Api:
    """One user with a token (none for `name` None). Responses are whole; `open` gives one as it arrives."""

    def __init__(self, app: Flask, name: str | None, *, headers: dict[str, str] | None = None) -> None:
        self.client = app.test_client(use_cookies=False)
        self.headers = dict(headers or {})
        if name is not None:
            self.headers["Authorization"] = f"Bearer {make_token(name)}"

    def open(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **how: Any
    ) -> TestResponse:
        """The response, its body not read yet: close it."""
        return self.client.open(path, method=method, headers=self.headers | (headers or {}), **how)

    def call(self, method: str, path: str, **how: Any) -> TestResponse:
        with self.open(method, path, **how) as response:
            response.get_data()
            return response

    def get(self, path: str, **how: Any) -> TestResponse:
        return self.call("GET", path, **how)

    def post(self, path: str, json: Any = None, **how: Any) -> TestResponse:
        return self.call("POST", path, **({} if json is None else {"json": json}), **how)

    def delete(self, path: str, **how: Any) -> TestResponse:
        return self.call("DELETE", path, **how)

    def start(self, **body: Any) -> str:
        """A run of the usual diary; its id."""
        response = self.post("/api/runs", {"kind": "review", "input": DIARY, **body})
        assert response.status_code == 201, response.text
        run_id: str = response.get_json()["id"]
        return run_id

    def ended(self, run_id: str) -> dict[str, Any]:
        """The run, once it has ended."""

        def final() -> dict[str, Any] | None:
            run: dict[str, Any] = self.get(f"/api/runs/{run_id}").get_json()
            return None if run["status"] in ("pending", "running") else run

        return wait_until(final, what="the run's end") or {}


def frames(response: TestResponse) -> list[Frame]:
    """The frames of a whole stream."""
    assert response.mimetype == "text/event-stream", response.text
    return Parser().feed(response.data)


def said(response: TestResponse) -> list[dict[str, Any]]:
    """The messages of a whole stream of JSON, which was not refused."""
    assert response.status_code == 200, response.text
    return [frame.json() for frame in frames(response)]
