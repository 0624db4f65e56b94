"""An answer that the rows of a table give: found among the owner's tables, computed by a plan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from sora.knowledge.aside import aside
from sora.knowledge.documents import Documents
from sora.knowledge.plan import Answer, carried_out, planned, relevance
from sora.knowledge.sheets import Column, Row
from sora.pipelines.means import Computed

_TABLES = 50  # that are looked at
_ROWS = 20_000  # of a table; one with more is left out
_ALL_ROWS = 100_000  # of all of them
_TOLD = 20  # rows that the model is shown


def computed(documents: Documents, owner: str, question: str) -> Computed | None:
    """What a table that the owner may read says to a question about its rows; None where none does. Tables beyond 20,000 rows are
    left out. Blocks for the database, and works aside. Raises StoreError."""
    best: tuple[float, Answer, tuple[Column, ...], dict[str, str]] | None = None
    left = _ALL_ROWS
    for document in documents.tables(owner)[:_TABLES]:
        for number, sheet in enumerate(document.sheets):
            if sheet.rows > min(_ROWS, left):
                continue
            left -= sheet.rows
            rows = list(islice(documents.rows(document, number), sheet.rows))
            fits, answer = aside(_answered, question, sheet.columns, rows)
            if answer is not None and answer.rows and (best is None or fits > best[0]):
                web = document.source.startswith(("https://", "http://"))
                url = document.source if web else f"/api/documents/{document.id}"
                best = fits, answer, sheet.columns, {"url": url, "title": document.title}
    if best is None:
        return None
    _, answer, columns, source = best
    table = {
        "title": source["title"],
        "columns": list(answer.columns),
        "rows": list(answer.rows),
        "value": answer.value,
    }
    return Computed(_told(answer, source["title"]), table, _chart(answer, columns), source)


def _answered(question: str, columns: Sequence[Column], rows: Sequence[Row]) -> tuple[float, Answer | None]:
    plan = planned(question, columns, rows)
    if plan is None:
        return 0.0, None
    return relevance(question, columns, plan), carried_out(plan, columns, rows)


def _told(answer: Answer, title: str) -> str:
    lines = [
        ", ".join(f"{name}: {cell}" for name, cell in row.items() if cell is not None)
        for row in answer.rows[:_TOLD]
    ]
    if len(answer.rows) > _TOLD:
        lines.append("…")
    return "\n".join((title, "", *lines))


def _chart(answer: Answer, columns: Sequence[Column]) -> dict[str, Any] | None:
    """The rows as bars, or a line over dates: the measure, else every number."""
    plan = answer.plan
    if plan.group:
        label, measures = plan.group, [answer.columns[-1]]
    elif plan.aggregate is not None:
        label, measures = "", list(answer.columns)
    else:
        label = next((column.name for column in columns if column.type != "number"), answer.columns[0])
        numbers = [column.name for column in columns if column.type == "number"]
        measures = [plan.measure] if plan.measure in numbers else numbers
    if not measures:
        return None
    dated = any(column.name == label and column.type == "date" for column in columns)
    return {
        "type": "line" if dated else "bar",
        "labels": [str(row.get(label)) if label else measures[0] for row in answer.rows],
        "datasets": [{"label": name, "data": [row.get(name) for row in answer.rows]} for name in measures],
    }
