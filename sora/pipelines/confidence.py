"""How far an answer of the agent can be relied on, told from what was retrieved for it."""

from __future__ import annotations

from collections.abc import Sequence

from sora.pipelines.retrieval import named

_NOTHING = 0.1  # nothing was found: the model has only itself
_LEAST, _MOST = 0.2, 0.9  # of what passages can give
_COMPUTED = 0.95  # the rows themselves answered


def confidence(question: str, passages: Sequence[str], *, computed: bool) -> float:
    """0 to 1: 0.95 where rows of a table answered; else 0.2 to 0.9 by how much of what the question names stands in the passages;
    0.1 without any. It follows what was retrieved, not what the model made of it (docs/agent.md)."""
    if computed:
        return _COMPUTED
    if not passages:
        return _NOTHING
    return round(_LEAST + (_MOST - _LEAST) * named(question, passages), 2)
