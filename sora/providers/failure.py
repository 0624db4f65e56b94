"""What went wrong with one try of a model call, and whether another may do better."""

from __future__ import annotations

import random
from typing import Any

import httpx2
import openai

from sora.errors import ContentFilter, RunError, UpstreamError, UpstreamRateLimited, UpstreamTimeout

BACKOFF = 0.25
MAX_BACKOFF = 4.0
MAX_RETRY_AFTER = 5.0

_LIMITED = {"429", "rate_limit_exceeded", "rate_limit_error"}
# The prompt itself is refused: no model of theirs will take it.
_FILTERED = {
    "content_filter",
    "invalid_prompt",
    "bio_policy",
    "misalignment_policy_violation",
    "image_content_policy_violation",
}


class Failure(Exception):
    """A try failed. again: it may work on the same model; final: it will on no other either.

    `error` is what the run ends with if there is no other try; its words are class names and numbers.
    """

    def __init__(
        self, error: RunError, *, again: bool = False, final: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.again = again
        self.final = final
        self.retry_after = retry_after

    def delay(self, attempt: int) -> float:
        """Seconds before this further try (from 1): what the upstream asks for, at most MAX_RETRY_AFTER, else
        backoff."""
        if self.retry_after is not None:
            return min(self.retry_after, MAX_RETRY_AFTER)
        return float(min(BACKOFF * 2 ** (attempt - 1), MAX_BACKOFF) * random.uniform(0.5, 1.0))


def unanswered(error: openai.APIStatusError | openai.APIConnectionError | UpstreamTimeout) -> Failure:
    """The request was refused, or got no answer."""
    if isinstance(error, openai.APIStatusError):
        return _refused(error)
    if isinstance(error, openai.APITimeoutError):
        return Failure(UpstreamTimeout("deadline passed"))
    if isinstance(error, openai.APIConnectionError):
        return Failure(UpstreamError(type(error.__cause__ or error).__name__), again=True)
    return Failure(error)


def broken(error: Exception) -> Failure:
    """The answer broke off, or is none."""
    if isinstance(error, UpstreamTimeout):
        return Failure(error)
    return Failure(UpstreamError(type(error).__name__), again=True)


def told(error: Any) -> Failure:
    """The answer itself tells of an error: {"message", "type", "code"}; its words stay out."""
    said = {str(error.get(key)) for key in ("code", "type", "status")} if isinstance(error, dict) else set()
    if said & _LIMITED:
        return Failure(UpstreamRateLimited("error frame"), again=True)
    if said & _FILTERED:
        return Failure(ContentFilter("error frame"), final=True)
    # A picture that cannot be used is none the next time either.
    return Failure(UpstreamError("error frame"), again=not any("image" in word for word in said))


def _refused(error: openai.APIStatusError) -> Failure:
    status = error.status_code
    words = f"status {status}"
    if status == 429:
        return Failure(
            UpstreamRateLimited(words), again=True, retry_after=_retry_after(error.response.headers)
        )
    if status == 408:
        return Failure(UpstreamTimeout(words), again=True, retry_after=_retry_after(error.response.headers))
    if error.code == "content_filter":  # Azure refuses the prompt itself this way
        return Failure(ContentFilter(words), final=True)
    again = status == 409 or status >= 500
    retry_after = _retry_after(error.response.headers) if again else None
    return Failure(UpstreamError(words), again=again, final=status in (401, 403), retry_after=retry_after)


def _retry_after(headers: httpx2.Headers) -> float | None:
    """The header's seconds (RFC 9110, 10.2.3); a date, which would need equal clocks, counts as nothing
    said."""
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None
