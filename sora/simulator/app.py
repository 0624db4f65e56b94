"""The simulator's endpoints: Chat Completions, Responses, embeddings, models, Dify's, and what was asked so far."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Blueprint, Flask, Response, abort, current_app, g, jsonify, request

from sora.simulator import actions, dify, embeddings, prompt
from sora.simulator.actions import Action, Cut, Pause, Wire, Write
from sora.simulator.background import Kept, Shelf
from sora.simulator.completions import Completion
from sora.simulator.player import HANDLER, Player
from sora.simulator.recorder import Entry, Recorder
from sora.simulator.responses import Reply
from sora.simulator.scripts import OPTIONS, Script, UnknownScript, parse
from sora.simulator.text import Answer

_CREATED = 1_700_000_000
"""What the list of models gives as their date."""

_DIMENSIONS_LIMIT = 4096

_ERRORS: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request was refused (simulated)."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided (simulated)."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist (simulated)."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached (simulated)."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later (simulated)."),
}

_v1 = Blueprint("v1", __name__, url_prefix="/v1")
_control = Blueprint("control", __name__)


def create_app() -> Flask:
    """An app with its own record. Its answers need the server of `serve`: a script may cut the connection."""
    app = Flask(__name__)
    app.extensions["sora.simulator.recorder"] = Recorder()
    app.extensions["sora.simulator.shelf"] = Shelf()
    app.register_blueprint(_v1)
    app.register_blueprint(_control)
    return app


@_v1.before_request
def _begin() -> None:
    if dify.is_stop(request.path) or request.path.endswith("/cancel"):
        return  # it is part of the request that it stops
    connection = f"{request.remote_addr}:{request.environ.get('REMOTE_PORT', '')}"
    g.entry = _recorder().begin(request.path, dict(request.headers), connection=connection, now=time.time())
    if not request.headers.get("Authorization", "").startswith("Bearer "):
        abort(_error(401, "You didn't provide an API key: send any key as a Bearer token."))


@_v1.after_request
def _answered(response: Response) -> Response:
    entry: Entry | None = g.get("entry")
    if entry is None:
        return response
    entry.status = response.status_code
    entry.finished = not isinstance(response.response, Player)  # which says itself when it has ended
    response.headers["x-request-id"] = f"req_{secrets.token_hex(16)}"
    return response


@_v1.post("/chat/completions")
def chat_completions() -> Response:
    body, model, script = _asked("messages")
    messages = _prompt(prompt.of_completion, body)
    if failure := _failure(model, script, prompt=messages):
        return failure
    answer, stream = Answer(messages, script), g.entry.stream
    header = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion.chunk" if stream else "chat.completion",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": "fp_simulator",
    }
    options = body.get("stream_options")
    include_usage = not stream or (isinstance(options, dict) and options.get("include_usage") is True)
    wire = Completion(script, header=header, prompt_tokens=answer.prompt_tokens, include_usage=include_usage)
    return _say(script, answer, wire)


@_v1.post("/responses")
def responses() -> Response:
    body, model, script = _asked("instructions", "input")
    background = body.get("background") is True
    if background and body.get("store") is False:
        return _error(400, "Background mode requires store to be true.")
    messages = _prompt(prompt.of_response, body)
    if failure := _failure(model, script, prompt=messages):
        return failure
    tools = body.get("tools") or []
    searched = prompt.searches(tools)
    answer = Answer(messages, script, searched=searched)
    header = {
        "id": f"resp_{secrets.token_hex(24)}",
        "object": "response",
        "created_at": int(time.time()),
        "model": model,
        "instructions": body.get("instructions"),
        "tools": tools,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "background": background,
    }
    g.entry.response = header["id"]
    wire = Reply(
        script,
        header=header,
        prompt_tokens=answer.prompt_tokens,
        query=answer.query if searched else None,
        citations=answer.citations,
    )
    if not background:
        return _say(script, answer, wire)
    kept = _shelf().put(Kept(script, answer, wire))
    if g.entry.stream:
        return _stream(kept.opening())
    return jsonify(kept.state)


@_v1.get("/responses/<response_id>")
def response(response_id: str) -> Response:
    """A background response as it is now, or its events, those after `starting_after`."""
    kept = _kept(response_id)
    g.entry.response = response_id
    g.entry.parameters = request.args.to_dict()
    if request.args.get("stream") != "true":
        return jsonify(kept.state)
    g.entry.stream = True
    if not kept.script.restream:
        return _error(
            400, "This response can no longer be streamed because it is more than 5 minutes old (simulated)."
        )
    try:
        after = int(request.args.get("starting_after", "-1"))
    except ValueError:
        return _error(400, "'starting_after' must be a number.")
    return _stream(kept.events(after))


@_v1.delete("/responses/<response_id>")
def delete_response(response_id: str) -> Response:
    _kept(response_id)
    _shelf().drop(response_id)
    return jsonify(id=response_id, object="response", deleted=True)


@_v1.post("/responses/<response_id>/cancel")
def cancel_response(response_id: str) -> Response:
    kept = _kept(response_id)
    _recorder().stop(response_id)
    kept.cancel()
    return jsonify(kept.state)


@_v1.post("/embeddings")
def embed() -> Response:
    body, model, script = _asked()
    texts = embeddings.texts(body.get("input"))
    if texts is None:
        return _error(
            400, f"'input' must be a text, tokens, or up to {embeddings.INPUTS} of them, not empty."
        )
    dimensions = body.get("dimensions", embeddings.DIMENSIONS)
    if type(dimensions) is not int or not 1 <= dimensions <= _DIMENSIONS_LIMIT:
        return _error(400, f"'dimensions' must be a number from 1 to {_DIMENSIONS_LIMIT}.")
    if failure := _failure(model, script, prompt=texts):
        return failure
    vectors = [embeddings.embed(text, dimensions) for text in texts]
    packed = body.get("encoding_format") == "base64"
    shown = [embeddings.as_base64(vector) for vector in vectors] if packed else vectors
    tokens = sum(len(text) for text in texts)
    return jsonify(
        object="list",
        data=[{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(shown)],
        model=model,
        usage={"prompt_tokens": tokens, "total_tokens": tokens},
    )


@_v1.post("/chat-messages")
def chat_messages() -> Response:
    """An app of Dify's: what it is, or its script, is what the key says."""
    entry: Entry = g.entry
    app, model = dify.app_of(request.headers["Authorization"])
    try:
        query, entry.parameters = dify.read(request.get_json(force=True, silent=True))
        script = parse(model)
    except (prompt.BadPrompt, UnknownScript) as error:
        abort(_error(400, str(error)))
    entry.model, entry.stream = model, entry.parameters.get("response_mode") == "streaming"
    entry.messages = [{"role": "user", "content": query}]
    if failure := _failure(model, script, prompt=query):
        return failure
    entry.task = dify.new_id()
    answer = Answer([{"role": "system", "content": app}, *entry.messages], script)
    return _say(script, answer, dify.ChatMessage(script, task=entry.task, prompt_tokens=answer.prompt_tokens))


@_v1.post("/chat-messages/<task>/stop")
def stop_chat_message(task: str) -> Response:
    _recorder().stop(task)
    return jsonify(result="success")


@_v1.get("/info")
def info() -> Response:
    app, _ = dify.app_of(request.headers["Authorization"])
    return jsonify(name=app or "sim", description="sora-simulator", tags=[])


@_v1.get("/models")
def models() -> Response:
    listed = [("sim", "an answer of about 60 to 120 tokens at 40 tokens/s; options are joined by '-'")]
    listed += [(f"sim-{option.example}", f"{option.form}: {option.summary}") for option in OPTIONS]
    shared = {"object": "model", "created": _CREATED, "owned_by": "sora-simulator"}
    return jsonify(object="list", data=[{"id": name, **shared, "description": text} for name, text in listed])


@_control.get("/v1/simulator/requests")
def recorded() -> Response:
    return jsonify(requests=_recorder().entries())


@_control.delete("/v1/simulator/requests")
def forget() -> Response:
    _recorder().clear()
    return Response(status=204)


@_control.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok")


def _asked(*asked: str) -> tuple[dict[str, Any], str, Script]:
    """The request's body, its model, and the script that the model names; anything else ends the request. The fields `asked` are
    recorded as the prompt, the others as parameters."""
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        abort(_error(400, "The body must be a JSON object."))
    model = body.get("model")
    if not isinstance(model, str) or not model:
        abort(_error(400, "'model' must be the name of a model."))
    entry: Entry = g.entry
    entry.model = model
    entry.stream = body.get("stream") is True
    entry.parameters = {
        name: value for name, value in body.items() if name not in ("model", "stream", *asked)
    }
    try:
        return body, model, parse(model)
    except UnknownScript as unknown:
        abort(
            _error(
                404,
                f"The model `{model}` does not exist: the simulator has no option `{unknown.option}` "
                "(GET /v1/models lists them).",
            )
        )


def _prompt(
    read: Callable[[Mapping[str, Any]], list[prompt.Message]], body: Mapping[str, Any]
) -> list[prompt.Message]:
    """The messages of the request, recorded; anything else ends it."""
    try:
        messages = read(body)
    except prompt.BadPrompt as error:
        abort(_error(400, str(error)))
    g.entry.messages = messages
    return messages


def _failure(model: str, script: Script, *, prompt: object) -> Response | None:
    """The answer of a script that fails before it begins; None when it does not, or not any more."""
    if script.refuse:
        return _play(iter((Pause(script.headers), Cut())))
    if script.status is None:
        return None
    if script.failures and not _recorder().fails(model, json.dumps(prompt), times=script.failures):
        return None
    return _error(script.status, retry_after=script.retry_after, delay=script.headers)


def _error(
    status: int,
    message: str | None = None,
    *,
    code: str | None = "",
    retry_after: int | None = None,
    delay: float = 0.0,
) -> Response:
    """OpenAI's error body. Without a message or a code of its own a status has its usual one."""
    usual = (
        "invalid_request_error" if status < 500 else "server_error",
        None,
        f"Status {status} (simulated).",
    )
    kind, usual_code, usual_message = _ERRORS.get(status, usual)
    detail = {
        "message": message or usual_message,
        "type": kind,
        "param": None,
        "code": usual_code if code == "" else code,
    }
    said = dify.refusal(status, detail) if request.path.endswith("/chat-messages") else {"error": detail}
    body = actions.encode(said)
    response = (
        _play(iter((Pause(delay), Write(body)))) if delay else Response(body, mimetype="application/json")
    )
    response.status_code = status
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _say(script: Script, answer: Answer, wire: Wire) -> Response:
    if not g.entry.stream:
        return _play(actions.whole(script, answer, wire))
    return _stream(actions.streamed(script, answer, wire))


def _stream(steps: Iterator[Action]) -> Response:
    response = _play(steps)
    response.headers["Content-Type"] = "text/event-stream; charset=utf-8"
    response.headers["Cache-Control"] = "no-cache"
    return response


def _play(steps: Iterator[Action]) -> Response:
    player = Player(steps, request.environ[HANDLER], g.entry)
    return Response(player, mimetype="application/json", direct_passthrough=True)


def _kept(response_id: str) -> Kept:
    """The background response that the request is about; a 404 ends the request."""
    kept = _shelf().get(response_id)
    if kept is None:
        abort(_error(404, f"Response with id '{response_id}' not found (simulated).", code=None))
    return kept


def _shelf() -> Shelf:
    shelf: Shelf = current_app.extensions["sora.simulator.shelf"]
    return shelf


def _recorder() -> Recorder:
    recorder: Recorder = current_app.extensions["sora.simulator.recorder"]
    return recorder
