"""Conversations: listed, made, read, renamed, deleted (WIRE.md F). The `id` of one is its owner's client's name for it."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, url_for

from sora.errors import NotFound
from sora.store.conversations import Conversation, Place, Turn
from sora.store.runs import new_id
from sora.web.fields import Fields, body, own_name, query
from sora.web.paging import page
from sora.web.service import principal, service

views = Blueprint("conversations", __name__)
_LONGEST_TITLE = 255


@views.get("/api/conversations")
def list_conversations() -> Response:
    owner, fields = principal().id, query()
    limit = fields.integer("limit", low=1, high=100, default=20)
    after = _place(fields)
    fields.check()
    with service().engine.database.read() as session:
        found, following = service().conversations.page(session, owner, after, limit=limit)
    return jsonify(page([shape(conversation) for conversation in found], following))


@views.post("/api/conversations")
def make_conversation() -> tuple[Response, int, dict[str, str]]:
    """A conversation of this name, or a new one. One that is there already is answered as it is."""
    owner, fields = principal().id, body()
    name = fields.name("id") or new_id()
    title = fields.text("title", longest=_LONGEST_TITLE, blank=True, default="")
    fields.check()
    store = service().conversations
    with service().engine.database.write() as session:
        there = store.find(session, owner, name) is not None
        conversation = store.open(session, owner, name)
        if not there and title.strip():
            conversation = store.rename(session, conversation, title)
    location = url_for("sora.conversations.show_conversation", name=name)
    return jsonify(shape(conversation)), 200 if there else 201, {"Location": location}


@views.get("/api/conversations/<name>")
def show_conversation(name: str) -> Response:
    owner = principal().id
    with service().engine.database.read() as session:
        return jsonify(shape(_found(service().conversations.find(session, owner, own_name(name)))))


@views.patch("/api/conversations/<name>")
def rename_conversation(name: str) -> Response:
    owner, fields = principal().id, body()
    title = fields.text("title", longest=_LONGEST_TITLE)
    fields.check()
    store = service().conversations
    with service().engine.database.write() as session:
        found = _found(store.find(session, owner, own_name(name)))
        return jsonify(shape(store.rename(session, found, title)))


@views.delete("/api/conversations/<name>")
def delete_conversation(name: str) -> Response:
    owner = principal().id
    store = service().conversations
    with service().engine.database.write() as session:
        store.delete(session, _found(store.find(session, owner, own_name(name))))
    return Response(status=204)


@views.get("/api/conversations/<name>/messages")
def list_messages(name: str) -> Response:
    """A page of messages, oldest first; the page before it ends where `before`, the nextCursor, says."""
    owner, fields = principal().id, query()
    limit = fields.integer("limit", low=1, high=100, default=50)
    before = fields.integer("before", low=0, high=999_999_999, default=999_999_999)
    fields.check()
    store = service().conversations
    with service().engine.database.read() as session:
        found = _found(store.find(session, owner, own_name(name)))
        turns = store.messages(session, found, before=before, limit=limit + 1)
    more, turns = len(turns) > limit, turns[-limit:]
    return jsonify(page([_message(turn) for turn in turns], turns[0].number if more else None))


def shape(conversation: Conversation) -> dict[str, object]:
    """A conversation as the API tells of it. `runId` is the run under way in it, if any."""
    return {
        "id": conversation.name,
        "title": conversation.title,
        "createdAt": conversation.created_at.isoformat(),
        "updatedAt": conversation.updated_at.isoformat(),
        "runId": conversation.run_id,
    }


def _message(turn: Turn) -> dict[str, object]:
    return {
        "id": turn.id,
        "role": turn.role,
        "content": turn.content,
        "status": turn.status,
        "runId": turn.run_id,
        "createdAt": turn.created_at.isoformat(),
        **turn.meta,
    }


def _found(conversation: Conversation | None) -> Conversation:
    if conversation is None:
        raise NotFound
    return conversation


def _place(fields: Fields) -> Place | None:
    text = fields.text("before", blank=True, default="")
    try:
        return Place.parse(text) if text else None
    except ValueError:
        fields.problem("before", "field_unknown")
        return None
