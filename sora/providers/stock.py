"""The client's own transport, for what ours does not know: proxies. Deadlines are the call's as far as a read bound lets them."""

from __future__ import annotations

import contextlib
import threading
import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx2

from sora.config import Config
from sora.errors import UpstreamTimeout
from sora.providers.waiting import Waiting

_LOOK = 0.05  # seconds


def proxied(url: str) -> bool:
    """Whether the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY) wants a proxy for this URL."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    wanted = proxies.get(parts.scheme) or proxies.get("all")
    return bool(wanted) and not urllib.request.proxy_bypass(parts.hostname or "")


def client(config: Config) -> httpx2.Client:
    """A client that honours the environment's proxies, without a limit on connections."""
    read = max(config.first_token_timeout, config.gap_timeout)
    timeout = httpx2.Timeout(connect=config.connect_timeout, read=read, write=config.gap_timeout, pool=None)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0)
    return httpx2.Client(timeout=timeout, limits=limits)


class Decoded:
    """The body of a response of that client, in blocks. Raises httpx2's errors, UpstreamTimeout, CallCancelled."""

    def __init__(self, response: httpx2.Response, waiting: Waiting) -> None:
        self._response = response
        self._waiting = waiting
        stream = response.extensions.get("network_stream")
        socket = stream.get_extra_info("socket") if stream is not None else None
        if socket is not None:
            waiting.hold(socket)
        self._over = threading.Event()
        if not waiting.watched():
            threading.Thread(target=self._watch, name="deadline", daemon=True).start()

    def __iter__(self) -> Iterator[bytes]:
        blocks = self._response.iter_bytes()
        while True:
            self._waiting.watched()
            try:
                block = next(blocks, None)
            except httpx2.TimeoutException:
                raise UpstreamTimeout("deadline passed") from None
            except httpx2.RequestError:
                # A deadline, like a cancel, ends the wait by shutting the socket down.
                self._waiting.check(timed_out=self._waiting.remaining() <= 0)
                raise
            self._waiting.check(timed_out=False)
            if block is None:
                return
            yield block

    def absorb(self, take: Callable[[bytes], bool] | None) -> None:
        pass

    def close(self) -> None:
        self._over.set()
        self._waiting.release()
        with contextlib.suppress(httpx2.HTTPError):
            self._response.close()

    def _watch(self) -> None:
        """On plain threads: that transport sets its own bound before each read, so that the call's comes from outside."""
        # Looked at often: a first token brings the deadline nearer.
        while not self._over.wait(min(max(self._waiting.remaining(), 0.0), _LOOK)):
            if self._waiting.remaining() <= 0:
                self._waiting.expire()
                return
