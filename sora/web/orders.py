"""From a request to an order for the engine: the kinds of run, and what each takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Literal

import msgspec

from sora.aside import aside
from sora.engine.engine import Order
from sora.errors import InvalidRequest
from sora.knowledge.extract import Extracted, limits_of
from sora.knowledge.extraction import extract_all
from sora.pipelines.agent import AgentRequest
from sora.pipelines.ask import AskRequest, File
from sora.pipelines.chat import ChatRequest, Said
from sora.pipelines.review import ReviewRequest
from sora.store.attachments import Attachment
from sora.web.auth import Principal
from sora.web.fields import Fields, idempotency_key
from sora.web.form import Upload
from sora.web.service import locale, service

REVIEW_TYPES = {"FEELING": "FEELING", "THINKING": "THINKING", "F": "FEELING", "T": "THINKING"}
_ROLES: dict[str, Literal["user", "assistant"]] = {"user": "user", "assistant": "assistant"}
_MOST_TURNS = 1000
_MOST_TOKENS = 32_768
_LABEL = 255  # characters of a user_id
_ON_DISCONNECT = {"continue": "continue", "cancel": "cancel"}


def of_review(principal: Principal, fields: Fields, *, dify: bool = False) -> Order:
    """The order for a diary review, by a Dify app if so. Raises InvalidRequest."""
    request = _review(fields, principal, dify=dify)
    fields.check()
    return _order("review", request, principal)


def of_chat(principal: Principal, fields: Fields, *, question: str = "message") -> Order:
    """The order for a message to the model: `{message, history?, conversation_id?}`; `question` is what the endpoint calls the
    message. `history` is a list or, in a query, its JSON. Raises InvalidRequest."""
    request = _chat(fields, principal, question=question)
    fields.check()
    return _order("chat", request, principal)


def of_ask(principal: Principal, fields: Fields, uploads: Sequence[Upload] = (), *, model: str = "") -> Order:
    """The order for a question, with its files, which are read here: that may take seconds, cooperatively. `model` names one
    for this endpoint, else it is SORA_MODEL. Raises InvalidRequest, UnreadableFile and Overloaded."""
    on_disconnect = fields.choice("on_disconnect", _ON_DISCONNECT, default="")
    request = _ask(fields, principal, files=bool(uploads))
    fields.check()
    read = extract_all(uploads, limits=limits_of(service().config)) if uploads else []
    digests = aside(lambda: [sha256(content).hexdigest() for _, content in uploads]) if uploads else []
    files = tuple(File(one.name, digest) for one, digest in zip(read, digests, strict=True))
    request = msgspec.structs.replace(request, model=model, files=files)
    order = _order("ask", request.encode(), principal, on_disconnect=on_disconnect or None)
    return replace(order, files=aside(lambda: [_attachment(one) for one in read]) if read else [])


def of_agent(principal: Principal, fields: Fields, *, ticket: str | None = None) -> Order:
    """The order for a message to the agent: `{message, user_id?, conversation_id?, custom_prompt?, llm_config?}`. Raises
    InvalidRequest, in the guide's words where there is no message."""
    request = _agent(fields, principal)
    try:
        fields.check()
    except InvalidRequest as error:
        if any(one["field"] == "message" for one in error.details):
            raise InvalidRequest("agent_message", details=error.details) from None
        raise
    return _order("agent", request, principal, ticket=ticket)


def of_kind(principal: Principal, fields: Fields, *, ticket: str | None = None) -> Order:
    """The order for `{kind, input, on_disconnect?}`. Raises InvalidRequest."""
    kind = fields.choice("kind", {name: name for name in _KINDS if name in service().engine.kinds})
    on_disconnect = fields.choice("on_disconnect", _ON_DISCONNECT, default="")
    if kind:
        request = _KINDS[kind](fields.into("input"), principal)
    fields.check()
    # Who starts a run as such comes back to it, unlike the original clients of its kind's own endpoint.
    goes_on = None if service().config.on_disconnect else "continue"
    return _order(kind, request, principal, on_disconnect=on_disconnect or goes_on, ticket=ticket)


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


def _review(fields: Fields, principal: Principal, *, dify: bool = False) -> bytes:
    body = fields.text("body", longest=service().config.max_diary_length)
    thinking = fields.choice("type", REVIEW_TYPES) == "THINKING"
    date = fields.date("reviewDate")
    request = ReviewRequest(
        body=body,
        type="THINKING" if thinking else "FEELING",
        review_date=date,
        name=principal.name,
        role=principal.role,
        via="dify" if dify else msgspec.UNSET,
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


def _ask(fields: Fields, principal: Principal, *, files: bool = False) -> AskRequest:
    longest = service().config.max_message_length
    question = fields.text("question", longest=longest, blank=files, default="" if files else None)
    tokens = fields.number("maxTokens", low=1, high=_MOST_TOKENS, whole=True)
    if not files:
        fields.none(
            "files", "field_file"
        )  # JSON has none: who puts them there would think that they were read
    return AskRequest(
        question=question.strip() and question,
        session=fields.name("sessionId"),
        system_prompt=fields.text("systemPrompt", longest=longest, blank=True, default="").strip(),
        web_search=fields.flag("isWebSearch"),
        temperature=fields.number("temperature", low=0, high=2),
        top_p=fields.number("topP", low=0, high=1),
        max_tokens=None if tokens is None else int(tokens),
    )


def _ask_alone(fields: Fields, principal: Principal) -> bytes:
    return _ask(fields, principal).encode()


def _agent(fields: Fields, principal: Principal) -> bytes:
    longest = service().config.max_message_length
    llm = fields.object("llm_config", only=("model", "temperature", "top_p", "max_tokens"))
    models = (service().config.model, *service().config.agent_models)
    tokens = llm.number("max_tokens", low=1, high=_MOST_TOKENS, whole=True)
    return AgentRequest(
        message=fields.text("message", longest=longest),
        user=fields.text("user_id", longest=_LABEL, blank=True, default=""),
        conversation=fields.name("conversation_id"),
        custom_prompt=fields.text("custom_prompt", longest=longest, blank=True, default="").strip(),
        model=llm.choice("model", {name: name for name in models}, default=""),
        temperature=llm.number("temperature", low=0, high=2),
        top_p=llm.number("top_p", low=0, high=1),
        max_tokens=None if tokens is None else int(tokens),
    ).encode()


def _attachment(file: Extracted) -> Attachment:
    if file.kind == "image":
        return Attachment(file.name, file.media_type, file.content)
    return Attachment(file.name, "text/plain", file.text.encode())


_KINDS: dict[str, Callable[[Fields, Principal], bytes]] = {
    "review": _review,
    "chat": _chat,
    "ask": _ask_alone,
    "agent": _agent,
}
