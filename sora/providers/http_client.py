"""The HTTP client below the `openai` client: httpx2's, without what a request to a model never needs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import httpx2

_url = lru_cache(maxsize=64)(httpx2.URL)  # to parse one takes longer than to send it


class HttpClient(httpx2.Client):
    """Sends each request by `transport` as it was built: no cookies, redirects, hooks and defaults are looked for, which takes
    longer than all that the transport does itself. What a request of another kind needs goes httpx2's own way."""

    def __init__(self, transport: httpx2.BaseTransport) -> None:
        super().__init__(transport=transport, timeout=None)
        self._only = transport

    def build_request(self, method: str, url: httpx2.URL | str, **how: Any) -> httpx2.Request:
        """See httpx2.Client. The deadlines are the call's: a `timeout` is left out."""
        how.pop("timeout", None)
        headers, content = how.pop("headers", None), how.pop("content", None)
        target = _url(url)
        if target.userinfo or not target.host or any(value is not None for value in how.values()):
            return super().build_request(method, url, headers=headers, content=content, **how)
        return httpx2.Request(method, target, headers=headers, content=content)

    def send(self, request: httpx2.Request, *, stream: bool = False, **how: Any) -> httpx2.Response:
        """See httpx2.Client."""
        if request.url.userinfo or any(value is not None for value in how.values()):
            return super().send(request, stream=stream, **how)
        response = self._only.handle_request(request)
        response.request = request
        if not stream:
            try:
                response.read()
            finally:
                response.close()
        return response
