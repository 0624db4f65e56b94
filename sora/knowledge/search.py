"""What the knowledge base says about a question: its passages, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.knowledge import index
from sora.knowledge.aside import aside
from sora.knowledge.documents import SHARED
from sora.knowledge.terms import terms
from sora.store.database import Database
from sora.store.models import DocumentRow, PassageRow, ShelfRow

#: Characters of a question that are searched for.
LONGEST_QUESTION = 4000


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that was found. `url` is what a reference to it shows: where the document came from, if that is on the web,
    else where Sora shows it. A higher `score` fits better; scores of two questions do not compare."""

    passage_id: str
    document_id: str
    title: str
    url: str
    text: str
    score: float


class Knowledge:
    """Finds passages in the owner's documents and the shared ones, never in another owner's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(self, owner: str, query: str, *, limit: int = 5) -> list[Found]:
        """The `limit` passages that fit the words of the query best, the best first; none where no word is found.

        BM25 over `sora.knowledge.terms`, the same on SQLite and PostgreSQL, and up to date with what any process has put in.
        Blocks for the database, and works aside. Raises StoreError.
        """
        words = aside(terms, query[:LONGEST_QUESTION])
        with self._database.read() as session:
            if session.get_bind().dialect.name == "postgresql":
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            owned = sa.select(ShelfRow.id).where(ShelfRow.owner.in_({owner, SHARED})).order_by(ShelfRow.owner)
            hits = index.search(session, session.scalars(owned).all(), words, limit=limit)
            return _quoted(session, hits)


def ranked(texts: Sequence[str], query: str, *, limit: int) -> list[int]:
    """Which of some texts fit the query best, the best first: their places. A work of milliseconds for each hundred texts: call
    it aside for many."""
    found = [terms(text) for text in texts]
    return index.ranked(found, terms(query[:LONGEST_QUESTION]), limit=limit)


def _quoted(session: Session, hits: Sequence[index.Hit]) -> list[Found]:
    query = sa.select(PassageRow, DocumentRow).join(DocumentRow, DocumentRow.id == PassageRow.document_id)
    by_place: dict[tuple[int, int], Any] = {}
    for shelf in {hit.shelf for hit in hits}:  # of pairs in one list SQLite makes no use of the index
        numbers = PassageRow.number.in_([hit.number for hit in hits if hit.shelf == shelf])
        rows = session.execute(query.where(PassageRow.shelf == shelf, numbers))
        by_place |= {(shelf, row.PassageRow.number): tuple(row) for row in rows}
    found: list[Found] = []
    for hit in hits:
        passage, document = by_place[hit.shelf, hit.number]
        web = document.source.startswith(("https://", "http://"))
        url = document.source if web else f"/api/documents/{document.id}"
        passage_id = f"{document.id}:{passage.position}"
        found.append(Found(passage_id, document.id, document.title, url, passage.text, round(hit.score, 6)))
    return found
