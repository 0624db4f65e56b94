"""The agent: a LangGraph graph answers a message, in stages that can be watched (WIRE.md E)."""

from __future__ import annotations

import gc
import importlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from sora.aside import aside
from sora.config import Config
from sora.engine.generation import Call, Drawn, Generate, Message, Piece, Provider
from sora.engine.pipeline import Ended, Steps
from sora.knowledge.documents import Documents
from sora.knowledge.search import Knowledge
from sora.pipelines.built_in import BuiltIn
from sora.pipelines.chat import save_answer
from sora.pipelines.computation import computed
from sora.pipelines.graph import Flow, Graph, loaded
from sora.pipelines.means import Means
from sora.pipelines.own import Feed
from sora.pipelines.request import Request
from sora.pipelines.retrieval import fitting, query_of
from sora.store.attachments import Attachment
from sora.store.conversations import ConversationStore, Turn
from sora.store.database import Database
from sora.store.runs import Run

_AT_ONCE = 4  # built-in graphs on their way to their model


class AgentRequest(Request, frozen=True, kw_only=True):
    """A message to the agent. `conversation` is what its owner calls the conversation, empty for a new one; `user` a label that
    nothing rests on. What is None or empty has its default."""

    message: str
    user: str = ""
    conversation: str = ""
    custom_prompt: str = ""
    model: str = ""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None


class AgentPipeline:
    """Runs the graph of SORA_AGENT_GRAPH, or the built-in one, and saves question and answer in the conversation.

    The graph has SORA_AGENT_TIMEOUT seconds for all it does. Raises ConfigError for a graph that cannot be run.
    """

    kind = "agent"
    on_disconnect = "cancel"

    def __init__(
        self,
        config: Config,
        *,
        database: Database,
        conversations: ConversationStore,
        knowledge: Knowledge,
        provider: Provider,
    ) -> None:
        self._config = config
        self._database = database
        self._conversations = conversations
        self._knowledge = knowledge
        self._documents = Documents(database)
        self._provider = provider
        self._graph: Graph | None = loaded(config.agent_graph) if config.agent_graph else None
        self._built_in: Graph | None = None
        self._way = threading.BoundedSemaphore(_AT_ONCE)

    def begin(self, session: Session, run: Run, request: bytes, files: Sequence[Attachment]) -> None:
        """Claims the conversation. Raises ConversationBusy."""
        agent = AgentRequest.decode(request)
        conversation = self._conversations.enter(session, run, agent.conversation)
        self._conversations.say(session, conversation, "user", agent.message, run_id=run.id)

    def steps(self, run: Run, request: bytes) -> Steps:
        agent = AgentRequest.decode(request)
        with self._database.read() as session:
            turns = self._conversations.context(session, run.id)
        model = _Model(self._provider, self._config, seconds=self._config.agent_timeout)
        state, means = self._state(agent, run, turns), self._means(agent, run, turns, model)
        flow: Flow | BuiltIn
        if self._graph is None:
            # LangGraph takes a second to load: the first run does it.
            self._built_in = self._built_in or aside(_built_in)
            flow = BuiltIn(self._built_in, state, means, put=lambda pieces: feed.put(pieces), way=self._way)
        else:
            flow = Flow(self._graph, state)
        feed = Feed(flow, within=nullcontext(), step=_call)
        try:
            yield Drawn(feed.stream, self._config.agent_timeout)
        finally:
            flow.leave()
            model.cancel()
            feed.leave()

    def save(self, session: Session, ended: Ended) -> None:
        save_answer(session, ended, self._conversations)

    def _state(self, agent: AgentRequest, run: Run, turns: Sequence[Turn]) -> dict[str, Any]:
        settings = {name: getattr(agent, name) for name in ("model", "temperature", "top_p", "max_tokens")}
        said = [{"role": turn.role, "content": turn.content} for turn in turns if turn.content]
        return {
            "query": agent.message,
            "user_id": agent.user or run.owner,
            "conversation_id": agent.conversation or run.id,
            "custom_prompt": agent.custom_prompt,
            "llm_config": {name: value for name, value in settings.items() if value not in (None, "")},
            "messages": [*said, {"role": "user", "content": agent.message}],
            "retrieved_documents": [],
            "progress": [],
        }

    def _means(self, agent: AgentRequest, run: Run, turns: Sequence[Turn], model: _Model) -> Means:
        config = self._config
        settings = Generate(
            messages=(),
            models=(agent.model or config.model, *config.fallback_models),
            max_tokens=agent.max_tokens or config.agent_max_tokens,
            temperature=config.temperature if agent.temperature is None else agent.temperature,
            top_p=config.top_p if agent.top_p is None else agent.top_p,
            locale=run.locale,
        )
        return Means(
            locale=run.locale,
            query=query_of(agent.message, turns),
            turns=turns,
            budget=config.context_tokens,
            found=partial(fitting, self._knowledge, run.owner),
            computed=partial(computed, self._documents, run.owner),
            generate=partial(model.generate, settings),
        )


class _Model:
    """The model calls of one run, made on whatever thread a node has, and ended from any other."""

    def __init__(self, provider: Provider, config: Config, *, seconds: float) -> None:
        self._provider = provider
        self._config = config
        self._ends = time.monotonic() + seconds
        self._call: Call | None = None
        self._cancelled = False

    def generate(self, settings: Generate, messages: tuple[Message, ...]) -> Iterator[Sequence[Piece]]:
        config = self._config
        self._call = Call(
            connect=config.connect_timeout,
            first_token=config.first_token_timeout,
            gap=config.gap_timeout,
            total=self._ends - time.monotonic(),
        )
        if self._cancelled:
            self._call.cancel()
        return self._provider.stream(msgspec.structs.replace(settings, messages=messages), self._call)

    def cancel(self) -> None:
        self._cancelled = True
        if self._call is not None:
            self._call.cancel()


def _built_in() -> Graph:
    # By name: whoever checks the types of an application with Sora in it need not check LangGraph's.
    graph: Graph = importlib.import_module("sora.pipelines.agent_graph").built_in_graph()
    # It stays for good: the collector would look at LangGraph's tens of thousands of objects in the midst of other streams.
    gc.freeze()
    return graph


def _call(function: Any, *arguments: Any) -> Any:
    return function(*arguments)
