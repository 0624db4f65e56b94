"""A generator of the host's own as the answer to the request it was made for: a run like any other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextvars import copy_context

import msgspec
from flask import Response, current_app, request

from sora.engine.engine import Order
from sora.pipelines.own import Feed, OwnPipeline
from sora.web import streams
from sora.web.fields import idempotency_key
from sora.web.service import locale, principal, service
from sora.wire import FORMATS

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")


def stream(
    source: Iterable[object], *, name: str, format: str, on_disconnect: str | None, timeout: float | None
) -> Response:
    """See `Sora.stream`."""
    if not hasattr(source, "__iter__"):
        raise TypeError(
            f"a {type(source).__name__} cannot be iterated; an async generator cannot be streamed"
        )
    if not _NAME.fullmatch(name) or name in service().engine.kinds:
        raise ValueError(f"{name!r} cannot name a stream: 1 to 32 characters, and none of Sora's own kinds")
    if format not in FORMATS or on_disconnect not in (None, "continue", "cancel"):
        raise ValueError(f"format is one of {', '.join(FORMATS)}, on_disconnect continue or cancel")
    # Their request's context is a copy here, their application's a new one: what `g` and a database session of theirs hold
    # ends with the request, while the generator goes on.
    context = copy_context()
    feed = Feed(source, within=current_app.app_context(), step=context.run)
    try:
        return _answer(feed, name=name, format=format, on_disconnect=on_disconnect, timeout=timeout)
    except BaseException:
        feed.leave()
        raise


def _answer(
    feed: Feed, *, name: str, format: str, on_disconnect: str | None, timeout: float | None
) -> Response:
    who = principal()
    how = streams.Options(format, ids=True, ping=False)
    reads = request.method in ("GET", "HEAD")
    if reads and (answered := streams.come_back(how, who)) is not None:
        feed.leave()
        return answered
    order = Order(
        owner=who.id, kind=name, request=_request(), locale=locale(), on_disconnect=on_disconnect,
        idempotency_key=idempotency_key(),
    )  # fmt: skip
    seconds = service().config.total_timeout if timeout is None else timeout
    pipeline = OwnPipeline(name, feed, on_disconnect="continue", seconds=seconds)
    run, created = service().engine.begin(order, pipeline=pipeline)
    if not created:
        feed.leave()
    if reads:
        return streams.attach(run, how, None, principal=who)
    return streams.answer(run, how, principal=who)


def _request() -> bytes:
    """What tells this request apart from another under the same Idempotency-Key. Reads its body, which the generator then
    finds although the request is over."""
    digest = hashlib.sha256(request.get_data())
    digest.update(
        msgspec.json.encode(list(request.form.items(multi=True)))
    )  # for a body that was parsed already
    return msgspec.json.encode([request.method, request.full_path, digest.hexdigest()])
