"""A script says how the simulator answers; the model's name is the script.

The name is `sim` followed by options joined by `-`, for example `sim-n300-d0-crlf`. A model that is not of
the `sim` family plays the default script, so that a configured real name works against the simulator too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_DELAY = 0.025
"""Seconds between two tokens: 40 tokens/s, the pace of a small hosted model."""

MILLION = 1_000_000
"""Characters of a `sim-million` answer."""


class UnknownScript(ValueError):
    """The model's name begins like a script but holds an option nobody knows; `option` is that option."""

    def __init__(self, model: str, option: str) -> None:
        super().__init__(f"{model!r} has the unknown option {option!r}")
        self.option = option


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How one answer is played. Times are seconds, counts are tokens; None: that does not happen."""

    tokens: int | None = None
    delay: float = DEFAULT_DELAY
    burst: int = 1
    first: float = 0.0
    headers: float = 0.0
    status: int | None = None
    retry_after: int | None = None
    failures: int = 0
    """The first so many requests with one prompt get `status`; 0 with a status: every request does."""
    refuse: bool = False
    stall: int | None = None
    cut: int | None = None
    reset: int | None = None
    badjson: int | None = None
    error: int | None = None
    failed: int | None = None
    filter: int | None = None
    utf8: bool = False
    crlf: bool = False
    done: bool = True
    usage: bool = True
    finish: bool = True
    length: bool = False
    million: bool = False
    refusal: bool = False
    reasoning: bool = False
    comments: bool = False
    null: bool = False
    echo: bool = False
    surrogate: bool = False
    empty: bool = False
    drip: bool = False
    restream: bool = True

    @property
    def finish_reason(self) -> str:
        """Why the answer ends, as OpenAI words it."""
        return "content_filter" if self.filter is not None else "length" if self.length else "stop"


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a script's name: how it is written, an example, what it does."""

    form: str
    example: str
    summary: str
    pattern: re.Pattern[str]
    fields: Callable[[re.Match[str]], Mapping[str, Any]]


def _number(
    letters: str, summary: str, field: str, *, example: int, kind: str = "k", scale: float | None = None
) -> Option:
    def fields(match: re.Match[str]) -> Mapping[str, Any]:
        number = int(match[1])
        return {field: number if scale is None else number * scale}

    form = f"{letters}<{kind}>"
    return Option(form, f"{letters}{example}", summary, re.compile(letters + r"(\d{1,7})", re.ASCII), fields)


def _word(word: str, summary: str, **fields: Any) -> Option:
    return Option(word, word, summary, re.compile(re.escape(word)), lambda _: fields)


def _failure(match: re.Match[str]) -> Mapping[str, Any]:
    failures, status, retry_after = match["failures"], match["status"], match["retry_after"]
    return {
        "failures": int(failures or 0),
        "status": int(status),
        "retry_after": None if retry_after is None else int(retry_after),
    }


_STATUS = r"(?P<status>[45]\d\d)(?:r(?P<retry_after>\d{1,4}))?"

OPTIONS: tuple[Option, ...] = (
    _number("n", "exactly N tokens", "tokens", example=300, kind="N"),
    _number(
        "d", "so many ms between tokens (0: as fast as it goes)", "delay", example=5, kind="ms", scale=0.001
    ),
    _number("b", "k tokens in one write", "burst", example=4),
    _number(
        "first",
        "headers at once, the first token so many ms later",
        "first",
        example=500,
        kind="ms",
        scale=0.001,
    ),
    _number("headers", "the headers so many ms late as well", "headers", example=500, kind="ms", scale=0.001),
    Option(
        "<status>[r<s>]",
        "429r1",
        "that status (400-599) with OpenAI's error body; r: Retry-After in seconds",
        re.compile("(?P<failures>)" + _STATUS, re.ASCII),
        _failure,
    ),
    Option(
        "fail<k>x<status>[r<s>]",
        "fail2x500",
        "the first k requests with one prompt get that status, later ones an answer",
        re.compile(r"fail(?P<failures>[1-9]\d{0,3})x" + _STATUS, re.ASCII),
        _failure,
    ),
    _word("refuse", "the connection is closed before any byte of a response", refuse=True),
    _number(
        "stall",
        "silent after k tokens, with the connection open until the client leaves",
        "stall",
        example=5,
    ),
    _number("cut", "the TCP connection ends after k tokens, without the last chunk", "cut", example=5),
    _number("reset", "the TCP connection is reset (RST) after k tokens", "reset", example=5),
    _number("badjson", "a data line that is not JSON after k tokens; then it goes on", "badjson", example=5),
    _number("error", "an error frame after k tokens, then the end", "error", example=5),
    _number(
        "failed",
        "response.failed after k tokens, then the end (Chat Completions: as error)",
        "failed",
        example=5,
    ),
    _number("filter", "stopped by the content filter after k tokens", "filter", example=5),
    _word("length", "finish_reason length", length=True),
    _word("refusal", "the text comes as delta.refusal", refusal=True),
    _word("reasoning", "delta.reasoning_content before the text", reasoning=True),
    _word("empty", "no text at all, finish_reason stop", empty=True),
    _word("nofinish", "no finish_reason, but [DONE]", finish=False),
    _word("nodone", "no [DONE], a clean end", done=False),
    _word("nousage", "no usage, even when asked for", usage=False),
    _word("utf8", "writes end in the middle of UTF-8 sequences", utf8=True),
    _word("crlf", "CRLF line ends", crlf=True),
    _word("comments", "SSE comments between and inside the events", comments=True),
    _word("null", "null contents, and chunks without choices in between", null=True),
    _word(
        "surrogate",
        "NUL, lone surrogates, a pair split over two deltas; escaped in the JSON",
        surrogate=True,
    ),
    _word("echo", "the text is the last user message", echo=True),
    _word("million", "a million characters in pieces of 250; no delay unless given", million=True),
    _word("drip", "comments for ever, never a token", drip=True),
    _word("nostream", "a background response that is asked for again is not streamed: 400", restream=False),
)
"""Every option; what GET /v1/models lists and the documentation's table are checked against it."""


def parse(model: str) -> Script:
    """The script that a model's name asks for. Of an option given twice the last one counts.

    Raises UnknownScript for a name of the `sim-` family with an option that is not in OPTIONS.
    """
    family, *names = model.split("-")
    if family != "sim":
        return Script()
    fields: dict[str, Any] = {}
    for name in names:
        for option in OPTIONS:
            if match := option.pattern.fullmatch(name):
                fields.update(option.fields(match))
                break
        else:
            raise UnknownScript(model, name)
    if fields.get("million"):
        fields.setdefault("delay", 0.0)
    if fields.get("burst") == 0:
        raise UnknownScript(model, "b0")
    return Script(**fields)
