"""One run of the built-in graph, drawn like a generator: its nodes run one after the other where they are drawn, without
LangGraph's threads and queues, and say their words directly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sora.engine.generation import CallCancelled, Finished, Piece
from sora.events import Progress, Result, Source
from sora.pipelines.graph import Graph
from sora.pipelines.means import Means

_SPEAKS = "response_generation"


class BuiltIn:
    """What the graph tells beside its words, as items for a Feed; the words themselves go to `put` as they come. Until it asks
    its model it has a place in `way`: many at once would only stand in the way of the streams of others."""

    def __init__(
        self,
        graph: Graph,
        state: Mapping[str, Any],
        means: Means,
        *,
        put: Callable[[Sequence[Piece]], None],
        way: threading.BoundedSemaphore,
    ) -> None:
        self._graph = graph
        self._state = state
        self._means = means
        self._put = put
        self._way = way
        self._open: Progress | None = None
        self._finished: Finished | None = None
        self._left = self._under_way = False

    def leave(self) -> None:
        """Nobody wants it any more: what a node says next ends it. Idempotent, never blocks."""
        self._left = True

    def say(self, pieces: Sequence[Piece]) -> None:
        """A node says something. Blocks while the run is behind; raises CallCancelled after `leave`."""
        if self._left:
            raise CallCancelled
        for piece in pieces:
            if isinstance(piece, Progress) and piece.status == "in_progress":
                self._open = piece
                if piece.stage == _SPEAKS:
                    self._arrive()
            elif isinstance(piece, Finished):
                self._finished = piece
        self._put([piece for piece in pieces if not isinstance(piece, Finished)])

    def __iter__(self) -> Iterator[object]:
        response: dict[str, Any] = {}
        config = {"configurable": {"sora": self._means, "say": self.say}}
        self._way.acquire()
        self._under_way = True
        try:
            # This mode alone: any that is told of by a queue has each node on a thread of its own.
            for updates in self._graph.stream(self._state, config, stream_mode="updates"):
                for update in updates.values():
                    response = update.get("response", response)
                    for step in update["progress"]:
                        self._open = None
                        yield Progress(step["stage"], step["stage"], step["status"], step["message"])
        except GeneratorExit:
            raise
        except BaseException:
            if (step := self._open) is not None:
                yield Progress(step.node, step.stage, "failed", step.message)
            raise
        finally:
            self._arrive()
        if self._finished is not None:
            yield self._finished
        for source in response["sources"]:
            yield Source(source["url"], source["title"])
        yield Result(response)

    def _arrive(self) -> None:
        if self._under_way:
            self._under_way = False
            self._way.release()
