"""The diary review: a persona answers a diary entry, and the answer is saved with it (WIRE.md A)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

import msgspec
from sqlalchemy.orm import Session

from sora.config import Config
from sora.engine.generation import Generate, Message
from sora.engine.pipeline import Ended, Steps
from sora.errors import NotFound
from sora.pipelines.fence import fenced
from sora.pipelines.personas import Personas, called
from sora.pipelines.request import Request
from sora.store.attachments import Attachment
from sora.store.outbox import Letter, OutboxStore
from sora.store.reviews import ReviewStore
from sora.store.runs import Run


class ReviewRequest(Request, frozen=True, kw_only=True):
    """A diary entry to be reviewed. `name` and `role` are the writer's as the token has them; empty: not known. `via` says who
    answers it, if not the usual model; unset it leaves no trace in the bytes."""

    body: str
    type: Literal["FEELING", "THINKING"]
    review_date: dt.date
    name: str = ""
    role: str = ""
    via: Literal["dify"] | msgspec.UnsetType = msgspec.UNSET


class ReviewPipeline:
    """One model call with the persona's prompt; saved as a review when it completes, also an empty answer: in `reviews`, or
    with an `outbox` there alone, for the app server (WIRE.md A).

    What was produced before a failure or a stop is kept with the run; it is not a review.
    """

    kind = "review"
    on_disconnect = "continue"

    def __init__(self, config: Config, *, reviews: ReviewStore, outbox: OutboxStore | None = None) -> None:
        self._config = config
        self._reviews = reviews
        self._outbox = outbox
        self._personas = Personas(config)
        there = bool(config.dify_base_url)
        self._dify = {
            "FEELING": there and bool(config.dify_key_f),
            "THINKING": there and bool(config.dify_key_t),
        }

    def begin(self, session: Session, run: Run, request: bytes, files: Sequence[Attachment]) -> None:
        """The request is all there is. Raises NotFound when nobody is set up to answer it."""
        review = ReviewRequest.decode(request)
        if review.via == "dify" and not self._dify[review.type]:
            raise NotFound("dify_missing")

    def steps(self, run: Run, request: bytes) -> Steps:
        review = ReviewRequest.decode(request)
        if review.via == "dify":
            yield self._of_app(review, run.locale)
            return
        prompt = self._personas.prompt(
            review.type, locale=run.locale, name=review.name, date=review.review_date
        )
        yield Generate(
            messages=(Message("system", prompt), Message("user", fenced("diary", review.body))),
            models=(self._config.model, *self._config.fallback_models),
            max_tokens=self._config.review_max_tokens,
            temperature=self._config.temperature,
            top_p=self._config.top_p,
            locale=run.locale,
        )

    def _of_app(self, review: ReviewRequest, locale: str) -> Generate:
        """What a Dify app is asked: the diary as it is, for the prompt is the app's own."""
        name = called(review.name, locale=locale)
        return Generate(
            messages=(Message("user", review.body),),
            models=(f"dify-{review.type.lower()}",),
            max_tokens=self._config.review_max_tokens,
            temperature=self._config.temperature,
            top_p=self._config.top_p,
            locale=locale,
            provider="dify",
            variables={"name": name, "date": review.review_date.isoformat()},
        )

    def save(self, session: Session, ended: Ended) -> None:
        if ended.status != "completed":
            return
        review = ReviewRequest.decode(ended.request)
        if self._outbox is not None:
            self._outbox.add(session, ended.run.id, ended.run.owner, _letter(review, ended.text))
            return
        self._reviews.add(
            session,
            ended.run.owner,
            date=review.review_date,
            type=review.type,
            body=review.body,
            feedback=ended.text,
            run_id=ended.run.id,
        )


def _letter(review: ReviewRequest, feedback: str) -> Letter:
    content = {
        "body": review.body,
        "type": review.type,
        "reviewDate": review.review_date,
        "feedback": feedback,
    }
    return Letter(msgspec.Raw(msgspec.json.encode(content)), review.name, review.role)
