"""A user of running servers, over HTTP."""

from __future__ import annotations

from typing import Any

from tests.support.client import Answer, Stream, make_token, request
from tests.support.sse import Frame
from tests.support.waiting import wait_until

DIARY = {"body": "오늘은 비가 와서 창밖을 오래 보았다.", "type": "F", "reviewDate": "2026-01-20"}


class User:
    """One user with a token. `url` is where requests go, unless they say `at` which server."""

    def __init__(self, url: str, name: str = "보라") -> None:
        self.url = url
        self.token = make_token(name)

    def open(self, path: str, *, at: str | None = None, **how: Any) -> Stream:
        """A stream, see `Stream`: use it as a context manager."""
        return Stream(at or self.url, path, token=self.token, **how)

    def request(self, path: str, *, at: str | None = None, **how: Any) -> Answer:
        return request(at or self.url, path, **{"token": self.token, **how})

    def start(self, **body: Any) -> str:
        """A run of the usual diary; its id."""
        answer = self.request("/api/runs", payload={"kind": "review", "input": DIARY, **body})
        assert answer.status == 201, answer.text
        run_id: str = answer.json()["id"]
        return run_id

    def run(self, run_id: str, *, at: str | None = None) -> dict[str, Any]:
        run: dict[str, Any] = self.request(f"/api/runs/{run_id}", at=at).json()
        return run

    def ended(self, run_id: str, *, timeout: float = 15.0) -> dict[str, Any]:
        """The run, once it is final."""

        def final() -> dict[str, Any] | None:
            run = self.run(run_id)
            return None if run["status"] in ("pending", "running") else run

        return wait_until(final, timeout=timeout, what="the run's end", interval=0.02) or {}

    def runs(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.request("/api/runs?limit=100").json()["items"]
        return items

    def reviews(self) -> list[dict[str, Any]]:
        """The saved reviews, newest first: the first page."""
        items: list[dict[str, Any]] = self.request("/api/reviews").json()["items"]
        return items


def text_of(frames: list[Frame]) -> str:
    """The answer in the deltas of a native or a review stream, which must be numbered from 0 without a gap."""
    deltas = [frame.json() for frame in frames if is_delta(frame)]
    assert [delta.get("index", delta.get("seq")) for delta in deltas] == list(range(len(deltas)))
    return "".join(delta["text"] if "text" in delta else delta["value"] for delta in deltas)


def is_delta(frame: Frame) -> bool:
    """Whether a frame is a delta, in the native or the review format."""
    return frame.event == "delta" or (frame.event == "message" and frame.data.startswith('{"seq":'))
