"""Which provider answers: the usual one, or the one that a request names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sora.engine.generation import Call, Generate, Piece, Provider, Upstream
from sora.errors import UpstreamError


class Choice(Provider):
    """`usual`, or the one of `named` that `request.provider` says. Promises, blocking and errors are `Provider.stream`'s; one
    that is not there (any more) is an UpstreamError."""

    def __init__(self, usual: Provider, named: Mapping[str, Provider]) -> None:
        self._providers = {"": usual, **named}

    def stream(self, request: Generate, call: Call) -> Iterator[Sequence[Piece]]:
        chosen = self._providers.get(request.provider)
        if chosen is None:
            raise UpstreamError(f"provider {request.provider} is not configured")
        return chosen.stream(request, call)

    def abandon(self, upstream: Upstream) -> None:
        self._providers[""].abandon(upstream)  # no other works in the background
