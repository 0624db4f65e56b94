"""What the simulator was asked, for tests to look at: the last thousand requests, without their keys."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

LIMIT = 1000
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "api-key", "x-api-key"})


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request. `tokens` are text tokens written so far; times are seconds since the epoch."""

    number: int
    path: str
    headers: Mapping[str, str]
    connection: str
    """The client's address and port: two requests with the same one used the same TCP connection."""
    started_at: float
    model: str | None = None
    stream: bool = False
    messages: list[Any] = field(default_factory=list)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The request's other fields: temperature, max_tokens, stream_options, input ..."""
    status: int | None = None
    """Of the answer; None while it is not known, and when the connection was closed instead."""
    tokens: int = 0
    finished: bool = False
    """The script was played to its end, whatever that is (a cut by the script too)."""
    cut_by_client: bool = False
    task: str | None = None
    """What Dify calls an answer under way."""
    stopped: bool = False
    """The client asked to stop it, by its task or its response."""
    response: str | None = None
    """The id of the response that it is about."""


class Recorder:
    """Keeps the last LIMIT requests and counts the failures that `sim-fail…` scripts have played."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=LIMIT)
        self._failures: Counter[tuple[str, str]] = Counter()
        self._number = 0

    def begin(self, path: str, headers: Mapping[str, str], *, connection: str, now: float) -> Entry:
        """Note a request, without its secrets; the entry is filled in as it is answered."""
        self._number += 1
        shown = {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
        entry = Entry(number=self._number, path=path, headers=shown, connection=connection, started_at=now)
        self._entries.append(entry)
        return entry

    def stop(self, made: str) -> None:
        """Note that the client wants this task or response to stop."""
        for entry in self._entries:
            if made in (entry.task, entry.response):
                entry.stopped = True

    def fails(self, model: str, prompt: str, *, times: int) -> bool:
        """Whether this request is one of the first `times` with that model and prompt; counts it if so."""
        if self._failures[model, prompt] >= times:
            return False
        self._failures[model, prompt] += 1
        return True

    def entries(self) -> list[dict[str, Any]]:
        """The requests, oldest first, as plain data."""
        return [asdict(entry) for entry in self._entries]

    def clear(self) -> None:
        """Forget the requests and the failures; an answer in progress goes on unrecorded."""
        self._entries.clear()
        self._failures.clear()
