"""What one data line of a Responses stream says."""

from __future__ import annotations

from typing import Any

import msgspec

from sora.providers.data_line import decoder


class Annotation(msgspec.Struct, gc=False):
    """Where a piece of the text is from: a url_citation, or something that has no URL."""

    type: str | None = None
    url: str | None = None
    title: str | None = None


class Item(msgspec.Struct, gc=False):
    """Something the model has put out: a message, a web_search_call, reasoning …"""

    type: str | None = None
    status: str | None = None


class Tokens(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None


class Details(msgspec.Struct, gc=False):
    reason: str | None = None


class Response(msgspec.Struct):
    error: Any = None
    incomplete_details: Details | None = None
    usage: Tokens | None = None


class ResponseEvent(msgspec.Struct):
    """One event; all that is not named here is passed over undecoded. An `error` has its code here, or (from
    some gateways) within `error`."""

    type: str = ""
    delta: Any = None
    annotation: Annotation | None = None
    item: Item | None = None
    response: Response | None = None
    summary_index: int = 0
    code: Any = None
    error: Any = None


decode = decoder(ResponseEvent)
