"""The built-in agent: a LangGraph graph of three nodes, in the guide's shape (WIRE.md E)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from sora.engine.generation import Message, Piece
from sora.errors import message
from sora.events import Progress
from sora.pipelines.confidence import confidence
from sora.pipelines.fence import fenced
from sora.pipelines.history import fitted
from sora.pipelines.means import Computed, Means
from sora.pipelines.prompts import built_in

_HEADINGS = {
    "ko": ("[참고 정보]", "[표에서 계산한 결과]", "[질문]"),
    "en": ("[Reference information]", "[Computed from tables]", "[Question]"),
}


class State(TypedDict, total=False):
    """The guide's state."""

    query: str
    user_id: str
    conversation_id: str
    custom_prompt: str
    llm_config: dict[str, Any]
    messages: list[dict[str, str]]
    retrieved_documents: list[dict[str, Any]]
    response: dict[str, Any]
    progress: Annotated[list[dict[str, str]], operator.add]
    search: str
    computed: Computed | None


def built_in_graph() -> Any:
    """The compiled graph. Its runs have their Means in `configurable["sora"]`, and in `configurable["say"]` what
    takes their words (see built_in.py)."""
    graph = StateGraph(State)
    graph.add_node("query_analysis", _query_analysis)
    graph.add_node("data_retrieval", _data_retrieval)
    graph.add_node("response_generation", _response_generation)
    graph.add_edge(START, "query_analysis")
    graph.add_edge("query_analysis", "data_retrieval")
    graph.add_edge("data_retrieval", "response_generation")
    graph.add_edge("response_generation", END)
    return graph.compile()


def _query_analysis(state: State, config: RunnableConfig) -> dict[str, Any]:
    means = _begun("query_analysis", config)
    return {"search": means.query, "progress": _ended("query_analysis", means)}


def _data_retrieval(state: State, config: RunnableConfig) -> dict[str, Any]:
    means = _begun("data_retrieval", config)
    documents = [
        {"title": one.title, "url": one.url, "text": one.text, "score": one.score}
        for one in means.found(state["search"])
    ]
    return {
        "retrieved_documents": documents,
        "computed": means.computed(state["query"]),
        "progress": _ended("data_retrieval", means),
    }


def _response_generation(state: State, config: RunnableConfig) -> dict[str, Any]:
    means = _begun("response_generation", config)
    say: Callable[[Sequence[Piece]], None] = config["configurable"]["say"]
    documents, computed = state["retrieved_documents"], state["computed"]
    texts: list[str] = []
    if (said := _uncomputed(state, means)) is not None:
        texts.append(f"{said}\n\n")
        say(texts)
    for batch in means.generate(_messages(state, means)):
        texts += [piece for piece in batch if isinstance(piece, str)]
        say(batch)
    sources = {one["url"]: one["title"] for one in documents}
    if computed is not None:
        sources = {computed.source["url"]: computed.source["title"]} | sources
    response = {
        "content": "".join(texts),
        "sources": [{"url": url, "title": title} for url, title in sources.items()],
        "confidence_score": confidence(
            state["search"],
            [f"{one['title']}\n{one['text']}" for one in documents],
            computed=computed is not None and computed.table is not None,
        ),
        "table_data": computed.table if computed else None,
        "chart_data": computed.chart if computed else None,
    }
    return {"response": response, "progress": _ended("response_generation", means)}


def _messages(state: State, means: Means) -> tuple[Message, ...]:
    of_reference, of_tables, of_question = _HEADINGS[means.locale]
    documents, computed = state["retrieved_documents"], state["computed"]
    parts: list[str] = []
    if documents:
        parts += [
            of_reference,
            *(fenced("reference", f"{one['title']}\n\n{one['text']}") for one in documents),
        ]
    if computed is not None:
        parts += [of_tables, fenced("table", _uncomputed(state, means) or computed.text)]
    question, system = state["query"], state["custom_prompt"] or built_in("ask", means.locale)
    if parts:
        question = "\n\n".join((*parts, f"{of_question}\n{question}"))
        system = f"{system}\n\n{built_in('material', means.locale)}"
    return fitted(means.turns, system=system, question=Message("user", question), budget=means.budget)


def _uncomputed(state: State, means: Means) -> str | None:
    """What is said of a table that is asked about and is too large."""
    computed = state["computed"]
    if computed is None or computed.table is not None:
        return None
    return message("table_too_large", means.locale, title=computed.source["title"])


def _begun(stage: str, config: RunnableConfig) -> Means:
    means: Means = config["configurable"]["sora"]
    config["configurable"]["say"]([Progress(stage, stage, "in_progress", message(stage, means.locale))])
    return means


def _ended(stage: str, means: Means) -> list[dict[str, str]]:
    return [{"stage": stage, "status": "completed", "message": message(f"{stage}_done", means.locale)}]
