"""The knowledge base: documents put in, listed, read, deleted, and searched (WIRE.md F)."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, url_for

from sora.errors import Forbidden, InvalidRequest, NotFound, message
from sora.knowledge.aside import aside
from sora.knowledge.documents import Document, Documents, Draft, Piece
from sora.knowledge.extract import Extracted, limits_of
from sora.knowledge.extraction import extract_all
from sora.knowledge.ingest import digest_of, draft_of
from sora.knowledge.search import LONGEST_QUESTION, Found, Knowledge
from sora.web.fields import own_id, query
from sora.web.form import Upload, form
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
    found = _documents().page(owner, after=after, limit=limit + 1)
    more = len(found) > limit
    items = [shape(document) for document in found[:limit]]
    return jsonify(items=items, hasNext=more, nextCursor=items[-1]["id"] if more else None)


@views.post("/api/documents")
def put_documents() -> tuple[Response, int]:
    """Put the form's files into one's own documents; a file that is there already, by its name, is replaced."""
    who, config = principal(), service().config
    if "*" not in config.upload_roles and who.role not in config.upload_roles:
        raise Forbidden
    fields, uploads = form(files="files")
    if not uploads:
        fields.problem("files", "field_required")
    fields.check()
    extracted = extract_all(uploads, limits=limits_of(config))
    names = [file.name for file in extracted]
    if len(set(names)) != len(names):
        raise InvalidRequest(details=[{"field": "files", "message": message("field_twice", locale())}])
    drafts = aside(_drafts, extracted, uploads)
    put = _documents().put(who.id, drafts)
    return jsonify(items=[shape(document) for document in put]), 201


@views.get("/api/documents/<document_id>")
def show_document(document_id: str) -> Response:
    """A document with a page of its passages."""
    owner, fields = principal().id, query()
    limit = fields.integer("limit", low=1, high=100, default=50)
    after = fields.integer("after", low=0, high=999_999_999, default=-1)
    fields.check()
    document = _found(owner, document_id)
    pieces = _documents().pieces(document, after=after, limit=limit + 1)
    more = len(pieces) > limit
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
            "pieces": [_piece(piece) for piece in pieces[:limit]],
            "hasNext": more,
            "nextCursor": pieces[limit - 1].position if more else None,
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
    found = Knowledge(service().engine.database).search(owner, words, limit=limit)
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


def _drafts(extracted: list[Extracted], uploads: list[Upload]) -> list[Draft]:
    return [
        draft_of(file, source=_UPLOADED + file.name, digest=digest_of(content))
        for file, (_, content) in zip(extracted, uploads, strict=True)
    ]


def _documents() -> Documents:
    return Documents(service().engine.database)
