"""The agent as its clients meet it: from an empty database to rows by one command and one curl, and tickets that expire."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import questions
from tests.support.client import Stream
from tests.support.postgres import Postgres
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import User
from tests.support.waiting import let_pass

pytestmark = pytest.mark.timeout(120)
ENV = {"SORA_AUTH": "guest", "SORA_MODEL": "sim-n12-d0"}
TICKET_TTL = 1.0


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, _simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server on a new database, and the one command that puts the samples in."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('agent') / 'sora.sqlite3'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create_database()
    with Server(url, _simulator.url, env=ENV) as server:
        assert ", 0 not read" in server.flask("sora", "ingest", "docs/samples")
        yield server


def final(body: str) -> dict[str, Any]:
    """The data of the one `final`, with which a stream ends."""
    messages = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]
    assert [one["type"] for one in messages] == ["progress"] * 6 + ["final"]
    data: dict[str, Any] = messages[-1]["data"]
    return data


def asked(site: Server, question: str) -> dict[str, Any]:
    answer = User(site.url).request("/api/chat/stream", payload={"message": question, "user_id": "user123"})
    assert answer.status == 200, answer.text
    return final(answer.text)


def test_the_stock_question_by_the_guides_own_line(site: Server, simulator: Simulator) -> None:
    line = (
        f"curl -sS -N -X POST '{site.url}/api/chat/stream' -H 'Content-Type: application/json' "
        f"""-d '{{"message": "{questions.STOCK}", "user_id": "user123"}}'"""
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=True)
    data = final(done.stdout)
    [row] = data["table_data"]["rows"]
    assert (row["품번"], row["수량"], data["table_data"]["value"]) == ("ABC-12345", 128, 128)
    assert data["chart_data"]["labels"] == ["ABC-12345"]
    assert data["chart_data"]["datasets"] == [{"label": "수량", "data": [128]}]
    assert data["confidence_score"] == 0.95 and data["sources"][0]["title"] == "재고"
    [request] = simulator.requests()
    assert "수량: 128" in request["messages"][-1]["content"] and data["content"]


def test_twenty_questions_over_the_tables_get_the_plans_numbers(site: Server) -> None:
    """The model says a dozen made-up words: what is right can only come from the plan."""
    for question, title, value in questions.NUMBERS:
        table = asked(site, question)["table_data"]
        assert (table["title"], table["value"]) == (title, value), question
    for question, title, cells in questions.ROWS:
        table = asked(site, question)["table_data"]
        assert table["title"] == title, question
        assert [row[table["columns"][0]] for row in table["rows"]] == cells, question
    of_two = [title for _, title, _ in (*questions.NUMBERS, *questions.ROWS) if title in ("재고", "매출")]
    assert len(of_two) > 20


def test_what_is_not_in_the_tables_gets_no_number(site: Server) -> None:
    for question in filter(None, questions.NONE):
        data = asked(site, question)
        assert data["table_data"] is data["chart_data"] is None, question
        assert data["confidence_score"] <= 0.9


@pytest.fixture
def brief(simulator: Simulator, database_url: str) -> Iterator[Server]:
    """A server whose tickets must be used within a second."""
    env = ENV | {"SORA_MODEL": "sim-n200-d20", "SORA_TICKET_TTL": str(TICKET_TTL)}
    with Server(database_url, simulator.url, env=env) as server:
        yield server


def ticket(server: Server) -> tuple[str, float]:
    """The path of a new ticket, and when it expires."""
    answer = User(server.url).request("/api/chat/stream/init", payload={"message": "안녕하세요?"})
    return f"/api/chat/stream/{answer.json()['id']}", time.monotonic() + TICKET_TTL


def until_expired(expires: float) -> None:
    let_pass(expires + 0.1 - time.monotonic())


def test_a_ticket_made_up_or_first_used_too_late_is_none(brief: Server, simulator: Simulator) -> None:
    user = User(brief.url)
    path, expires = ticket(brief)
    assert user.request(f"{path[:-1]}{'a' if path[-1] != 'a' else 'b'}").status == 404
    assert user.request("/api/chat/stream/made-up").status == 404
    until_expired(expires)
    for _ in range(2):
        assert user.request(path).status == 404
    [run] = user.runs()
    assert user.ended(run["id"])["status"] == "completed" and len(simulator.requests()) == 1


def test_a_reconnect_after_the_expiry_goes_on(brief: Server, simulator: Simulator) -> None:
    path, expires = ticket(brief)
    with Stream(brief.url, path) as stream:
        stream.take(3)
        run, last = stream.headers["X-Sora-Run-Id"], stream.last_event_id
        stream.reset()
    until_expired(expires)
    with Stream(brief.url, path, last_event_id=last) as again, Stream(brief.url, path) as anew:
        assert (again.headers["X-Sora-Run-Id"], anew.headers["X-Sora-Run-Id"]) == (run, run)
        data = [[frame.json() for frame in one.rest() if frame.data] for one in (again, anew)]
    assert [one["type"] for one in data[1]] == ["progress"] * 6 + ["final"]
    assert data[0] == data[1][3:], "after what it had, no more and no less"
    user = User(brief.url)
    assert data[1][-1]["data"]["content"] == user.run(run)["text"]
    assert len(user.runs()) == 1 and len(simulator.requests()) == 1


def test_a_graph_of_ones_own_with_a_model_of_its_own(database_url: str, simulator: Simulator) -> None:
    """Its model is asked by its own client, behind Sora's back; its tokens are the run's all the same."""
    env = ENV | {
        "SORA_AGENT_GRAPH": "tests.engine.graphs:spoken",
        "OPENAI_BASE_URL": simulator.url,
        "OPENAI_API_KEY": "any",
    }
    with Server(database_url, simulator.url, env=env) as server:
        user = User(server.url)
        with user.open("/api/chat/stream?format=native", payload={"message": "안녕하세요?"}) as stream:
            frames = stream.rest()
        run = user.run(stream.headers["X-Sora-Run-Id"])
    text = "".join(frame.json()["text"] for frame in frames if frame.event == "delta")
    [result] = [frame.json() for frame in frames if frame.event == "result"]
    told = [(frame.json()["stage"], frame.json()["status"]) for frame in frames if frame.event == "progress"]
    assert ("asking", "in_progress") in told and ("node", "completed") in told
    assert [frame.event for frame in frames].count("delta") > 5 and frames[-1].event == "done"
    assert text == result["content"] == run["text"] and result["confidence_score"] == 0.5
    assert [one["model"] for one in simulator.requests()] == ["sim-n30-d5"]
