"""Texts as vectors, from the model API."""

from __future__ import annotations

import base64
import sys
import time
from array import array
from collections.abc import Sequence
from contextlib import closing

import httpx2
import msgspec
import openai

from sora.config import Config
from sora.engine.generation import Call
from sora.errors import UpstreamError, UpstreamTimeout
from sora.providers.failure import Failure, broken, unanswered
from sora.providers.openai_client import OpenAIClient
from sora.providers.payload import encode
from sora.providers.waiting import Waiting

#: Texts of one request.
BATCH = 256
_MAX_BYTES = 67_108_864
_TURN = 32  # vectors that are unpacked before others have their turn: below a millisecond


class _Embedding(msgspec.Struct):
    index: int
    embedding: str | list[float]


class _Embeddings(msgspec.Struct):
    data: list[_Embedding]


_decoder = msgspec.json.Decoder(_Embeddings)


class Embeddings:
    """Vectors of texts by SORA_EMBEDDING_MODEL, over `POST {base URL}/embeddings`. False where that is not set: then there are
    none, and `embed` must not be called. Safe for many threads or greenlets; one object has one pool of connections."""

    def __init__(self, config: Config, *, client: OpenAIClient | None = None) -> None:
        self._model = config.embedding_model
        self._connect = config.connect_timeout
        self._retries = config.provider_retries
        self._client = client or OpenAIClient(config)

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    def __bool__(self) -> bool:
        return bool(self._model)

    def embed(self, texts: Sequence[str], *, timeout: float) -> list[list[float]]:
        """A vector for each text, in their order, all of one length. Blocks for `timeout` seconds at most in all, cooperatively
        under gevent. BATCH texts go with one request; one that fails in passing is sent again, SORA_PROVIDER_RETRIES times.
        Raises UpstreamError, UpstreamTimeout, UpstreamRateLimited."""
        waiting = Waiting(
            Call(connect=min(self._connect, timeout), first_token=timeout, gap=timeout, total=timeout)
        )
        vectors: list[list[float]] = []
        try:
            for start in range(0, len(texts), BATCH):
                vectors += self._batch(texts[start : start + BATCH], waiting)
        finally:
            waiting.close()
        if len({len(vector) for vector in vectors}) > 1:
            raise UpstreamError("vectors of several lengths")
        return vectors

    def _batch(self, texts: Sequence[str], waiting: Waiting) -> list[list[float]]:
        # An empty text is refused, and with it all the others; a space means as much.
        asked = {"model": self._model, "input": [text or " " for text in texts], "encoding_format": "base64"}
        content = encode(asked)
        attempt = 0
        while True:
            try:
                return _vectors(self._answer(content, waiting), len(texts))
            except Failure as error:
                failure = error
            attempt += 1
            delay = failure.delay(attempt)
            if not failure.again or attempt > self._retries or waiting.remaining() <= delay:
                raise failure.error
            waiting.pause(delay)

    def _answer(self, content: bytes, waiting: Waiting) -> bytes:
        try:
            parts: list[bytes] = []
            with closing(self._client.open("/embeddings", content, waiting)) as body:
                size = 0
                for part in body:
                    parts.append(part)
                    size += len(part)
                    if size > _MAX_BYTES:
                        raise Failure(UpstreamError("too large"))
            return b"".join(parts)
        except (openai.APIStatusError, openai.APIConnectionError) as error:
            failure = unanswered(error)
        except (httpx2.RequestError, UpstreamTimeout) as error:
            failure = broken(error)
        # Outside: what the upstream said must not come along as the context of our error.
        raise failure


def _vectors(answer: bytes, count: int) -> list[list[float]]:
    try:
        made = sorted(_decoder.decode(answer).data, key=lambda each: each.index)
        if [each.index for each in made] != list(range(count)):
            raise ValueError
        vectors = []
        for each in made:
            vectors.append(_unpacked(each.embedding))
            if len(vectors) % _TURN == 0:
                time.sleep(0)
    except ValueError:
        raise Failure(UpstreamError("not what was asked for"), again=True) from None
    return vectors


def _unpacked(embedding: str | list[float]) -> list[float]:
    """Little-endian 32-bit floats in base64, as asked for; some servers always send numbers."""
    if isinstance(embedding, list):
        return embedding
    floats = array("f", base64.b64decode(embedding, validate=True))
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()
