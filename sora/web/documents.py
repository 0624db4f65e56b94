"""The knowledge base: documents put in, listed, read, deleted, and searched (WIRE.md F)."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, url_for

from sora.aside import aside, let_go
from sora.errors import Forbidden, InvalidRequest, NotFound, message
from sora.knowledge.documents import Document, Documents, Draft, Piece
from sora.knowledge.extract import Extracted, file_name, limits_of
from sora.knowledge.extraction import check, extract_all
from sora.knowledge.ingest import digest_of, draft_of
from sora.knowledge.search import LONGEST_QUESTION, Found
from sora.web.fields import own_id, query
from sora.web.form import Upload, form
from sora.web.paging import first, page
from sora.web.service import locale, principal, service

views = Blueprint("documents", __name__)

# What was uploaded is told from what came from elsewhere; a file of the same name takes its place.
_UPLOADED = "upload:"


@views.get("/api/documents")
def list_documents() -> Response:
    owner, fields = principal().id, query()
    limit = fields.integer("limit", low=1, high=100, default=20)
    after = fields.identifier("before")
    fields.check()
    found, last = first(_documents().page(owner, after=after, limit=limit + 1), limit)
    return jsonify(page([shape(document) for document in found], last and last.id))


@views.post("/api/documents")
def put_documents() -> tuple[Response, int]:
    """Put the form's files into one's own documents; a file that is there already, by its name, is replaced. One that is there
    as it is costs nothing; 200 where all of them are."""
    who, config = principal(), service().config
    if "*" not in config.upload_roles and who.role not in config.upload_roles:
        raise Forbidden
    fields, uploads = form(files="files")
    if not uploads:
        fields.problem("files", "field_required")
    fields.check()
    limits = limits_of(config)
    check(uploads, limits=limits)
    sources = [_UPLOADED + file_name(name) for name, _ in uploads]
    if len(set(sources)) != len(sources):
        raise InvalidRequest(details=[{"field": "files", "message": message("field_twice", locale())}])
    digests = aside(_digests, uploads)
    there = _documents().of(who.id, sources)
    same = {
        source for source, digest in digests.items() if source in there and there[source].digest == digest
    }
    changed = [upload for source, upload in zip(sources, uploads, strict=True) if source not in same]
    if changed:
        drafts = aside(_drafts, extract_all(changed, limits=limits), digests)
        there |= {document.source: document for document in _documents().put(who.id, drafts)}
        aside(_let_go, drafts)
    answer: dict[str, object] = {"items": [shape(there[source]) for source in sources]}
    vectors = service().knowledge.vectors
    if vectors is not None:
        # Here too, where nothing has changed: what lacks a vector gets it with the next upload.
        answer["passagesWithoutVector"] = vectors.fill(who.id, seconds=config.file_timeout).lacking
    return jsonify(answer), 201 if changed else 200


@views.get("/api/documents/<document_id>")
def show_document(document_id: str) -> Response:
    """A document with a page of its passages."""
    owner, fields = principal().id, query()
    limit = fields.integer("limit", low=1, high=100, default=50)
    after = fields.integer("after", low=0, high=999_999_999, default=-1)
    fields.check()
    document = _found(owner, document_id)
    pieces, last = first(_documents().pieces(document, after=after, limit=limit + 1), limit)
    return jsonify(
        shape(document)
        | {
            "sheets": [
                {
                    "name": sheet.name,
                    "rows": sheet.rows,
                    "columns": [column._asdict() for column in sheet.columns],
                }
                for sheet in document.sheets
            ],
            "pieces": [_piece(piece) for piece in pieces],
            "hasNext": last is not None,
            "nextCursor": last and last.position,
        }
    )


@views.delete("/api/documents/<document_id>")
def delete_document(document_id: str) -> Response:
    """Delete one of one's own documents. The shared ones are the operator's."""
    owner = principal().id
    if _found(owner, document_id).shared:
        raise Forbidden
    if not _documents().delete(owner, document_id):
        raise NotFound
    return Response(status=204)


@views.get("/api/search")
def search() -> Response:
    owner, fields = principal().id, query()
    words = fields.text("q", longest=LONGEST_QUESTION)
    limit = fields.integer("limit", low=1, high=50, default=5)
    fields.check()
    found = service().knowledge.search(owner, words, limit=limit)
    return jsonify(items=[_hit(passage) for passage in found])


def shape(document: Document) -> dict[str, object]:
    """A document as the API tells of it, without what it says. Where it lies on the operator's disk stays untold."""
    return {
        "id": document.id,
        "title": document.title,
        "name": document.name,
        "kind": document.kind,
        "mediaType": document.media_type,
        "scope": "shared" if document.shared else "own",
        "passages": document.passages,
        "characters": document.characters,
        "createdAt": document.created_at.isoformat(),
        "updatedAt": document.updated_at.isoformat(),
        "url": url_for("sora.documents.show_document", document_id=document.id),
    }


def _piece(piece: Piece) -> dict[str, object]:
    return {"position": piece.position, "text": piece.text} | ({"cells": piece.cells} if piece.cells else {})


def _hit(found: Found) -> dict[str, object]:
    return {
        "passageId": found.passage_id,
        "documentId": found.document_id,
        "title": found.title,
        "url": found.url,
        "text": found.text,
        "score": found.score,
    }


def _found(owner: str, document_id: str) -> Document:
    document = _documents().find(owner, own_id(document_id))
    if document is None:
        raise NotFound
    return document


def _digests(uploads: list[Upload]) -> dict[str, str]:
    """By source."""
    return {_UPLOADED + file_name(name): digest_of(content) for name, content in uploads}


def _drafts(extracted: list[Extracted], digests: dict[str, str]) -> list[Draft]:
    drafts = []
    for file in extracted:
        source = _UPLOADED + file.name
        drafts.append(draft_of(file, source=source, digest=digests[source]))
        let_go(*(table.rows for table in file.tables))
    return drafts


def _let_go(drafts: list[Draft]) -> None:
    for draft in drafts:
        let_go(draft.texts, draft.rows)


def _documents() -> Documents:
    return Documents(service().engine.database)
