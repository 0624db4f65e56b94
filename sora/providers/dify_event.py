"""What one data line of a Dify app's stream says."""

from __future__ import annotations

from typing import Any

import msgspec

from sora.providers.data_line import decoder


class Tokens(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class Metadata(msgspec.Struct, gc=False):
    usage: Tokens | None = None


class DifyEvent(msgspec.Struct):
    """One event; all that is not named here is passed over undecoded. An `error` has its code and its status here."""

    event: str = ""
    task_id: str | None = None
    answer: str | None = None
    metadata: Metadata | None = None
    code: Any = None
    status: Any = None


decode = decoder(DifyEvent)
