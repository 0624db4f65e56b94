"""Moments as a database gives them back, and as a cursor names them."""

from __future__ import annotations

import datetime as dt

#: The beginning of Unix time.
EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def in_utc(at: dt.datetime) -> dt.datetime:
    """A moment that was read, in UTC: SQLite gives it back without its zone, PostgreSQL in the zone of the session."""
    return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)


def microseconds(at: dt.datetime) -> int:
    """Whole microseconds since EPOCH."""
    return (at - EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> dt.datetime:
    """What `microseconds` counted. Raises OverflowError beyond the years that there are."""
    return EPOCH + count * _MICROSECOND
