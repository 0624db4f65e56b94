"""From a request to an order for the engine: the kinds of run, and what each takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from sora.engine.engine import Order
from sora.pipelines.chat import ChatRequest, Said
from sora.pipelines.review import ReviewRequest
from sora.web.auth import Principal
from sora.web.fields import Fields, idempotency_key
from sora.web.service import locale, service

REVIEW_TYPES = {"FEELING": "FEELING", "THINKING": "THINKING", "F": "FEELING", "T": "THINKING"}
_ROLES: dict[str, Literal["user", "assistant"]] = {"user": "user", "assistant": "assistant"}
_MOST_TURNS = 1000
_ON_DISCONNECT = {"continue": "continue", "cancel": "cancel"}


def of_review(principal: Principal, fields: Fields) -> Order:
    """The order for a diary review. Raises InvalidRequest."""
    request = _review(fields, principal)
    fields.check()
    return _order("review", request, principal)


def of_chat(principal: Principal, fields: Fields, *, question: str = "message") -> Order:
    """The order for a message to the model: `{message, history?, conversation_id?}`; `question` is what the endpoint calls the
    message. `history` is a list or, in a query, its JSON. Raises InvalidRequest."""
    request = _chat(fields, principal, question=question)
    fields.check()
    return _order("chat", request, principal)


def of_kind(principal: Principal, fields: Fields, *, ticket: str | None = None) -> Order:
    """The order for `{kind, input, on_disconnect?}`. Raises InvalidRequest."""
    kind = fields.choice("kind", {name: name for name in _KINDS if name in service().engine.kinds})
    on_disconnect = fields.choice("on_disconnect", _ON_DISCONNECT, default="")
    if kind:
        request = _KINDS[kind](fields.into("input"), principal)
    fields.check()
    return _order(kind, request, principal, on_disconnect=on_disconnect or None, ticket=ticket)


def _order(
    kind: str,
    request: bytes,
    principal: Principal,
    *,
    on_disconnect: str | None = None,
    ticket: str | None = None,
) -> Order:
    return Order(
        owner=principal.id,
        kind=kind,
        request=request,
        locale=locale(),
        on_disconnect=on_disconnect,
        idempotency_key=idempotency_key(),
        ticket=ticket,
    )


def _review(fields: Fields, principal: Principal) -> bytes:
    body = fields.text("body", longest=service().config.max_diary_length)
    thinking = fields.choice("type", REVIEW_TYPES) == "THINKING"
    date = fields.date("reviewDate")
    request = ReviewRequest(
        body=body,
        type="THINKING" if thinking else "FEELING",
        review_date=date,
        name=principal.name,
        role=principal.role,
    )
    return request.encode()


def _chat(fields: Fields, principal: Principal, *, question: str = "message") -> bytes:
    longest = service().config.max_message_length
    message = fields.text(question, longest=longest)
    conversation = fields.name("conversation_id")
    said: list[Said] = []
    for turn in fields.objects("history", most=_MOST_TURNS):
        role = turn.choice("role", _ROLES)
        content = turn.text("content", longest=longest, blank=True)
        if role and content.strip():
            said.append(Said(_ROLES[role], content))
    # What a conversation has said is what is saved of it, whatever the client remembers.
    return ChatRequest(
        message=message, history=() if conversation else tuple(said), conversation=conversation
    ).encode()


_KINDS: dict[str, Callable[[Fields, Principal], bytes]] = {"review": _review, "chat": _chat}
