"""An answer that the rows of a table give: found among the owner's tables, computed by a plan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from sora.aside import aside
from sora.knowledge.documents import Document, Documents
from sora.knowledge.plan import Answer, carried_out
from sora.knowledge.planner import planned, relevance
from sora.knowledge.sheets import Column, Row
from sora.pipelines.means import Computed

_TABLES = 50  # that are looked at
_ROWS = 20_000  # of a table that is computed
_SAMPLE = 1_000  # rows of a larger one, to see whether it is the one that is asked about
_ALL_ROWS = 100_000  # of all of them
_TOLD = 20  # rows that the model is shown


def computed(documents: Documents, owner: str, question: str) -> Computed | None:
    """What a table that the owner may read says to a question about its rows; None where none does. A table beyond 20,000 rows is
    not computed: where it is the one that is asked about, its name is all there is. Blocks for the database, and works aside.
    Raises StoreError."""
    best: _Candidate | None = None
    left = _ALL_ROWS
    for document in documents.tables(owner)[:_TABLES]:
        for number, sheet in enumerate(document.sheets):
            whole = sheet.rows <= min(_ROWS, left)
            read = sheet.rows if whole else min(_SAMPLE, left)
            left -= read
            rows = list(islice(documents.rows(document, number), read))
            found = aside(_answered, question, document.title, sheet.columns, rows)
            if found is None or (best is not None and found[0] <= best.fits):
                continue
            best = _Candidate(found[0], found[1] if whole else None, document, sheet.columns)
    if best is None:
        return None
    document, answer = best.document, best.answer
    web = document.source.startswith(("https://", "http://"))
    url = document.source if web else f"/api/documents/{document.id}"
    source = {"url": url, "title": document.title}
    if answer is None:
        return Computed("", None, None, source)
    table = {
        "title": document.title,
        "columns": list(answer.columns),
        "rows": list(answer.rows),
        "value": answer.value,
    }
    return Computed(_told(answer, document.title), table, _chart(answer, best.columns), source)


class _Candidate(NamedTuple):
    """A table that fits a question so well; its answer, unless it is too large for one."""

    fits: float
    answer: Answer | None
    document: Document
    columns: tuple[Column, ...]


def _answered(
    question: str, title: str, columns: Sequence[Column], rows: Sequence[Row]
) -> tuple[float, Answer] | None:
    plan = planned(question, title, columns, rows)
    if plan is None:
        return None
    answer = carried_out(plan, columns, rows)
    return (relevance(question, title, columns, plan), answer) if answer.rows else None


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
