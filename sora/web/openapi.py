"""The API described as OpenAPI 3.1. It holds every path there is, and no other; a test compares it with the routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sora import __version__
from sora.store.runs import FINAL, UNFINISHED
from sora.wire import FORMATS

_Json = dict[str, Any]


def document(mounted: Callable[[str], bool] = lambda path: True, *, server: str = "") -> _Json:
    """The document: of the paths that are mounted, under the path `server`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sora",
            "version": __version__,
            "description": "LLM answers over Server-Sent Events. The answer outlives the connection.",
        },
        "security": [{"token": []}, {"cookie": []}],
        "servers": [{"url": server or "/"}],
        "paths": {path: operations for path, operations in _paths().items() if mounted(path)},
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "sora_session"},
            },
            "schemas": _SCHEMAS,
        },
    }


def _ref(name: str) -> _Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(*required: str, **properties: _Json) -> _Json:
    return {"type": "object", "properties": properties, "required": list(required)}


def _nullable(kind: str) -> _Json:
    return {"type": [kind, "null"]}


def _page(item: str) -> _Json:
    items = {"type": "array", "items": _ref(item)}
    return _object(
        "items", "hasNext", "nextCursor", items=items, hasNext=_BOOLEAN, nextCursor=_nullable("string")
    )


_TEXT: _Json = {"type": "string"}
_NUMBER: _Json = {"type": "integer"}
_BOOLEAN: _Json = {"type": "boolean"}
_DATE: _Json = {"type": "string", "format": "date", "examples": ["2026-01-20"]}
_MOMENT: _Json = {"type": "string", "format": "date-time"}
_TYPE: _Json = {"enum": ["FEELING", "THINKING", "F", "T"], "description": "F: empathy. T: frank advice."}

_ASK: _Json = {
    "question": _TEXT | {"description": "What is asked; files may stand for it."},
    "sessionId": _TEXT
    | {"maxLength": 128, "description": "The conversation it goes on; made when it is not there."},
    "systemPrompt": _TEXT,
    "isWebSearch": _BOOLEAN,
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "topP": {"type": "number", "minimum": 0, "maximum": 1},
    "maxTokens": _NUMBER | {"minimum": 1},
    "on_disconnect": {"enum": ["continue", "cancel"]},
}

_SCHEMAS: _Json = {
    "ReviewRequest": _object("body", "type", "reviewDate", body=_TEXT, type=_TYPE, reviewDate=_DATE),
    "ReviewToSave": _object(
        "body", "type", "reviewDate", "feedback", body=_TEXT, type=_TYPE, reviewDate=_DATE, feedback=_TEXT
    ),
    "Review": _object(
        "id", "type", "feedbackType", "body", "feedback", "date",
        id=_TEXT, type=_TEXT, feedbackType=_TEXT, body=_TEXT, feedback=_TEXT, date=_DATE,
        others={"type": "array", "items": _TEXT, "description": "Ids of the day's other reviews (of a day only)."},
    ),
    "Reviews": _page("Review"),
    "Month": {"type": "array", "items": _object("day", "feedbackType", day=_NUMBER, feedbackType=_TEXT)},
    "RunRequest": _object(
        "kind", "input",
        kind={"enum": ["review", "chat", "ask", "agent"]},
        input={"oneOf": [_ref("ReviewRequest"), _ref("ChatRequest"), _ref("AskRequest"), _ref("AgentRequest")]},
        on_disconnect={"enum": ["continue", "cancel"]},
    ),
    "Run": _object(
        "id", "kind", "status", "events_url",
        id=_TEXT, kind=_TEXT, status={"enum": [*UNFINISHED, *FINAL]}, text=_TEXT, finish_reason=_nullable("string"),
        error={"oneOf": [_ref("Problem"), {"type": "null"}]},
        usage={"oneOf": [_object("input", "output", "total", input=_NUMBER, output=_NUMBER, total=_NUMBER), {"type": "null"}]},
        model=_nullable("string"), created_at=_MOMENT, ended_at=_nullable("string"), retry_of=_nullable("string"),
        events_url=_TEXT,
    ),
    "Runs": _page("Run"),
    "ChatRequest": _object(
        "message",
        message=_TEXT,
        history={
            "type": "array", "maxItems": 1000,
            "items": _object("role", "content", role={"enum": ["user", "assistant"]}, content=_TEXT),
            "description": "What was said before; not used in a conversation, which remembers that itself.",
        },
        conversation_id=_TEXT | {"maxLength": 128, "description": "The conversation it goes on; made when it is not there."},
    ),
    "AskRequest": _object("question", **_ASK),
    "AskForm": _object(
        **_ASK, files={"type": "array", "items": {"type": "string", "format": "binary"}},
    ),
    "AgentRequest": _object(
        "message",
        message=_TEXT, user_id=_TEXT | {"description": "A label; whose the run is, is the token's to say."},
        conversation_id=_TEXT | {"maxLength": 128, "description": "The conversation it goes on; made when it is not there."},
        custom_prompt=_TEXT,
        llm_config=_object(
            model=_TEXT, temperature={"type": "number", "minimum": 0, "maximum": 2},
            top_p={"type": "number", "minimum": 0, "maximum": 1}, max_tokens=_NUMBER | {"minimum": 1},
        ) | {"additionalProperties": False},
    ),
    "AgentFinal": _object(
        "content", "sources", "confidence_score", "table_data", "chart_data",
        content=_TEXT, sources={"type": "array"}, confidence_score=_nullable("number"), table_data=_nullable("object"),
        chart_data=_nullable("object"),
    ),
    "AgentAnswer": _object("success", "data", success={"const": True}, data=_ref("AgentFinal")),
    "AgentTicket": _object("id", id=_TEXT),
    "ConversationToMake": _object(
        id=_TEXT | {"maxLength": 128, "description": "What the client calls it; made up when absent."},
        title=_TEXT | {"maxLength": 255, "description": "The beginning of the first question when absent."},
    ),
    "Title": _object("title", title=_TEXT | {"maxLength": 255}),
    "Conversation": _object(
        "id", "title", "createdAt", "updatedAt", "runId",
        id=_TEXT, title=_TEXT, createdAt=_MOMENT, updatedAt=_MOMENT,
        runId=_nullable("string") | {"description": "The run under way in it."},
    ),
    "Conversations": _page("Conversation"),
    "Message": _object(
        "id", "role", "content", "status", "runId", "createdAt",
        id=_TEXT, role={"enum": ["user", "assistant"]}, content=_TEXT, status={"enum": [*FINAL]}, runId=_TEXT,
        createdAt=_MOMENT, metadata={"type": "object"}, files={"type": "array", "items": _TEXT},
        references={"type": "array", "items": _object(
            "url", "title", title=_TEXT, url=_TEXT | {"description": "Of a file of the question: # and its name."})},
    ),
    "Messages": _page("Message"),
    "Document": _object(
        "id", "title", "name", "kind", "mediaType", "scope", "passages", "characters", "createdAt", "updatedAt", "url",
        id=_TEXT, title=_TEXT, name=_TEXT, kind={"enum": ["text", "table"]}, mediaType=_TEXT,
        scope={"enum": ["own", "shared"]}, passages=_NUMBER, characters=_NUMBER, createdAt=_MOMENT, updatedAt=_MOMENT,
        url=_TEXT,
        sheets={
            "type": "array", "description": "Of one document: its tables.",
            "items": _object(
                "name", "rows", "columns", name=_TEXT, rows=_NUMBER,
                columns={"type": "array", "items": _object(
                    "name", "type", name=_TEXT, type={"enum": ["number", "date", "text"]})},
            ),
        },
        pieces={
            "type": "array", "description": "Of one document: a page of its passages.",
            "items": _object("position", "text", position=_NUMBER, text=_TEXT, cells={"type": "object"}),
        },
    ),
    "Documents": _page("Document"),
    "DocumentsToPut": _object("files", files={"type": "array", "items": {"type": "string", "format": "binary"}}),
    "DocumentsPut": _object(
        "items", items={"type": "array", "items": _ref("Document")},
        passagesWithoutVector=_NUMBER | {"description": "With SORA_EMBEDDING_MODEL: one's passages that have none yet."},
    ),
    "Passages": _object("items", items={"type": "array", "items": _object(
        "passageId", "documentId", "title", "url", "text", "score",
        passageId=_TEXT, documentId=_TEXT, title=_TEXT, url=_TEXT, text=_TEXT, score={"type": "number"},
    )}),
    "Ticket": _object("ticket", "url", "expires_in", ticket=_TEXT, url=_TEXT, expires_in={"type": "number"}),
    "Session": _object("id", "name", "role", id=_TEXT, name=_TEXT, role=_TEXT, expires_at=_nullable("number")),
    "Problem": _object("code", "message", "retryable", code=_TEXT, message=_TEXT, retryable=_BOOLEAN),
    "Error": _object(
        "success", "error", "code",
        success={"const": False}, error=_TEXT, code=_TEXT,
        details={"type": "array", "items": _object("field", "message", field=_TEXT, message=_TEXT)},
    ),
}  # fmt: skip


def _parameter(name: str, where: str, schema: _Json, description: str = "") -> _Json:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "schema": schema,
        "description": description,
    }


_KEY = _parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "maxLength": 255},
    "The same key is the same generation, never a second one.",
)
_FORMAT = _parameter("format", "query", {"enum": list(FORMATS)}, "Wire format of the stream.")
_HEARTBEAT = _parameter(
    "heartbeat", "query", {"enum": ["comment", "event"]}, "event: heartbeats are `event: ping`."
)
_IDS = _parameter("ids", "query", {"enum": ["0", "1"]}, "1: every frame carries its event id.")
_LAST_ID = _parameter("Last-Event-ID", "header", _TEXT, "Go on after this event.")
_LAST_ID_QUERY = _parameter(
    "last_event_id", "query", _TEXT, "The same, for a client that cannot set the header."
)
_YEAR, _MONTH, _DAY = (
    _parameter(name, "query", _NUMBER) | {"required": True} for name in ("year", "month", "day")
)
_QUOTE = _parameter(
    "quote",
    "query",
    {"enum": ["json", "raw"]},
    "raw: the texts of the format chat are not escaped, but for one with a carriage return.",
)
_HISTORY = _parameter(
    "history",
    "query",
    _TEXT,
    'What was said before, as JSON: [{"role": "user"|"assistant", "content": "…"}].',
)
_CONVERSATION = _parameter(
    "conversation_id", "query", _TEXT, "The conversation that goes on; an unknown one is made."
)
_GZIP = _parameter(
    "gzip", "query", {"enum": ["0", "1"]}, "1: what is large of the agent's comes as hex of its gzip."
)
_OF_AGENT = [
    _parameter("user_id", "query", _TEXT, "Of the agent."),
    _parameter("custom_prompt", "query", _TEXT, "Of the agent."),
    _parameter("llm_config", "query", _TEXT, "Of the agent, as JSON."),
    _GZIP,
]
_LIMIT = _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100})
_BEFORE = _parameter("before", "query", _TEXT, "The nextCursor of the page before.")
_STARTS = [_IDS, _FORMAT, _HEARTBEAT, _KEY]
_FOLLOWS = [_LAST_ID, _LAST_ID_QUERY, _FORMAT, _HEARTBEAT]
_ASKS = [_HISTORY, _CONVERSATION, _QUOTE, *_FOLLOWS, _KEY]


def _operation(
    summary: str, *, takes: str = "", gives: str = "", status: int = 200, stream: bool = False, open: bool = False,
    parameters: list[_Json] | None = None, resumes: bool = False, form: str = "",
) -> _Json:  # fmt: skip
    answer: _Json = {"description": "OK"}
    if stream:
        answer["content"] = {"text/event-stream": {"schema": _TEXT}}
        answer["headers"] = {"X-Sora-Run-Id": {"schema": _TEXT}}
    elif gives:
        answer["content"] = {"application/json": {"schema": _ref(gives)}}
    error = {"description": "Error", "content": {"application/json": {"schema": _ref("Error")}}}
    operation: _Json = {"summary": summary, "responses": {str(status): answer, "default": error}}
    if resumes:
        operation["responses"]["204"] = {"description": "Nothing is left after that event."}
    if takes:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(takes)}},
        }
    if form:
        content = operation.setdefault("requestBody", {"required": True, "content": {}})["content"]
        content["multipart/form-data"] = {"schema": _ref(form)}
    if parameters:
        operation["parameters"] = parameters
    if open:
        operation["security"] = []
    return operation


def _paths() -> _Json:
    paths = {
        "/stream/review": {
            "post": _operation("Review a diary entry", takes="ReviewRequest", stream=True, parameters=_STARTS)
        },
        "/stream/review/dify": {
            "post": _operation(
                "Review a diary entry, by a Dify app", takes="ReviewRequest", stream=True, parameters=_STARTS
            )
        },
        "/test/api/request/review": {
            "post": _operation("Review a diary entry, as raw text", takes="ReviewRequest", stream=True, parameters=_STARTS)
        },
        "/chat": {
            "get": _operation(
                "Chat by EventSource", stream=True, resumes=True,
                parameters=[_parameter("query", "query", _TEXT) | {"required": True}, *_ASKS],
            )
        },
        **{
            path: {
                "get": _operation(
                    "Chat by EventSource, in chunks; the agent with format=agent, or user_id or conversation_id and no history",
                    stream=True, resumes=True,
                    parameters=[_parameter("message", "query", _TEXT) | {"required": True}, *_ASKS, *_OF_AGENT],
                ),
                "post": _operation(
                    "Ask the agent", takes="AgentRequest", stream=True, parameters=[_GZIP, *_STARTS]
                ),
            }
            for path in ("/api/chat/stream", "/chat/stream")
        },
        **{
            path: {"post": _operation(summary, takes="AskRequest", form="AskForm", stream=True, parameters=_STARTS)}
            for path, summary in {
                "/api/ask": "Ask, with files",
                "/api/ask-4-1": "Ask gpt-4.1, or SORA_ASK_MODEL_FULL",
                "/api/ask-4-1-mini": "Ask gpt-4.1-mini, or SORA_ASK_MODEL_MINI",
            }.items()
        },
        **{
            f"{path}/init": {
                "post": _operation(
                    "Ask the agent, for an EventSource", takes="AgentRequest", gives="AgentTicket", parameters=[_KEY]
                )
            }
            for path in ("/api/chat/stream", "/chat/stream")
        },
        **{
            f"{path}/{{ticket}}": {
                "get": _operation(
                    "Follow what init has started", stream=True, open=True, resumes=True, parameters=[_GZIP, *_FOLLOWS]
                )
            }
            for path in ("/api/chat/stream", "/chat/stream")
        },
        "/api/chat": {
            "post": _operation(
                "Ask the agent, and wait for the answer", takes="AgentRequest", gives="AgentAnswer", parameters=[_KEY]
            )
        },
        "/api/reviews": {
            "get": _operation(
                "Saved reviews, newest first", gives="Reviews",
                parameters=[_parameter("after", "query", _TEXT, "A date YYYY-MM-DD, or the nextCursor of the page before.")],
            ),
            "post": _operation(
                "Save a review written elsewhere", takes="ReviewToSave", gives="Review", status=201, parameters=[_KEY]
            ),
        },
        "/api/reviews/month": {"get": _operation("Days of a month with a review", gives="Month", parameters=[_YEAR, _MONTH])},
        "/api/reviews/day": {
            "get": _operation("The newest review of a day", gives="Review", parameters=[_YEAR, _MONTH, _DAY])
        },
        "/api/reviews/{review_id}": {
            "get": _operation("One review", gives="Review"),
            "delete": _operation("Delete a review and the run that wrote it", status=204),
        },
        "/api/runs": {
            "post": _operation("Start a run", takes="RunRequest", gives="Run", status=201, parameters=[_KEY]),
            "get": _operation(
                "One's runs, newest first", gives="Runs",
                parameters=[
                    _parameter("status", "query", {"enum": [*UNFINISHED, *FINAL]}),
                    _LIMIT,
                    _BEFORE,
                ],
            ),
        },
        "/api/runs/{run_id}": {
            "get": _operation("A run, with its text so far", gives="Run"),
            "delete": _operation("Delete a run that has ended", status=204),
        },
        "/api/runs/{run_id}/events": {
            "get": _operation("Follow a run", stream=True, resumes=True, parameters=_FOLLOWS)
        },
        "/api/runs/{run_id}/cancel": {"post": _operation("Cancel a run", gives="Run")},
        "/api/runs/{run_id}/retry": {
            "post": _operation("Run the same request again", gives="Run", status=201, parameters=[_KEY])
        },
        "/api/conversations": {
            "get": _operation(
                "One's conversations, the last one spoken in first", gives="Conversations", parameters=[_LIMIT, _BEFORE]
            ),
            "post": _operation("Make a conversation", takes="ConversationToMake", gives="Conversation", status=201),
        },
        "/api/conversations/{name}": {
            "get": _operation("A conversation", gives="Conversation"),
            "patch": _operation("Give it another title", takes="Title", gives="Conversation"),
            "delete": _operation("Delete it with its messages and its runs", status=204),
        },
        "/api/conversations/{name}/messages": {
            "get": _operation("Its messages, oldest first; the pages lead back", gives="Messages", parameters=[_LIMIT, _BEFORE])
        },
        "/api/documents": {
            "get": _operation("One's documents and the shared ones", gives="Documents", parameters=[_LIMIT, _BEFORE]),
            "post": _operation(
                "Put files into one's own documents (for roles that may); 200 where all of them are there already, as they are",
                form="DocumentsToPut", gives="DocumentsPut", status=201,
            ),
        },
        "/api/documents/{document_id}": {
            "get": _operation(
                "A document with its passages", gives="Document",
                parameters=[_LIMIT, _parameter("after", "query", _NUMBER, "The nextCursor of the page before.")],
            ),
            "delete": _operation("Delete one of one's own documents", status=204),
        },
        "/api/search": {
            "get": _operation(
                "The passages of one's documents and the shared ones that fit some words best", gives="Passages",
                parameters=[
                    _parameter("q", "query", _TEXT) | {"required": True},
                    _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 50}),
                ],
            )
        },
        "/api/session": {
            "post": _operation("Turn the Bearer token into a cookie", gives="Session"),
            "get": _operation("Who one is", gives="Session"),
            "delete": _operation("Sign out", status=204, open=True),
        },
        "/api/tickets": {
            "post": _operation(
                "Start a run that a URL alone can follow",
                takes="RunRequest", gives="Ticket", status=201, parameters=[_KEY],
            )
        },
        "/api/tickets/{ticket}/events": {
            "get": _operation("Follow a ticket's run", stream=True, open=True, resumes=True, parameters=_FOLLOWS)
        },
        "/healthz": {"get": _operation("Whether the process is alive", open=True)},
        "/readyz": {"get": _operation("Whether it can serve", open=True)},
        "/metrics": {"get": _operation("Numbers for Prometheus", open=True)},
        "/openapi.json": {"get": _operation("This document", open=True)},
        "/": {"get": _operation("Leads to the page", status=302, open=True)},
        "/app/": {"get": _operation("The app", open=True)},
        "/app/{name}": {"get": _operation("Its pages and files", open=True)},
        "/app/api": {"get": _operation("A page that shows this document", open=True)},
    }  # fmt: skip
    for path, operations in paths.items():
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        for operation in operations.values():
            operation["parameters"] = [_parameter(name, "path", _TEXT) for name in names] + operation.get(
                "parameters", []
            )
    return paths
