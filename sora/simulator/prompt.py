"""What a request asks, in one form for both APIs: messages, with pictures as what can be told of them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, Any]


class BadPrompt(ValueError):
    """Not a prompt; the text says why."""


def of_completion(body: Mapping[str, Any]) -> list[Message]:
    """The `messages` of a chat completion. Raises BadPrompt."""
    return _messages(body.get("messages"), "messages")


def of_response(body: Mapping[str, Any]) -> list[Message]:
    """The `instructions` and the `input` of a response: the former are a system message. Raises BadPrompt."""
    instructions, asked = body.get("instructions"), body.get("input")
    if isinstance(asked, str) and asked:
        asked = [{"role": "user", "content": asked}]
    messages = _messages(asked, "input")
    if instructions is None:
        return messages
    if not isinstance(instructions, str):
        raise BadPrompt("'instructions' must be a text.")
    return [{"role": "system", "content": instructions}, *messages]


def _messages(given: object, name: str) -> list[Message]:
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise BadPrompt(f"'{name}' must be a non-empty list of messages.")
    return [
        {**each, "content": [_part(part) for part in each["content"]]}
        if isinstance(each.get("content"), list)
        else each
        for each in given
    ]


def _part(part: object) -> object:
    """A part of a message: text in full; a picture as its type, size and SHA-256, or as its address."""
    if not isinstance(part, dict):
        raise BadPrompt("A part of a message must be an object.")
    match part.get("type"):
        case "text" | "input_text" | "output_text":
            return {"type": "text", "text": part.get("text")}
        case "image_url":
            given = part.get("image_url")
            return _image(given.get("url") if isinstance(given, dict) else given)
        case "input_image":
            return _image(part.get("image_url"))
        case _:
            return part


def _image(url: object) -> Mapping[str, Any]:
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return {"type": "image", "url": url}
    if not isinstance(url, str) or not url.startswith("data:image/") or ";base64," not in url:
        raise BadPrompt("An image must be an http(s) URL or a data URL in base64.")
    media_type, data = url.removeprefix("data:").split(";base64,", 1)
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError:
        raise BadPrompt("An image is not in base64.") from None
    digest = hashlib.sha256(content).hexdigest()
    return {"type": "image", "media_type": media_type, "bytes": len(content), "sha256": digest}


def searches(tools: object) -> bool:
    """Whether the model may search the web: one of a request's `tools` is for that."""
    given: Sequence[object] = tools if isinstance(tools, list) else ()
    kinds = [str(tool.get("type")) for tool in given if isinstance(tool, dict)]
    return any(kind.startswith("web_search") for kind in kinds)
