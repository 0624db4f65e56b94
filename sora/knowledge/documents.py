"""The documents of the knowledge base: put in, replaced, listed, read, deleted, each together with its place in the index.

They are reference material, kept in the clear, for what is searched has to be readable. Each owner has a shelf of documents;
those on the shelf of SHARED are everybody's to read. Nobody sees another owner's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.aside import aside, let_go
from sora.knowledge import index
from sora.knowledge.sheets import Row, Sheet, decoded, encoded
from sora.knowledge.terms import terms
from sora.store.database import Database
from sora.store.models import DocumentRow, PassageRow, ShelfRow
from sora.store.moment import in_utc
from sora.store.runs import insert, new_id, now

#: The owner of what everybody may read.
SHARED = ""
#: Characters of what names a document's source, at most.
LONGEST_SOURCE = 800

_PASSAGES = cast("sa.Table", PassageRow.__table__)
_ROWS = 1000  # of a table, read in one statement


@dataclass(frozen=True, slots=True)
class Draft:
    """A document to be put in. `source` tells it from the owner's others, `digest` this content of it from another. `texts`
    are its passages; where there are sheets, one to each row of `rows`, which are those of all the sheets in turn."""

    source: str
    name: str
    title: str
    media_type: str
    digest: str
    texts: Sequence[str]
    sheets: tuple[Sheet, ...] = ()
    rows: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A document of the knowledge base. `kind` is text or table; a table has sheets. `shared`: everybody may read it. `digest`
    is that of the content it was made from."""

    id: str
    shared: bool
    source: str
    name: str
    title: str
    kind: str
    media_type: str
    digest: str
    sheets: tuple[Sheet, ...]
    passages: int
    characters: int
    created_at: dt.datetime
    updated_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage of a document, by its position; `cells` is the row of a table that it came from."""

    position: int
    text: str
    cells: Row | None


class Documents:
    """Every method is a short transaction or a few; it blocks for the database, and never holds up other greenlets for long.
    Raises StoreError. `span` is index.SMALL in a worker with streams, index.LARGE in a process that does nothing else."""

    def __init__(self, database: Database, *, span: int = index.SMALL) -> None:
        self._database = database
        self._span = span

    def put(self, owner: str, drafts: Sequence[Draft]) -> list[Document]:
        """Put documents in, or new content of those that are there (by their source), which keep their ids. All in one
        transaction: until then the old content is found, from then on the new one."""
        parts = aside(_indexed, drafts, self._span)
        with self._database.write() as session:
            shelf = held(session, owner)
            number = first = shelf.next_number
            documents: list[DocumentRow] = []
            for draft in drafts:
                documents.append(_replaced(session, shelf.id, draft, first=number))
                number += len(draft.texts)
            session.flush()
            rows = aside(_passages, shelf.id, documents, drafts)
            index.insert_rows(session, _PASSAGES, rows)
            aside(let_go, rows)
            for part in parts:
                index.add(session, shelf.id, first, part)
                first += part.span
            shelf.next_number = number
            put = [_document(row, owner) for row in documents]
        self._tidy(owner)
        return put

    def digests(self, owner: str) -> dict[str, str]:
        """The digest of each of the owner's own documents, by source."""
        query = (
            sa.select(DocumentRow.source, DocumentRow.digest).join(ShelfRow).where(ShelfRow.owner == owner)
        )
        with self._database.read() as session:
            return {row.source: row.digest for row in session.execute(query)}

    def of(self, owner: str, sources: Collection[str]) -> dict[str, Document]:
        """Those of the owner's own documents that come from some sources, by source."""
        query = _readable(owner, shared=False).where(DocumentRow.source.in_(sources))
        with self._database.read() as session:
            found = [_document(*row) for row in session.execute(query)]
        return {document.source: document for document in found}

    def page(
        self, owner: str, *, after: str | None = None, limit: int = 20, shared: bool = True
    ) -> list[Document]:
        """The owner's documents, and the shared ones, the latest first; those that follow the one whose id is `after`."""
        order = (DocumentRow.updated_at, DocumentRow.id)
        query = _readable(owner, shared=shared).order_by(*[column.desc() for column in order]).limit(limit)
        with self._database.read() as session:
            if after is not None:
                place = sa.select(*order).where(DocumentRow.id == after).scalar_subquery()
                query = query.where(sa.tuple_(*order) < place)
            return [_document(*found) for found in session.execute(query)]

    def find(self, owner: str, document_id: str) -> Document | None:
        """One of the owner's documents, or of the shared ones."""
        query = _readable(owner).where(DocumentRow.id == document_id)
        with self._database.read() as session:
            found = session.execute(query).first()
        return _document(*found) if found is not None else None

    def pieces(self, document: Document, *, after: int = -1, limit: int = 100) -> list[Piece]:
        """The passages of a document that `find` gave, in order, from the one after a position on."""
        query = sa.select(PassageRow).where(
            PassageRow.document_id == document.id, PassageRow.position > after
        )
        with self._database.read() as session:
            rows = session.scalars(query.order_by(PassageRow.position).limit(limit)).all()
        return [Piece(row.position, row.text, _cells(row.cells)) for row in rows]

    def tables(self, owner: str) -> list[Document]:
        """The documents with sheets that the owner may read, by name."""
        query = _readable(owner).where(DocumentRow.kind == "table").order_by(DocumentRow.name, DocumentRow.id)
        with self._database.read() as session:
            return [_document(*found) for found in session.execute(query)]

    def rows(self, document: Document, sheet: int = 0) -> Iterator[Row]:
        """The rows of a sheet of a document that `find` or `tables` gave, in order; their keys are its columns' names."""
        start = sum(before.rows for before in document.sheets[:sheet])
        end = start + document.sheets[sheet].rows
        for first in range(start, end, _ROWS):
            for piece in self.pieces(document, after=first - 1, limit=min(_ROWS, end - first)):
                if piece.cells is not None:
                    yield piece.cells

    def delete(self, owner: str, document_id: str) -> bool:
        """Delete one of the owner's own documents. False: there is none of that id."""
        with self._database.write() as session:
            shelf = held(session, owner)
            query = sa.select(DocumentRow).where(DocumentRow.shelf == shelf.id, DocumentRow.id == document_id)
            row = session.scalars(query).first()
            if row is None:
                return False
            _emptied(session, row)
            session.delete(row)
        self._tidy(owner)
        return True

    def _tidy(self, owner: str) -> None:
        more = True
        while more:
            with self._database.write() as session:
                more = index.tidy(session, held(session, owner).id, span=self._span)


def _indexed(drafts: Sequence[Draft], span: int) -> list[index.Part]:
    # The title is found in every passage, whatever the passage itself says.
    found = [[*terms(draft.title), *terms(text)] for draft in drafts for text in draft.texts]
    return list(index.parts(found, span=span))


def _passages(
    shelf: int, documents: Sequence[DocumentRow], drafts: Sequence[Draft]
) -> list[dict[str, object]]:
    return [
        {
            "shelf": shelf, "number": row.first + position, "document_id": row.id, "position": position, "text": text,
            "cells": msgspec.json.encode(draft.rows[position]).decode() if draft.rows else None,
        }
        for row, draft in zip(documents, drafts, strict=True)
        for position, text in enumerate(draft.texts)
    ]  # fmt: skip


def held(session: Session, owner: str) -> ShelfRow:
    """The owner's shelf, held until the transaction ends, so that those who write to it take turns."""
    query = sa.select(ShelfRow).where(ShelfRow.owner == owner).with_for_update()
    row = session.scalars(query).first()
    if row is None:
        insert(session, ShelfRow, {"owner": owner, "next_number": 0}, unless=("owner",))
        row = session.scalars(query).one()
    return row


def _replaced(session: Session, shelf: int, draft: Draft, *, first: int) -> DocumentRow:
    """The row of a document: a new one, or the old one, rid of its passages."""
    query = sa.select(DocumentRow).where(DocumentRow.shelf == shelf, DocumentRow.source == draft.source)
    row = session.scalars(query).first()
    moment = now()
    if row is None:
        row = DocumentRow(id=new_id(), shelf=shelf, source=draft.source, created_at=moment)
        session.add(row)
    else:
        _emptied(session, row)
    row.name, row.title, row.media_type = draft.name[:255], draft.title[:255], draft.media_type
    row.kind, row.digest, row.updated_at = "table" if draft.sheets else "text", draft.digest, moment
    row.sheets = encoded(draft.sheets)
    row.first, row.passages, row.characters = first, len(draft.texts), sum(map(len, draft.texts))
    return row


def _emptied(session: Session, row: DocumentRow) -> None:
    index.execute(session, sa.delete(PassageRow).where(PassageRow.document_id == row.id))
    # With them went their vectors.
    session.execute(
        sa.update(ShelfRow)
        .where(ShelfRow.id == row.shelf, ShelfRow.vectors > 0)
        .values(vectors=ShelfRow.vectors + 1)
    )
    if row.passages:
        index.remove(session, row.shelf, row.first, row.first + row.passages - 1)


def _readable(owner: str, *, shared: bool = True) -> sa.Select[Any, Any]:
    owners = {owner, SHARED} if shared else {owner}
    query = sa.select(DocumentRow, ShelfRow.owner).join(ShelfRow, ShelfRow.id == DocumentRow.shelf)
    return query.where(ShelfRow.owner.in_(owners))


def _document(row: DocumentRow, owner: str) -> Document:
    return Document(
        row.id, owner == SHARED, row.source, row.name, row.title, row.kind, row.media_type, row.digest,
        decoded(row.sheets), row.passages, row.characters, in_utc(row.created_at), in_utc(row.updated_at),
    )  # fmt: skip


def _cells(encoded: str | None) -> Row | None:
    return None if encoded is None else msgspec.json.decode(encoded)
