"""Reviews at rest: a diary entry and the answer to it, sealed, and the pages in which they are read back."""

from __future__ import annotations

import base64
import binascii
import calendar
import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.errors import Conflict
from sora.store.crypto import Keyring
from sora.store.models import ID, OWNER, ReviewRow
from sora.store.moment import EPOCH, from_microseconds, in_utc, microseconds
from sora.store.runs import RunStore, insert, new_id, now


@dataclass(frozen=True, slots=True)
class Review:
    """A saved review, in the clear. `type` is FEELING or THINKING; `run_id` the run that wrote it, if any."""

    id: str
    owner: str
    run_id: str | None
    date: dt.date
    type: str
    body: str
    feedback: str
    created_at: dt.datetime


class Position(NamedTuple):
    """A place in the order of reviews, newest first by (date, created_at, id); what follows it is older."""

    date: dt.date
    created_at: dt.datetime
    id: str

    @classmethod
    def of(cls, review: Review) -> Position:
        """Where a review stands."""
        return cls(review.date, review.created_at, review.id)

    @classmethod
    def parse(cls, text: str) -> Position:
        """A date YYYY-MM-DD, which stands after all reviews of that date, or what `str` made.

        Raises ValueError.
        """
        if len(text) == 10:
            return cls(_date(text), EPOCH, "")
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            plain = base64.b64decode(padded, b"-_", validate=True).decode("ascii")
            date, since_epoch, review_id = plain.split("|")
            if not review_id.isalnum():
                raise ValueError("not an id")
            return cls(_date(date), from_microseconds(int(since_epoch)), review_id)
        except (ValueError, OverflowError, binascii.Error) as error:
            raise ValueError("neither a date nor a cursor") from error

    def __str__(self) -> str:
        """Opaque text for a URL, longer than a date; it holds nothing that the page before it did not."""
        plain = f"{self.date}|{microseconds(self.created_at)}|{self.id}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


class ReviewStore:
    """Reads and writes reviews in the caller's session; none commits. To an owner only its own are there."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._runs = RunStore(keyring)

    def add(
        self, session: Session, owner: str, *, date: dt.date, type: str, body: str, feedback: str,
        run_id: str | None = None, idempotency_key: str | None = None, mac_of: bytes | None = None,
    ) -> tuple[Review, bool]:  # fmt: skip
        """Save a review: (it, True). If this run or this key of the owner saved one before: (that, False).

        `mac_of` is the request in the form that tells it apart from others; it goes with `idempotency_key`.
        Safe against concurrent inserts. Raises Conflict when the key was used with another request.
        """
        review = Review(new_id(), owner, run_id, date, type, body, feedback, now())
        values = {
            "id": review.id, "owner": owner, "run_id": run_id, "date": date, "type": type,
            "body": self._seal(review, "body"), "feedback": self._seal(review, "feedback"),
            "idempotency_key": idempotency_key, "created_at": review.created_at,
            "request_mac": None if mac_of is None else self._keyring.mac(mac_of),
        }  # fmt: skip
        while not insert(session, ReviewRow, values):
            # NULL equals nothing in SQL, so that an absent key or run matches no other.
            same = sa.or_(
                ReviewRow.idempotency_key == sa.literal(idempotency_key, OWNER),
                ReviewRow.run_id == sa.literal(run_id, ID),
            )
            found = session.scalars(_of(owner).where(same)).first()
            if found is None:
                continue  # deleted in between
            if mac_of is not None and not self._keyring.same(found.request_mac or b"", mac_of):
                raise Conflict
            return self._open(found), False
        return review, True

    def page(
        self, session: Session, owner: str, after: Position | None = None, *, limit: int = 10
    ) -> tuple[list[Review], Position | None]:
        """The newest reviews that come after a position, and the position to go on from (None: no more).

        A position names a review and is no count: what is added or deleted meanwhile makes no other review
        appear twice or not at all. `Position.parse("2026-01-20")` goes on with reviews older than that date.
        """
        order = (ReviewRow.date, ReviewRow.created_at, ReviewRow.id)
        query = _of(owner).order_by(*[column.desc() for column in order]).limit(limit + 1)
        if after is not None:
            place = sa.tuple_(*after, types=[column.type for column in order])
            query = query.where(sa.tuple_(*order) < place)
        reviews = [self._open(row) for row in session.scalars(query)]
        return reviews[:limit], Position.of(reviews[limit - 1]) if len(reviews) > limit else None

    def month(self, session: Session, owner: str, *, year: int, month: int) -> list[tuple[int, str]]:
        """(day, type of its newest review) of each day of the month that has one, in order."""
        first, last = dt.date(year, month, 1), dt.date(year, month, calendar.monthrange(year, month)[1])
        of_month = sa.and_(ReviewRow.owner == owner, ReviewRow.date.between(first, last))
        query = sa.select(ReviewRow.date, ReviewRow.type).where(of_month)
        rows = session.execute(query.order_by(ReviewRow.date, ReviewRow.created_at, ReviewRow.id))
        return list({row.date.day: row.type for row in rows}.items())

    def day(self, session: Session, owner: str, date: dt.date) -> tuple[Review, list[str]] | None:
        """The newest review of a date and the ids of its others, newest first. None: it has none."""
        newest_first = (ReviewRow.created_at.desc(), ReviewRow.id.desc())
        rows = session.scalars(_of(owner).where(ReviewRow.date == date).order_by(*newest_first)).all()
        return (self._open(rows[0]), [row.id for row in rows[1:]]) if rows else None

    def find(self, session: Session, owner: str, review_id: str) -> Review | None:
        """One of the owner's reviews."""
        row = session.scalars(_of(owner).where(ReviewRow.id == review_id)).first()
        return self._open(row) if row is not None else None

    def delete(self, session: Session, owner: str, review_id: str) -> bool:
        """Delete a review, and the run that wrote it with its log: they hold that diary. False: not there."""
        mine = sa.and_(ReviewRow.owner == owner, ReviewRow.id == review_id)
        row = session.execute(sa.delete(ReviewRow).where(mine).returning(ReviewRow.run_id)).first()
        if row is not None and row.run_id is not None:
            self._runs.delete(session, row.run_id)
        return row is not None

    def _seal(self, review: Review, column: str) -> bytes:
        plain: str = getattr(review, column)
        place = {"table": "reviews", "column": column, "row": review.id, "owner": review.owner}
        return self._keyring.seal(plain.encode(), **place)

    def _open(self, row: ReviewRow) -> Review:
        body, feedback = (
            self._keyring.open(sealed, table="reviews", column=column, row=row.id, owner=row.owner).decode()
            for column, sealed in (("body", row.body), ("feedback", row.feedback))
        )
        return Review(
            row.id, row.owner, row.run_id, row.date, row.type, body, feedback, in_utc(row.created_at)
        )


def _of(owner: str) -> sa.Select[ReviewRow]:
    return sa.select(ReviewRow).where(ReviewRow.owner == owner)


def _date(text: str) -> dt.date:
    # date.fromisoformat alone would take 20260120 and 2026-W04-2 as well.
    return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
