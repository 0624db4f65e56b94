"""Vectors of the passages, where there is a model of embeddings: made once the passages are in the database, kept beside them;
and the passages whose vectors are near to a question's.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora import metrics
from sora.aside import aside
from sora.errors import RunError
from sora.knowledge import index
from sora.knowledge.documents import held
from sora.knowledge.drift import Embeds
from sora.knowledge.resident import Resident
from sora.store.database import Database
from sora.store.models import DocumentRow, PassageRow, ShelfRow, VectorRow

logger = logging.getLogger(__name__)

#: Texts of one request.
BATCH = 64
#: Seconds that a search waits for the vector of its question, at most, and that later ones do without when it did not come.
PATIENCE, REST = 1.5, 10.0

_TIMEOUT = 60.0  # seconds of a request for passages
_LONGEST = 6000  # characters of a passage that count: models refuse what is too long
_VECTORS = cast("sa.Table", VectorRow.__table__)


class Model(Embeds, Protocol):
    """A model of embeddings, with its name."""

    @property
    def model(self) -> str: ...


class Filled(NamedTuple):
    """So many vectors were made, so many passages are without one; `error`: the code of what stopped it."""

    made: int
    lacking: int
    error: str = ""


class Near(NamedTuple):
    """A passage that is near to a question, and the cosine of the two."""

    shelf: int
    number: int
    similarity: float


class Vectors:
    """The vectors of one model. One of another model counts as none, and is replaced."""

    def __init__(self, database: Database, embeddings: Model) -> None:
        self._database = database
        self._embeddings = embeddings
        self._model = embeddings.model[:255]
        self._resident = Resident(self._model)
        self._rests_until = 0.0

    def fill(
        self, owner: str, *, seconds: float = math.inf, told: Callable[[int], object] = lambda made: None
    ) -> Filled:
        """Make the vectors that the owner's passages lack, BATCH with a request, for about so many `seconds`. `told` gets how
        many each request has made.

        Each batch is kept as it comes: what is left, when the model fails or the time is over, is made by the next call. Blocks
        for the model API and the database, cooperatively. Raises StoreError.
        """
        ends = time.monotonic() + seconds
        made, after, error = 0, -1, ""
        while (left := ends - time.monotonic()) > 0:
            batch = self._without(owner, after=after)
            if not batch:
                return Filled(made, 0)
            texts = [f"{row.title}\n{row.text}"[:_LONGEST] for row in batch]
            try:
                vectors = self._embeddings.embed(texts, timeout=min(_TIMEOUT, left))
            except RunError as failure:
                error = failure.code
                metrics.embedding_failures.labels("ingest").inc()
                logger.warning("no embeddings for passages: %s", error)
                break
            numbers = [row.number for row in batch]
            self._keep(owner, dict(zip(numbers, aside(_packed, vectors), strict=True)))
            made, after = made + len(batch), numbers[-1]
            told(len(batch))
        return Filled(made, self.lacking(owner), error)

    def lacking(self, owner: str) -> int:
        """How many of the owner's passages are without a vector."""
        query = self._lack(owner, PassageRow.number).order_by(None).subquery()
        with self._database.read() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(query)) or 0

    def of(self, question: str) -> Any:
        """The question's vector; None where there is none in time. Blocks for PATIENCE seconds at most, cooperatively."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            [vector] = self._embeddings.embed([question], timeout=PATIENCE)
        except RunError as error:
            self._rests_until = time.monotonic() + REST
            metrics.embedding_failures.labels("search").inc()
            logger.warning("a search goes without embeddings: %s", error.code)
            return None
        return aside(_unit, vector)

    def nearest(
        self,
        session: Session,
        shelves: Mapping[int, int],
        asked: Any,
        hits: Sequence[index.Hit],
        *,
        limit: int,
        least: float,
    ) -> list[Near]:
        """The `limit` passages nearest to the vector that `of` gave, the nearest first, whose cosine is `least` or more.

        `shelves`: their changes, by id, as the session reads them. Of a shelf that is not in memory, or not yet (see
        `sora.knowledge.resident`), only those among `hits` are looked at. Works aside.
        """
        found: list[tuple[float, int, int]] = []
        for shelf, changes in shelves.items():
            if not changes:
                continue
            blocks, whole = self._resident.blocks(session, shelf, changes, len(asked))
            if not whole:
                among = [hit.number for hit in hits if hit.shelf == shelf]
                blocks = self._resident.read(session, shelf, among, len(asked))
            near = aside(_near, blocks, asked, limit, least)
            found += [(-similarity, shelf, number) for similarity, number in near]
        return [Near(shelf, number, -similarity) for similarity, shelf, number in sorted(found)[:limit]]

    def _without(self, owner: str, *, after: int) -> Sequence[Any]:
        query = self._lack(owner, PassageRow.number, PassageRow.text, DocumentRow.title)
        with self._database.read() as session:
            return index.rows_of(session, query.where(PassageRow.number > after).limit(BATCH))

    def _lack(self, owner: str, *columns: Any) -> sa.Select[Any]:
        theirs = sa.and_(
            VectorRow.shelf == PassageRow.shelf,
            VectorRow.number == PassageRow.number,
            VectorRow.model == self._model,
        )
        query = sa.select(*columns).select_from(PassageRow).join(ShelfRow, ShelfRow.id == PassageRow.shelf)
        query = query.join(DocumentRow, DocumentRow.id == PassageRow.document_id).outerjoin(VectorRow, theirs)
        query = query.where(ShelfRow.owner == owner, VectorRow.number.is_(None))
        return query.order_by(PassageRow.number)

    def _keep(self, owner: str, vectors: Mapping[int, bytes]) -> None:
        with self._database.write() as session:
            shelf = held(session, owner)
            those = sa.and_(PassageRow.shelf == shelf.id, PassageRow.number.in_(vectors))
            there = session.scalars(sa.select(PassageRow.number).where(those)).all()
            session.execute(
                sa.delete(_VECTORS).where(_VECTORS.c.shelf == shelf.id, _VECTORS.c.number.in_(there))
            )
            index.insert_rows(
                session,
                _VECTORS,
                [
                    {"shelf": shelf.id, "number": number, "model": self._model, "data": vectors[number]}
                    for number in there
                ],
            )
            shelf.vectors += 1


def _packed(vectors: Sequence[Sequence[float]]) -> list[bytes]:
    from sora.knowledge.proximity import packed

    return packed(vectors)


def _unit(vector: Sequence[float]) -> Any:
    from sora.knowledge.proximity import unit

    return unit([vector])[0]


def _near(blocks: Sequence[Any], asked: Any, limit: int, least: float) -> list[tuple[float, int]]:
    from sora.knowledge.proximity import near

    return near(blocks, asked, limit=limit, least=least)
