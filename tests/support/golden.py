"""The bytes that an original client was written for (tests/golden)."""

from __future__ import annotations

from pathlib import Path

from werkzeug.test import TestResponse

_FOLDER = Path(__file__).resolve().parents[1] / "golden"


def assert_original(response: TestResponse, name: str) -> None:
    """The stream is the golden file's, byte for byte but for the run's id, under the headers that every stream has."""
    assert response.status_code == 200
    run_id = response.headers["X-Sora-Run-Id"]
    assert response.data.replace(run_id.encode(), b"<run_id>") == (_FOLDER / name).read_bytes()
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert "Connection" not in response.headers
