"""The provider of this application: the API that the settings and the request ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sora.config import Config
from sora.engine.generation import Call, Generate, Piece, Provider
from sora.providers.chat_completions import ChatCompletions
from sora.providers.openai_client import OpenAIClient
from sora.providers.responses import Responses


class OpenAIProvider(Provider):
    """Chat Completions or Responses, as SORA_OPENAI_API says; what may search the web always goes to Responses, the one that
    can. Both share the connections. Promises, blocking and errors are `Provider.stream`'s."""

    def __init__(self, config: Config) -> None:
        client = OpenAIClient(config)
        self._responses = Responses(config, client=client)
        self._usual = (
            self._responses if config.openai_api == "responses" else ChatCompletions(config, client=client)
        )

    def stream(self, request: Generate, call: Call) -> Iterator[Sequence[Piece]]:
        return (self._responses if request.web_search else self._usual).stream(request, call)
