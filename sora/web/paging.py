"""Pages of a list: what one answers, and where the next one begins (WIRE.md F)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def first(found: Sequence[T], limit: int) -> tuple[Sequence[T], T | None]:
    """The `limit` first of what was looked for with one more; and the last of them when there is more, after which the next
    page begins."""
    return found[:limit], found[limit - 1] if len(found) > limit else None


def page(items: Sequence[object], following: object | None) -> dict[str, object]:
    """A page as the API tells of it; `following` is the cursor that the next one is asked for with, None: there is none."""
    more = following is not None
    return {"items": items, "hasNext": more, "nextCursor": str(following) if more else None}
