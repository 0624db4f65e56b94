"""A small document from somebody else's server, within a time that is kept whatever the server does."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple

import httpx2

from sora.engine.generation import Call
from sora.errors import UpstreamError
from sora.providers.stock import Decoded, proxied
from sora.providers.transport import BODY, Transport, waiting_now
from sora.providers.waiting import Waiting

_MAX_BYTES = 262_144


class Document(NamedTuple):
    """What a server answered. A body of more than 256 KiB is never one: that is an error."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch(url: str, *, timeout: float, headers: Mapping[str, str] | None = None) -> Document:
    """GET a document, following no redirect. Blocks for `timeout` seconds at most in all (through a proxy of the environment:
    for each step up to the body, and for the body), cooperatively under gevent.

    Raises UpstreamError and UpstreamTimeout, whose words are class names.
    """
    waiting = Waiting(Call(connect=timeout, first_token=timeout, gap=timeout, total=timeout))
    token = waiting_now.set(waiting)
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    try:
        with (
            _client(url, timeout) as client,
            client.stream("GET", url, headers=sent) as response,
            closing(response.extensions.get(BODY) or Decoded(response, waiting)) as blocks,
        ):
            body = b""
            for block in blocks:
                body += block
                if len(body) > _MAX_BYTES:
                    raise UpstreamError("too large")
            return Document(response.status_code, response.headers, body)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:  # ValueError: what is no URL either
        raise UpstreamError(type(error).__name__) from None
    finally:
        waiting_now.reset(token)
        waiting.close()


def _client(url: str, timeout: float) -> httpx2.Client:
    if proxied(url):
        return httpx2.Client(timeout=timeout)
    return httpx2.Client(transport=Transport(), timeout=None)
