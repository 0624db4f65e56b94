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
from sora.pipelines.fence import fenced
from sora.pipelines.personas import Personas
from sora.store.attachments import Attachment
from sora.store.outbox import Letter, OutboxStore
from sora.store.reviews import ReviewStore
from sora.store.runs import Run


class ReviewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A diary entry to be reviewed. `name` and `role` are the writer's as the token has them; empty: not known."""

    body: str
    type: Literal["FEELING", "THINKING"]
    review_date: dt.date
    name: str = ""
    role: str = ""

    def encode(self) -> bytes:
        """The same bytes for the same request: a run's request and its MAC rest on them."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, request: bytes) -> ReviewRequest:
        return msgspec.json.decode(request, type=cls)


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

    def begin(self, session: Session, run: Run, request: bytes, files: Sequence[Attachment]) -> None:
        """The request is all there is."""

    def steps(self, run: Run, request: bytes) -> Steps:
        review = ReviewRequest.decode(request)
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
