"""What the nodes of the built-in agent work with, apart from LangGraph, which takes a second to load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sora.engine.generation import Message, Piece
from sora.knowledge.search import Found
from sora.pipelines.history import Said


@dataclass(frozen=True, slots=True)
class Computed:
    """What a plan made of a table: in words for the model, as a table, as a chart, and where the rows are. `table` is None when
    that has too many rows to be computed."""

    text: str
    table: dict[str, Any] | None
    chart: dict[str, Any] | None
    source: dict[str, str]


@dataclass(frozen=True, slots=True)
class Means:
    """What the nodes of one run work with. `query` is what is searched for; `generate` has the model's call made."""

    locale: str
    query: str
    turns: Sequence[Said]
    budget: int
    found: Callable[[str], Sequence[Found]]
    computed: Callable[[str], Computed | None]
    generate: Callable[[tuple[Message, ...]], Iterator[Sequence[Piece]]]
