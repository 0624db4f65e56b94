"""The provider of this application: the API that the settings and the request ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sora.config import Config
from sora.engine.generation import Call, Generate, Piece, Provider, Upstream
from sora.providers.background import Background
from sora.providers.chat_completions import ChatCompletions
from sora.providers.openai_client import OpenAIClient
from sora.providers.responses import Responses


class OpenAIProvider(Provider):
    """Chat Completions or Responses, as SORA_OPENAI_API says; what may search the web always goes to Responses, the one that
    can; with SORA_BACKGROUND in the background, if somebody could go on with the answer. All share the connections. Promises,
    blocking and errors are `Provider.stream`'s."""

    def __init__(self, config: Config) -> None:
        client = OpenAIClient(config)
        self._responses = Responses(config, client=client)
        self._usual = (
            self._responses if config.openai_api == "responses" else ChatCompletions(config, client=client)
        )
        self._background = Background(config, client=client)
        self._in_background = config.background

    def stream(self, request: Generate, call: Call) -> Iterator[Sequence[Piece]]:
        # What was begun in the background is gone on with, whatever the settings say by now.
        if call.known is not None:
            return self._background.stream(request, call)
        chosen = self._responses if request.web_search else self._usual
        if chosen is self._responses and self._in_background and call.note is not None:
            chosen = self._background
        return chosen.stream(request, call)

    def abandon(self, upstream: Upstream) -> None:
        self._background.abandon(upstream)
