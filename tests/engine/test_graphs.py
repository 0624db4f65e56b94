"""Graphs that are not ours, unchanged, as runs: their progress, their tokens, their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sora.config import Config
from sora.engine.engine import Engine, Order
from sora.errors import ConfigError
from sora.knowledge.search import Knowledge
from sora.pipelines.agent import AgentPipeline, AgentRequest
from sora.pipelines.graph import loaded
from sora.store.conversations import ConversationStore
from sora.store.database import Database
from sora.store.runs import Run
from tests.engine import graphs
from tests.engine.workers import KEYRING, OWNER, SETTINGS, Client, Workers, _provider, ended, read


@pytest.fixture(autouse=True)
def _free() -> Iterator[None]:
    graphs.GO_ON.clear()
    yield
    graphs.GO_ON.set()


def start(workers: Workers, graph: Any, *, seconds: float = 20.0) -> tuple[Engine, Run]:
    """A run of a graph."""
    config = Config(**SETTINGS | {"agent_timeout": seconds, "database_url": workers.url})
    database = Database(config.database, pool=config.database_pool, timeout=config.database_timeout)
    pipeline = AgentPipeline(
        config,
        database=database,
        conversations=ConversationStore(KEYRING),
        knowledge=Knowledge(database),
        provider=_provider("", False),
    )
    pipeline._graph = graph
    engine = workers(pipeline, database=lambda *_, **__: database)
    request = AgentRequest(message="How many ABC-12345 are there?").encode()
    return engine, engine.begin(Order(OWNER, "agent", request, "ko"))[0]


def told(client: Client) -> list[tuple[str, str]]:
    return [(one.json()["stage"], one.json()["status"]) for one in client.frames if one.event == "progress"]


def result(client: Client) -> dict[str, Any]:
    [frame] = [one for one in client.frames if one.event == "result"]
    data: dict[str, Any] = frame.json()
    return data


def test_a_react_agent_with_a_tool(workers: Workers) -> None:
    engine, run = start(workers, graphs.react())
    client = read(engine, run)
    words = [one.json()["message"] for one in client.frames if one.event == "progress"]
    assert "looking for ABC-12345" in words and {"agent", "tools"} <= set(words)
    assert client.events.count("delta") > 3 and client.text == "There are 128 of them."
    assert result(client)["content"] == client.text and client.events[-1] == "done"


def test_parallel_branches(workers: Workers) -> None:
    engine, run = start(workers, graphs.branches())
    client = read(engine, run)
    stages = told(client)
    for name in ("left", "right"):
        assert stages.index((name, "in_progress")) < stages.index((name, "completed"))
        assert stages.count((name, "completed")) == 1
    assert client.text == "Both are here." and client.events.count("delta") > 1
    assert result(client)["content"] == client.text and result(client)["confidence_score"] == 0.7


def test_subgraphs(workers: Workers) -> None:
    engine, run = start(workers, graphs.nested())
    client = read(engine, run)
    assert ("inner", "in_progress") in told(client)
    assert client.text == "From the inside." == result(client)["content"]


def test_a_node_that_raises_is_the_runs_error_alone(workers: Workers) -> None:
    engine, run = start(workers, graphs.raising())
    client = read(engine, run)
    assert client.terminals[0].json()["code"] == "internal" and "SECRET" not in str(client.frames)
    assert told(client)[-1] == ("work", "failed")


def test_a_node_that_floods_is_stopped(workers: Workers) -> None:
    engine, run = start(workers, graphs.flooding())
    client = read(engine, run)
    assert client.terminals[0].json()["code"] == "internal"
    assert len(client.frames) < 20


def test_a_node_that_hangs_is_given_up_in_time(workers: Workers) -> None:
    engine, run = start(workers, graphs.hanging(), seconds=0.5)
    assert read(engine, run).terminals[0].json()["code"] == "upstream_timeout"


def test_a_cancel_does_not_wait_for_a_node(workers: Workers) -> None:
    engine, run = start(workers, graphs.hanging())
    client = Client(engine, run).until(2)
    engine.cancel(run.id, owner=OWNER)
    assert client.end().events[-1] == "cancelled" and ended(engine, run).status == "cancelled"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tests.engine.graphs:asynchronous", "async"),
        ("tests.engine.graphs:uncompiled", "not compiled"),
        ("tests.engine.graphs:nothing", "cannot be imported"),
        ("tests.engine.nowhere:graph", "cannot be imported"),
        ("tests.engine.graphs", "package.module:graph"),
        ("tests.engine.graphs:State", "no LangGraph graph"),
    ],
)
def test_what_cannot_be_run_is_refused_at_the_start(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        loaded(name)


def test_a_graph_is_found_by_its_name() -> None:
    graph: Any = loaded("tests.engine.graphs:graph")
    assert isinstance(graph.stream, Callable)
