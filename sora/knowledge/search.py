"""What the knowledge base says about a question: its passages, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.aside import aside
from sora.knowledge import index
from sora.knowledge.documents import SHARED
from sora.knowledge.terms import terms
from sora.knowledge.vectors import Near, Vectors
from sora.store.database import Database
from sora.store.models import DocumentRow, PassageRow, ShelfRow

Place = tuple[int, int]  # a shelf and a number on it

#: Where Sora shows its documents, in an application of its own.
PAGES = "/api/documents"
#: Characters of a question that are searched for.
LONGEST_QUESTION = 4000


#: Of each ranking so many passages are put together, and how little it matters there which is first.
DEEP, _K = 200, 60


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that was found. `url` is what a reference to it shows: where the document came from, if that is on the web,
    else where Sora shows it. A higher `score` fits better; scores of two questions do not compare. `words` is how well it fits
    the question's words, 0.0 for not at all, `near` whether its meaning is near, as far as embeddings tell."""

    passage_id: str
    document_id: str
    title: str
    url: str
    text: str
    score: float
    words: float
    near: bool = False


class Knowledge:
    """Finds passages in the owner's documents and the shared ones, never in another owner's. `pages` is the path below which
    Sora shows a document; None: nowhere, and what comes from no page of the web is a fragment with its id. With `vectors` the
    meaning counts as well as the words, from a cosine of `similarity` on."""

    def __init__(
        self,
        database: Database,
        *,
        pages: str | None = PAGES,
        vectors: Vectors | None = None,
        similarity: float = 0.3,
    ) -> None:
        self._database = database
        self._pages = pages
        self.vectors = vectors
        self._similarity = similarity

    def search(self, owner: str, query: str, *, limit: int = 5) -> list[Found]:
        """The `limit` passages that fit the query best, the best first; none where no word is found, and nothing is near.

        BM25 over `sora.knowledge.terms`, the same on SQLite and PostgreSQL, and up to date with what any process has put in.
        With vectors it and the cosine rank by turns (reciprocal rank fusion); when the question's does not come in time, the
        words decide alone. Blocks for the database, and the model of embeddings, and works aside. Raises StoreError.
        """
        query = query[:LONGEST_QUESTION]
        words = aside(terms, query)
        owned = sa.select(ShelfRow.id, ShelfRow.vectors).where(ShelfRow.owner.in_({owner, SHARED}))
        owned = owned.order_by(ShelfRow.owner)
        asked = None
        if self.vectors is not None and query.strip():
            with self._database.read() as session:
                any_there = any(row.vectors for row in session.execute(owned))
            asked = self.vectors.of(query) if any_there else None  # no connection waits for it
        with self._database.read() as session:
            if session.get_bind().dialect.name == "postgresql":
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            shelves = {row.id: row.vectors for row in session.execute(owned)}
            deep = limit if asked is None else max(limit, DEEP)
            hits = index.search(session, list(shelves), words, limit=deep)
            near: list[Near] = []
            if asked is not None and self.vectors is not None:
                near = self.vectors.nearest(session, shelves, asked, hits, limit=deep, least=self._similarity)
            return _quoted(session, hits, near, "#" if self._pages is None else f"{self._pages}/", limit)


def ranked(texts: Sequence[str], query: str, *, limit: int) -> list[int]:
    """Which of some texts fit the query best, the best first: their places. A work of milliseconds for each hundred texts: call
    it aside for many."""
    found = [terms(text) for text in texts]
    return index.ranked(found, terms(query[:LONGEST_QUESTION]), limit=limit)


def fused(rankings: Sequence[Sequence[Place]]) -> dict[Place, float]:
    """What stands in any of some rankings with its score, the best first: the sum of 1 / (60 + its rank), over the rankings."""
    scores: dict[Place, float] = {}
    for ranking in rankings:
        for rank, place in enumerate(ranking, 1):
            scores[place] = scores.get(place, 0.0) + 1 / (_K + rank)
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


def _quoted(
    session: Session, hits: Sequence[index.Hit], near: Sequence[Near], pages: str, limit: int
) -> list[Found]:
    words = {(hit.shelf, hit.number): hit.score for hit in hits}
    meant = [(one.shelf, one.number) for one in near]
    scores = fused([list(words), meant]) if near else words
    best = list(scores)[:limit]
    query = sa.select(PassageRow, DocumentRow).join(DocumentRow, DocumentRow.id == PassageRow.document_id)
    by_place: dict[Place, Any] = {}
    for shelf in {shelf for shelf, _ in best}:  # of pairs in one list SQLite makes no use of the index
        numbers = PassageRow.number.in_([number for of, number in best if of == shelf])
        rows = session.execute(query.where(PassageRow.shelf == shelf, numbers))
        by_place |= {(shelf, row.PassageRow.number): tuple(row) for row in rows}
    found: list[Found] = []
    for place in best:
        if place not in by_place:  # vectors in memory may be of another moment than what the session reads
            continue
        passage, document = by_place[place]
        web = document.source.startswith(("https://", "http://"))
        url = document.source if web else f"{pages}{document.id}"
        found.append(
            Found(
                f"{document.id}:{passage.position}", document.id, document.title, url, passage.text,
                round(scores[place], 6), round(words.get(place, 0.0), 6), place in meant,
            )
        )  # fmt: skip
    return found
