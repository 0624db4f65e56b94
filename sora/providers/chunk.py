"""What one data line of a Chat Completions stream says."""

from __future__ import annotations

from typing import Any

import msgspec

from sora.providers.data_line import decoder


class Delta(msgspec.Struct, gc=False):
    """New text. Reasoning has two names among the compatible servers; a refusal is an answer too."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta | None = None
    finish_reason: str | None = None
    index: int = 0


class Tokens(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class Chunk(msgspec.Struct):
    """One chunk; all that is not named here is passed over undecoded."""

    choices: list[Choice] | None = None
    usage: Tokens | None = None
    error: Any = None


decode = decoder(Chunk)
