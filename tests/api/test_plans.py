"""What a request, a token and a worker's rounds cost does not grow with all that was ever said: no statement of theirs reads a
table of it whole."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy import event

from sora.web.service import Service
from tests.api.conftest import StartApp
from tests.support.waiting import wait_until
from tests.support.web import DIARY, Api, frames

_GROWS = "runs|journal|reviews|messages|conversations|attachments|outbox"
_Statements = dict[str, Sequence[object] | Mapping[str, object]]


@contextmanager
def listening(engine: sa.Engine) -> Iterator[_Statements]:
    """The statements that are executed meanwhile, each with the parameters it was given."""
    heard: _Statements = {}

    @event.listens_for(engine, "before_cursor_execute")
    def hear(
        connection: object,
        cursor: object,
        statement: str,
        parameters: list[Sequence[object]],
        context: object,
        many: bool,
    ) -> None:
        if statement.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            heard[statement] = parameters[0] if many else parameters

    try:
        yield heard
    finally:
        event.remove(engine, "before_cursor_execute", hear)


def plans(file: str, statements: _Statements) -> dict[str, list[str]]:
    """How SQLite would go about each statement, in steps."""
    with sqlite3.connect(file) as database:
        found = {
            statement: [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in statements.items()
        }
    database.close()
    return found


def use(app: Flask) -> None:
    """A user's day, and the rounds of the worker beside it."""
    bora = Api(app, "보라")
    service: Service = app.extensions["sora"]
    engine = service.engine
    review = bora.start()
    bora.ended(review)
    key = {"Idempotency-Key": "a"}
    frames(bora.post("/stream/review", DIARY, headers=key))
    frames(bora.post("/stream/review", DIARY, headers=key))
    ticket = bora.post("/api/tickets", {"kind": "review", "input": DIARY}).get_json()["ticket"]
    frames(bora.get(f"/api/tickets/{ticket}/events"))
    for question in ("처음", "다시"):
        frames(bora.get(f"/chat/stream?message={question}&conversation_id=c"))
        frames(bora.post("/api/ask", {"question": question, "sessionId": "s"}))
        frames(bora.post("/api/chat/stream", {"message": question, "user_id": "u"}))
    run = bora.start()
    bora.post(f"/api/runs/{run}/cancel")
    bora.ended(run)
    frames(bora.get(f"/api/runs/{review}/events", headers={"Last-Event-ID": f"{review}:1-2"}))
    for path in (
        "/api/runs", "/api/runs?status=completed", f"/api/runs?after={review}", "/api/reviews", "/api/conversations",
        "/api/conversations/c/messages", "/readyz", "/metrics",
    ):  # fmt: skip
        assert bora.get(path).status_code == 200, path
    engine.worker.round()
    engine.worker.sweep()
    engine.recovery.step()
    wait_until(lambda: not engine.producers)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_statement_reads_what_was_ever_said(start_app: StartApp) -> None:
    app = start_app()
    database = app.extensions["sora"].engine.database
    with listening(database.engine) as statements:
        use(app)
    found = plans(str(database.url.database), statements)
    assert len(found) > 30, "it was listened to"
    whole = re.compile(rf"SCAN ({_GROWS})(_\d+)?\b")
    assert {statement: steps for statement, steps in found.items() if any(map(whole.match, steps))} == {}
