"""Diary reviews: written by the model, saved, read back (WIRE.md A)."""

from __future__ import annotations

import datetime as dt

import msgspec
from flask import Blueprint, Response, jsonify

from sora.errors import NotFound
from sora.store.reviews import Position, Review
from sora.web import streams
from sora.web.fields import Fields, body, idempotency_key, own_id, query
from sora.web.orders import REVIEW_TYPES, of_review
from sora.web.paging import page
from sora.web.service import principal, service

views = Blueprint("reviews", __name__)


@views.post("/stream/review")
def stream_review() -> Response:
    return _review("review")


@views.post("/stream/review/dify")
def stream_review_dify() -> Response:
    return _review("review", dify=True)


@views.post("/test/api/request/review")
def request_review() -> Response:
    return _review("text")


def _review(format: str, *, dify: bool = False) -> Response:
    who = principal()
    how = streams.options(format=format)
    run, _ = service().engine.begin(of_review(who, body(), dify=dify))
    return streams.answer(run, how, principal=who)


@views.get("/api/reviews")
def list_reviews() -> Response:
    owner, fields = principal().id, query()
    after = _position(fields)
    fields.check()
    with service().engine.database.read() as session:
        reviews, following = service().reviews.page(session, owner, after)
    return jsonify(page([shape(review) for review in reviews], following))


@views.get("/api/reviews/month")
def month_of_reviews() -> Response:
    owner, fields = principal().id, query()
    year, month = _month(fields)
    fields.check()
    with service().engine.database.read() as session:
        days = service().reviews.month(session, owner, year=year, month=month)
    return jsonify([{"day": day, "feedbackType": type} for day, type in days])


@views.get("/api/reviews/day")
def reviews_of_day() -> Response:
    owner, fields = principal().id, query()
    year, month = _month(fields)
    day = fields.integer("day", low=1, high=31)
    fields.check()
    try:
        date = dt.date(year, month, day)
    except ValueError:
        fields.problem("day", "field_date")
        fields.check()
    with service().engine.database.read() as session:
        found = service().reviews.day(session, owner, date)
    if found is None:
        raise NotFound
    return jsonify(shape(found[0]) | {"others": found[1]})


@views.get("/api/reviews/<review_id>")
def show_review(review_id: str) -> Response:
    owner = principal().id
    with service().engine.database.read() as session:
        review = service().reviews.find(session, owner, own_id(review_id))
    if review is None:
        raise NotFound
    return jsonify(shape(review))


@views.delete("/api/reviews/<review_id>")
def delete_review(review_id: str) -> Response:
    owner = principal().id
    with service().engine.database.write() as session:
        deleted = service().reviews.delete(session, owner, own_id(review_id))
    if not deleted:
        raise NotFound
    return Response(status=204)


@views.post("/api/reviews")
def save_review() -> tuple[Response, int]:
    """The app server's side of saving: a review that was written elsewhere."""
    owner, fields = principal().id, body()
    diary = fields.text("body", longest=service().config.max_diary_length)
    type = fields.choice("type", REVIEW_TYPES)
    date = fields.date("reviewDate")
    feedback = fields.text("feedback", blank=True)
    fields.check()
    key = idempotency_key()
    same = msgspec.json.encode((diary, type, date, feedback)) if key else None
    with service().engine.database.write() as session:
        review, created = service().reviews.add(
            session,
            owner,
            date=date,
            type=type,
            body=diary,
            feedback=feedback,
            idempotency_key=key,
            mac_of=same,
        )
    return jsonify(shape(review)), 201 if created else 200


def shape(review: Review) -> dict[str, str]:
    """A review as the original app server gives it."""
    return {
        "id": review.id, "type": review.type, "feedbackType": review.type,
        "body": review.body, "feedback": review.feedback, "date": review.date.isoformat(),
    }  # fmt: skip


def _position(fields: Fields) -> Position | None:
    text = fields.text("after", blank=True, default="")
    if not text:
        return None
    try:
        position = Position.parse(text)
        if position.id:
            own_id(position.id)
    except (ValueError, NotFound):
        fields.problem("after", "field_date")
        return None
    return position


def _month(fields: Fields) -> tuple[int, int]:
    return fields.integer("year", low=1, high=9999), fields.integer("month", low=1, high=12)
