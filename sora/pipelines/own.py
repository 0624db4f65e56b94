"""A run of the host's own: any generator of text or events, made for one run."""

from __future__ import annotations

import logging
import sys
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy.orm import Session

from sora.engine.generation import Call, Drawn, Piece
from sora.engine.pipeline import Ended, Steps
from sora.engine.signal import Signal
from sora.errors import Internal, UpstreamTimeout
from sora.pipelines.pieces import Pieces, typed
from sora.store.attachments import Attachment
from sora.store.runs import Run

logger = logging.getLogger(__name__)

_AHEAD = 64  # pieces that a generator may be ahead of its run
_LOOK = 60.0  # seconds
_END = object()


class OwnPipeline:
    """Streams a feed, and keeps nothing but what every run keeps: its text."""

    def __init__(self, kind: str, feed: Feed, *, on_disconnect: str, seconds: float) -> None:
        self.kind = kind
        self.on_disconnect = on_disconnect
        self._feed = feed
        self._seconds = seconds

    def begin(self, session: Session, run: Run, request: bytes, files: Sequence[Attachment]) -> None:
        """The feed is all there is."""

    def steps(self, run: Run, request: bytes) -> Steps:
        try:
            yield Drawn(self._feed.stream, self._seconds)
        finally:
            self._feed.leave()

    def save(self, session: Session, ended: Ended) -> None:
        """The run is all there is."""


class Feed:
    """An iterable of somebody else's, drawn on a thread (greenlet) of its own: a cancel, a deadline and a drain need not wait
    for it.

    `within` is entered for as long as it is drawn, and `step` calls everything: in what surroundings is for the caller to say.
    The iterable is closed, on that thread, when it ends or is not wanted any more: under gevent at once, by a GreenletExit
    where it waits; on a thread as soon as it comes back with its next item.
    """

    def __init__(
        self, items: Iterable[object], *, within: AbstractContextManager[Any], step: Callable[..., Any]
    ) -> None:
        self._items = items
        self._iterator: Any = None
        self._within = within
        self._step = step
        self._ready: deque[Piece] = deque()
        self._filled, self._taken = Signal.new(), Signal.new()
        self._error: BaseException | None = None
        self._begun = self._ended = self._left = False
        self._greenlet: Any = None

    def stream(self, call: Call) -> Iterator[Sequence[Piece]]:
        """Its pieces, in batches, as `Provider.stream` promises them."""
        try:
            call.on_cancel(self._filled.set)
            self._begun = True
            start_new_thread(self._draw, ())
            while True:
                batch, ended = self._take(call)
                if batch:
                    yield batch
                elif ended:
                    break
                else:
                    call.check()
                    raise UpstreamTimeout("deadline passed")
            if self._error is not None:
                raise typed(self._error) or (
                    self._error
                    if isinstance(self._error, Exception)
                    else Internal(type(self._error).__name__)
                )
        finally:
            call.on_cancel(None)
            self.leave()

    def leave(self) -> None:
        """Nobody wants it any more. Idempotent, never blocks for it."""
        if self._left:
            return
        self._left = True
        self._taken.set()
        if not self._begun:
            self._close()
        elif not self._ended and self._greenlet is not None:
            self._greenlet.kill(block=False)

    def put(self, pieces: Sequence[Piece]) -> None:
        """What the iterable says by itself, before its next item. Only on the thread that draws it; blocks while it is ahead."""
        self._ready += pieces
        self._filled.set()
        while len(self._ready) >= _AHEAD and not self._left:
            self._taken.wait(_LOOK)

    def _take(self, call: Call) -> tuple[list[Piece], bool]:
        """What is ready, waited for until the deadline or a cancel, and whether there is no more."""
        while not (self._ready or self._ended or call.cancelled) and (seconds := call.remaining()) > 0:
            self._filled.wait(seconds)
        ended = self._ended
        batch = [self._ready.popleft() for _ in range(len(self._ready))]
        self._taken.set()
        return batch, ended

    def _draw(self) -> None:
        self._greenlet = _this_greenlet()
        error: BaseException | None = None
        try:
            self._step(self._within.__enter__)
            try:
                self._draw_all()
            finally:
                self._close()
                self._step(self._within.__exit__, None, None, None)
        except BaseException as failure:
            error = failure
        self._error, self._ended = error, True
        self._filled.set()

    def _draw_all(self) -> None:
        pieces = Pieces()
        self._iterator = self._step(iter, self._items)
        while not self._left:
            item = self._step(next, self._iterator, _END)
            if item is _END:
                self.put(pieces.end())
                return
            self.put(pieces.of(item))

    def _close(self) -> None:
        for one in (self._iterator, self._items):
            close = getattr(one, "close", None)
            if close is not None:
                try:
                    self._step(close)
                except Exception as error:
                    logger.warning("closing a generator failed: %s", type(error).__name__)


def _this_greenlet() -> Any:
    """The greenlet that runs this, if it is one that can be ended from outside."""
    gevent = sys.modules.get("gevent")
    current = gevent.getcurrent() if gevent is not None else None
    return current if hasattr(current, "kill") else None
