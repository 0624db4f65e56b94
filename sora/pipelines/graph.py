"""Any compiled LangGraph graph, drawn like a generator: its progress, its tokens, and its last state as the run's result."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec

from sora.engine.generation import CallCancelled
from sora.errors import ConfigError, Internal
from sora.events import Delta, Event, Progress, Result, Source

_AHEAD = 256  # events that a graph may be ahead of its run; then its nodes wait
_EVENTS = 10_000  # that a run may write; what writes more floods
_TOKENS = 100_000  # that its models may say
_STEPS = 50  # of a graph, as LangGraph counts them
_WORDS = 500  # characters of a progress's message
_MODES = ["updates", "messages", "custom", "values"]
_STATUSES = ("in_progress", "completed", "failed")


class Graph(Protocol):
    """What is needed of a compiled graph."""

    def stream(self, input: Any, config: Any = None, **how: Any) -> Iterator[Any]: ...


def loaded(name: str) -> Graph:
    """The graph that SORA_AGENT_GRAPH names, `package.module:graph`. Raises ConfigError for what is none, is not compiled, or has
    nodes that are async alone: runs are threads (greenlets), which cannot await."""
    module, separator, attribute = name.partition(":")
    if not separator:
        raise ConfigError(f"SORA_AGENT_GRAPH must be package.module:graph, it is {name!r}")
    try:
        graph = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"SORA_AGENT_GRAPH: {name!r} cannot be imported: {error}") from None
    if hasattr(graph, "compile") and not hasattr(graph, "stream"):
        raise ConfigError(f"SORA_AGENT_GRAPH: {name!r} is not compiled; call its compile()")
    if not hasattr(graph, "stream") or not hasattr(graph, "nodes"):
        raise ConfigError(f"SORA_AGENT_GRAPH: {name!r} is a {type(graph).__name__}, no LangGraph graph")
    if asynchronous := sorted(_asynchronous(graph)):
        raise ConfigError(
            f"SORA_AGENT_GRAPH: {name!r} has async nodes without a sync form: {', '.join(asynchronous)}; "
            "Sora runs graphs by their sync stream()"
        )
    return graph  # type: ignore[no-any-return]


class Flow:
    """One run of a graph, as items for a Feed. The graph's nodes run on threads of LangGraph's own: each event they write and
    each token they report goes through here, so that none of them runs ahead of its run, or on after it."""

    def __init__(self, graph: Graph, state: Mapping[str, Any]) -> None:
        self._graph = graph
        self._state = state
        self._changed = threading.Condition()
        self._waiting = self._events = self._tokens = 0
        self._left = False
        self._told: set[tuple[str, str, str]] = set()
        self._open: dict[str, Progress] = {}

    def leave(self) -> None:
        """Nobody wants it any more: what a node says next ends it. Idempotent, never blocks."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def wrote(self) -> None:
        """A node writes an event. Blocks while the run is behind; raises Internal for a flood, CallCancelled after `leave`."""
        with self._changed:
            self._events += 1
            self._waiting += 1
            if self._events > _EVENTS:
                raise Internal("the graph writes too many events")
            while self._waiting > _AHEAD and not self._left:
                self._changed.wait()
            self._check()
        if self._events % 64 == 0:
            time.sleep(0)

    def heard(self) -> None:
        """A model in a node has said a token. Raises as `wrote` does."""
        self._tokens += 1
        if self._tokens > _TOKENS:
            raise Internal("the graph says too much")
        self._check()
        if self._tokens % 64 == 0:
            time.sleep(0)

    def __iter__(self) -> Iterator[object]:
        gate = importlib.import_module("sora.pipelines.gate")
        config = gate.config_of(self) | {"recursion_limit": _STEPS}
        items = self._graph.stream(self._state, config, stream_mode=_MODES, subgraphs=True)
        last: Any = {}
        text: list[str] = []
        try:
            for namespace, mode, payload in items:
                if mode == "values":
                    last = payload if not namespace else last
                    continue
                for item in self._items(mode, payload):
                    if isinstance(item, Delta):
                        text.append(item.text)
                    yield item
        except GeneratorExit:
            raise
        except BaseException:
            yield from [Progress(p.node, p.stage, "failed", p.message) for p in self._open.values()]
            raise
        finally:
            self.leave()
            close = getattr(items, "close", None)
            if close is not None:
                close()
        data = result_of(last, "".join(text))
        if not text and data["content"]:
            yield data["content"]
        yield from _sources(data["sources"])
        yield Result(data)

    def _items(self, mode: str, payload: Any) -> Iterator[object]:
        if mode == "custom":
            with self._changed:
                self._waiting -= 1
                self._changed.notify_all()
            yield from self._custom(payload)
        elif mode == "messages":
            yield from _message(payload[0])
        elif mode == "updates" and isinstance(payload, Mapping):
            for node, update in payload.items():
                yield from self._update(str(node), update)

    def _custom(self, payload: Any) -> Iterator[object]:
        """What a node has written: an event of ours, a chunk of a model, or words of progress."""
        if isinstance(payload, Event) or (
            hasattr(payload, "content") and hasattr(payload, "response_metadata")
        ):
            if isinstance(payload, Progress):
                yield from self._progress(payload)
            else:
                yield payload
        elif isinstance(payload, Mapping) and (
            "stage" in payload or "status" in payload or "message" in payload
        ):
            yield from self._progress(_progress(payload, node=str(payload.get("stage") or "graph")))
        else:
            words = payload if isinstance(payload, str) else str(_plain(payload))
            yield from self._progress(Progress("graph", "graph", "in_progress", words[:_WORDS]))

    def _update(self, node: str, update: Any) -> Iterator[object]:
        """A node has ended: it says so itself, in the guide's `progress`, or it is said for it."""
        steps = _of(update, "progress")
        told = [_progress(step, node=node) for step in steps or () if isinstance(step, Mapping)]
        if not told and not node.startswith("__"):
            told = [Progress(node, node, "completed", node)]
        for progress in told:
            yield from self._progress(progress)

    def _progress(self, progress: Progress) -> Iterator[Progress]:
        """Each is told once: nodes hand on the list of what was told before."""
        key = (progress.stage, progress.status, progress.message)
        if key in self._told:
            return
        self._told.add(key)
        if progress.status == "in_progress":
            self._open[progress.stage] = progress
        else:
            self._open.pop(progress.stage, None)
        yield progress

    def _check(self) -> None:
        if self._left:
            raise CallCancelled


def result_of(state: Any, text: str) -> dict[str, Any]:
    """The `final` of WIRE.md E from a graph's last state: its `response`, else its last message, else the text that was said."""
    response = _of(state, "response")
    content = response if isinstance(response, str) else _of(response, "content")
    if content is None:
        messages = _of(state, "messages") or ()
        said = [one for one in messages if getattr(one, "type", "") in ("ai", "AIMessageChunk")]
        content = (
            "".join(delta.text for delta in _message(said[-1]) if isinstance(delta, Delta)) if said else ""
        )
    score = _of(response, "confidence_score")
    return {
        "content": str(content) if content else text,
        "sources": _plain(_of(response, "sources") or []),
        "confidence_score": score if isinstance(score, int | float) else None,
        "table_data": _plain(_of(response, "table_data")),
        "chart_data": _plain(_of(response, "chart_data")),
    }


def _sources(sources: Any) -> Iterator[Source]:
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, Mapping) and isinstance(url := source.get("url"), str) and url:
            yield Source(url, str(source.get("title") or url))


def _message(message: Any) -> Iterator[object]:
    """The text of a model's message or of a piece of one; tools and people are not the answer."""
    if getattr(message, "type", "") not in ("ai", "AIMessageChunk"):
        return
    content = message.content
    blocks = [content] if isinstance(content, str) else content
    for block in blocks:
        text = block if isinstance(block, str) else block.get("text") if block.get("type") == "text" else None
        if text:
            yield Delta(0, str.__str__(text))
    if getattr(message, "usage_metadata", None) or getattr(message, "response_metadata", None):
        yield message.model_copy(update={"content": ""})


def _progress(step: Mapping[str, Any], *, node: str) -> Progress:
    stage = str(step.get("stage") or node)
    status = str(step.get("status") or "in_progress")
    words = str(step.get("message") or stage)[:_WORDS]
    return Progress(
        str(step.get("node") or node), stage, status if status in _STATUSES else "in_progress", words
    )


def _of(value: Any, name: str) -> Any:
    """A field of a dictionary, or of an object."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _plain(value: Any) -> Any:
    """What JSON can hold of a value; the rest as its words."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_shown))


def _shown(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump() if dump is not None else str(value)


def _asynchronous(graph: Any, prefix: str = "") -> Iterator[str]:
    for name, node in graph.nodes.items():
        bound = getattr(node, "bound", node)
        if hasattr(bound, "nodes"):
            yield from _asynchronous(bound, f"{prefix}{name}.")
        for step in (bound, *getattr(bound, "steps", ())):
            if getattr(step, "afunc", None) is not None and getattr(step, "func", step) is None:
                yield f"{prefix}{name}"
