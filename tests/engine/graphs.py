"""LangGraph graphs as other people write them; the models in them are those of the simulator."""

from __future__ import annotations

import json
import operator
import re
import threading
import warnings
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolCall
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import create_react_agent


class State(TypedDict, total=False):
    query: str
    progress: Annotated[list[dict[str, str]], operator.add]
    parts: Annotated[list[str], operator.add]
    response: Any


class Scripted(GenericFakeChatModel):
    """Says its messages one after the other, word by word; a message with tool calls is one chunk."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
        said = next(self.messages)
        if isinstance(said, AIMessage):
            calls = [
                {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": index}
                for index, call in enumerate(said.tool_calls)
            ]
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=calls))
            return
        for word in re.findall(r"\S+\s*", said):
            yield ChatGenerationChunk(message=AIMessageChunk(word))


def model(*messages: AIMessage | str) -> Scripted:
    return Scripted(messages=iter(messages))


@tool
def stock(part: str) -> str:
    """How many of a part there are."""
    get_stream_writer()(f"looking for {part}")
    return "128"


def react() -> Any:
    """LangGraph's own agent: a model that calls a tool and then answers."""
    calls = [ToolCall(name="stock", args={"part": "ABC-12345"}, id="call-1")]
    llm = model(AIMessage("", tool_calls=calls), "There are 128 of them.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has moved to another package, and works as it did
        return create_react_agent(llm, [stock])


def branches() -> Any:
    """Two branches at once, put together by a third node."""

    def branch(name: str) -> Any:
        def node(state: State) -> State:
            get_stream_writer()({"stage": name, "status": "in_progress", "message": f"{name} begins"})
            return {
                "parts": [name],
                "progress": [{"stage": name, "status": "completed", "message": f"{name} ends"}],
            }

        return node

    def join(state: State) -> State:
        llm = model("Both are here.")
        said = llm.invoke(state["query"])
        return {"response": {"content": said.content, "sources": [], "confidence_score": 0.7}}

    graph = StateGraph(State)
    graph.add_node("left", branch("left"))
    graph.add_node("right", branch("right"))
    graph.add_node("join", join)
    for name in ("left", "right"):
        graph.add_edge(START, name)
        graph.add_edge(name, "join")
    graph.add_edge("join", END)
    return graph.compile()


def nested() -> Any:
    """A graph with a graph as its node, of which a node writes and speaks."""

    def inner(state: State) -> State:
        get_stream_writer()({"stage": "inner", "status": "in_progress", "message": "inside"})
        said = model("From the inside.").invoke(state["query"])
        return {"response": {"content": said.content}}

    sub = StateGraph(State)
    sub.add_node("inner", inner)
    sub.add_edge(START, "inner")
    graph = StateGraph(State)
    graph.add_node("outer", sub.compile())
    graph.add_edge(START, "outer")
    return graph.compile()


def one(node: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph.compile()


def raising() -> Any:
    def node(state: State) -> State:
        get_stream_writer()({"stage": "work", "status": "in_progress", "message": "working"})
        raise ValueError("SECRET")

    return one(node)


def flooding() -> Any:
    def node(state: State) -> State:
        write = get_stream_writer()
        while True:
            write("x" * 1000)

    return one(node)


GO_ON = threading.Event()  #: set at a test's end, for the threads that hang


def hanging() -> Any:
    def node(state: State) -> State:
        get_stream_writer()("waiting")
        GO_ON.wait(20)
        return {"response": {"content": "late"}}

    return one(node)


async def _later(state: State) -> State:
    return {}


asynchronous = one(_later)
uncompiled = StateGraph(State)
graph = branches()


def speaking() -> Any:
    """A graph whose model is that of OPENAI_BASE_URL, as an application has it."""

    def node(state: State) -> State:
        get_stream_writer()({"stage": "asking", "status": "in_progress", "message": "asking the model"})
        llm = ChatOpenAI(model="sim-n30-d5", streaming=True)
        return {"response": {"content": llm.invoke(state["query"]).content, "confidence_score": 0.5}}

    return one(node)


spoken = speaking()
