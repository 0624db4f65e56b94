"""The event log: the only place where runs and readers meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sqlalchemy.orm import Session

from sora.events import Cursor, Event, Span

#: Gets what was appended, or None when it should look for itself.
Listener = Callable[[Span | None], None]


class EventLog(Protocol):
    """Numbered events per run. One conformance suite (tests/conformance/test_event_log.py) holds for every implementation.

    Order: events have the numbers 1, 2, 3 … of their run in the order of their appends, without a gap. A run has one
    appender at a time, the owner of its epoch; a higher epoch takes the log over and continues after the last event
    that was durable. Nothing follows a terminal event.
    """

    def append(self, run_id: str, epoch: int, events: Sequence[Event]) -> int:
        """Add events, all or none, visible to this process's readers at once, to others once durable; returns the last number.
        Does not block, but for the first append of an epoch above 1, which looks for the log's end. A terminal event is
        appended after the transaction that it was staged in. Raises StaleEpoch, LogEnded, StoreError (first append only)."""
        ...

    def read(self, run_id: str, after: Cursor, limit: int) -> Span:
        """At most `limit` events that follow `after` (exclusive), all of one epoch; an empty span when there are none (yet).
        A cursor of an older epoch beyond the restore point of a later one gets a span that begins at or before
        the cursor: what came after `span.first - 1` was taken back. So does one beyond the end of an ended log. Does not
        wait for events; may block for a database read when the run is produced elsewhere. Raises LogExpired, StoreError."""
        ...

    def follow(self, run_id: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` whenever events may have been added, from any thread, until the returned function is called.
        A listener must not block or raise. One registration serves a reader's whole life."""
        ...

    def stage(self, session: Session, run_id: str, epoch: int, terminal: Event) -> int:
        """Write all of a run that is not durable yet, and its terminal event, into the caller's transaction; returns the
        terminal event's number. Nobody sees the terminal event before `append` gives it out after the commit. May be tried again
        with a new session. Logs that are not in the database return the number and write nothing. Raises StaleEpoch, LogEnded."""
        ...

    def expire(self, run_id: str, ttl: float) -> None:
        """Forget the log `ttl` seconds from now, at once when that is zero or less; reads then raise LogExpired.
        Raises StoreError."""
        ...
