"""Where a LangGraph run is watched: imported by the first run of a graph, since LangGraph takes a second to load."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langgraph.runtime import Runtime

if TYPE_CHECKING:
    from sora.pipelines.graph import Flow

# LangGraph's name for the runtime of a parent graph. A run is started as if it had one: its runtime is merged into ours, and its
# nodes, those of subgraphs too, get the writer that we put there.
_RUNTIME = "__pregel_runtime"


def config_of(flow: Flow) -> dict[str, Any]:
    """The configuration with which a graph's nodes write and speak through the flow."""
    return {"callbacks": [_Listener(flow)], "configurable": {_RUNTIME: _Gate(flow=flow)}}


class _Listener(BaseCallbackHandler):
    raise_error = True  # else LangChain would swallow what ends the node
    run_inline = True

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self._flow.heard()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gate(Runtime[Any]):  # type: ignore[misc]  # it is frozen, too
    flow: Any = None

    def merge(self, other: Runtime[Any]) -> Runtime[Any]:
        write = other.stream_writer

        def gated(item: Any) -> None:
            self.flow.wrote()
            write(item)

        return replace(other, stream_writer=gated)
