"""The OpenAI client of this process."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import openai

from sora.config import Config
from sora.providers import stock
from sora.providers.http_client import HttpClient
from sora.providers.stock import Decoded
from sora.providers.transport import BODY, Body, Transport, waiting_now
from sora.providers.waiting import Waiting

# At INFO it writes the upstream's URL for each request.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class Blocks(Protocol):
    """A body: one block of bytes for what one read brought. Read to the end, or closed."""

    def __iter__(self) -> Iterator[bytes]: ...

    def absorb(self, take: Callable[[bytes], bool] | None) -> None:
        """Have blocks offered to `take` as they arrive, before they are iterated; it says whether it has taken one, and must not
        wait. None: no more. Where that cannot be done it is not asked."""
        ...

    def close(self) -> None:
        """Give the connection back, or end it at once when the body was not read to its end. Does not block."""
        ...


class OpenAIClient:
    """One `openai.OpenAI` per worker process, made at the first request: after the fork, with sockets of its
    own.

    It brings the base URL, the authentication and the error classes; the deadlines and the cancel are the
    call's.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._client: openai.OpenAI | None = None
        self._process = 0

    def open(self, path: str, content: bytes | None, waiting: Waiting, *, key: str | None = None) -> Blocks:
        """POST this JSON (None: GET), with this key in the place of the client's own, and wait for the status and the headers;
        the body.

        Raises openai.APIStatusError for a status of 400 and more, openai.APIConnectionError, UpstreamTimeout,
        CallCancelled.
        """
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        token = waiting_now.set(waiting)
        try:
            client = self._ready()
            # `post` rather than the typed method: to check the parameters costs ten times what sending them
            # does.
            send = client.get if content is None else partial(client.post, content=content)
            response = send(
                path,
                options={"headers": headers},
                cast_to=object,
                stream=True,
                stream_cls=openai.Stream[object],
            ).response
        finally:
            waiting_now.reset(token)
        ours: Body | None = response.extensions.get(BODY)
        if ours is None or response.headers.get("content-encoding", "identity") != "identity":
            try:
                return Decoded(response, waiting)
            except BaseException:
                response.close()
                raise
        # The body alone: the response holds its request, and with it the whole prompt, for as long as it lives.
        return ours

    def _ready(self) -> openai.OpenAI:
        with self._lock:
            if self._client is None or self._process != os.getpid():
                url = self._config.openai_base_url or "https://api.openai.com/v1"
                self._client = openai.OpenAI(
                    # A server of one's own often needs no key, the client always does.
                    api_key=self._config.openai_api_key or "none",
                    base_url=url,
                    max_retries=0,
                    # Events are read from the bytes as they come.
                    default_headers={"Accept": "text/event-stream", "Accept-Encoding": "identity"},
                    http_client=stock.client(self._config)
                    if stock.proxied(url)
                    else HttpClient(Transport(coalesce=self._config.coalesce)),
                )
                self._process = os.getpid()
                # Connections at rest end with us: the client's own transport leaves them to the collector.
                weakref.finalize(self, self._client.close).atexit = False
            return self._client
