"""The way out: a reader follows one run's log from a cursor and yields bytes in one wire format."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, Protocol

import msgspec

from sora import metrics
from sora.engine.log import EventLog
from sora.engine.signal import Signal
from sora.errors import Internal, LogExpired, NotFound, StoreError, message
from sora.events import (
    ORIGIN,
    TERMINAL,
    Cancelled,
    Cursor,
    Delta,
    Done,
    Error,
    Event,
    Extra,
    Reset,
    Shared,
    Span,
    Started,
)
from sora.store.crypto import UnreadableError
from sora.store.runs import Run
from sora.wire import sse
from sora.wire.encoder import Encoder

logger = logging.getLogger(__name__)

_LIMIT = 1000  # events in one write
_LOOK_AGAIN = 0.5  # seconds between two tries to read a log that does not answer
_BEFORE_CUT = 0.2  # seconds between the frame of a failure and the cut; at once, a proxy would lose the frame


class Sink(Protocol):
    """A client's socket that can be written to from any greenlet, by one at a time."""

    def offer(self, piece: bytes) -> bytes:
        """Send without waiting; returns what did not go, which goes to `finish` before anything else. Raises OSError."""
        ...

    def finish(self, rest: bytes) -> None:
        """Send the rest of what was offered; blocks cooperatively. Raises OSError."""
        ...


class Reader:
    """One client's view of one run: iterate it for frames, `close` it when the response ends.

    The opening block comes at once, then whatever is in the log after the cursor, all that is ready in one piece, then
    each event as it arrives; a heartbeat after every `heartbeat` seconds of silence. It ends after exactly one
    terminal event, or, without one, when the client is gone; when this process may not serve the run any more, and after a
    failure in a format that `cuts`, it raises ConnectionResetError, so that the end of the body cannot be taken for success.
    Blocks between pieces, cooperatively under gevent; holds no database connection meanwhile.
    """

    def __init__(
        self,
        run: Run,
        encoder: Encoder,
        *,
        log: EventLog,
        cursor: Cursor = ORIGIN,
        ids: bool = True,
        opening_id: str | None = None,
        heartbeat: float = 15.0,
        ping: bool = False,
        until: float | None = None,
        saved: Callable[[], tuple[Run, Sequence[Event]]],
        closed: Callable[[Reader], None],
    ) -> None:
        self.run = run
        self.aside: Event | None = None  # told to this reader alone, without a number
        self.socket: Any = None
        self.socket_fd: int | None = None
        self._encoder = encoder
        self._log = log
        self._cursor = cursor
        self._ids = ids
        self._opening = sse.comment(b"open", id=opening_id.encode() if opening_id else None)
        self._heartbeat = heartbeat
        self._beat = sse.PING if ping else sse.HEARTBEAT
        self._until = until
        self._saved = saved
        self._closed: Callable[[Reader], None] | None = closed
        self._exit = ""
        self._signal = Signal.new()
        self._silent_since = 0.0
        self.sink: Sink | None = None  # set by a server that can be written to without its own greenlet
        self._waiting = False  # caught up and waiting: only then the sink may be offered frames
        self._woken = False
        self._pushed = 0
        self._rest = b""  # what the sink did not take; goes out before anything else
        self._unfollow = log.follow(run.id, self._notice)

    def leave(self, exit: str) -> None:
        """Make the reader end from any thread: `gone` (the client left) or `shutdown` (cut, so that the client resumes)."""
        self._exit = self._exit or exit
        self._signal.set()

    def tell(self, event: Event) -> None:
        """Show this reader an event that is not in the log."""
        self.aside = event
        self._signal.set()

    @property
    def ended(self) -> bool:
        """Whether the client was sent the end of what there is."""
        return self._exit == "ended"

    def close(self) -> None:
        """Stop following; idempotent."""
        closed, self._closed = self._closed, None
        if closed is not None:
            self._unfollow()
            del self._unfollow  # it knows us: together we would wait for the collector
            metrics.pushed.inc(self._pushed)
            metrics.readers_left.labels(self._exit or "gone").inc()
            closed(self)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.steps():
            if piece is None:
                self.wait()
            else:
                yield piece

    def steps(self) -> Iterator[bytes | None]:
        """The same without the waits, which keep less memory where nothing stands between them and the greenlet's begin: at a
        None whoever takes the steps must `wait` before the next."""
        yield self._opening
        self._silent_since = time.monotonic()
        while not self._exit:
            if self._until is not None and time.monotonic() >= self._until:
                self._exit = "deadline"
                chunk, problem = self._problem("unauthorized", "token_expired")
                yield chunk
                self._cut_after(problem)
                return
            chunk, end = self._next()
            if chunk:
                yield chunk
                self._silent_since = time.monotonic()
            if end is not None:
                self._exit = "ended"
                self._cut_after(end)
                return
            if chunk:
                continue
            yield None
            if not self._woken and time.monotonic() - self._silent_since >= self._heartbeat:
                yield self._beat
                self._silent_since = time.monotonic()
        if self._exit == "shutdown":
            raise ConnectionResetError(errno.ECONNRESET, "the reader was cut")

    def _cut_after(self, end: Event) -> None:
        """Break the body off where only that tells the client of a failure."""
        if self._encoder.cuts and type(end) is not Done:
            time.sleep(_BEFORE_CUT)
            raise ConnectionResetError(errno.ECONNRESET, "the run did not end well")

    def wait(self) -> None:
        """Until something may be new or is due, cooperatively; meanwhile frames may be pushed past us."""
        ends = self._silent_since + self._heartbeat
        if self._until is not None:
            ends = min(ends, self._until)
        self._waiting = self.sink is not None
        self._woken = self._signal.wait(ends - time.monotonic())
        self._waiting = False
        if self._rest and self.sink is not None:
            rest, self._rest = self._rest, b""
            self.sink.finish(rest)

    def _notice(self, span: Span | None) -> None:
        """The log has grown. Runs in the appender's thread: it pushes what is ready if it can, else wakes the reader."""
        if span is None or not self._waiting or not self._push(span):
            self._waiting = False
            self._signal.set()

    def _push(self, span: Span) -> bool:
        """Hand what is new to the sink; whether the reader may sleep on. Never blocks or raises."""
        events, seq = span.events, self._cursor.seq
        if span.first != seq + 1 or self._exit or self.aside is not None:
            return False
        if not events or type(events[-1]) in TERMINAL:
            return False  # the reader's own greenlet writes the end, and ends
        try:
            chunk = self._encode(span)
            if chunk and self.sink is not None:
                self._rest = self.sink.offer(chunk)
        except Exception as error:
            if not isinstance(error, OSError):
                logger.error("run %s: push failed: %s", self.run.id, type(error).__name__)
            self._exit = self._exit or "gone"
            return False
        self._cursor = Cursor(span.epoch, seq + len(events))
        if chunk:
            self._pushed += 1
            self._silent_since = time.monotonic()
        return not self._rest

    def _next(self) -> tuple[bytes, Event | None]:
        """All that is ready, and what ended it."""
        aside, self.aside = self.aside, None
        chunk = self._encoder.encode(aside, None) if aside is not None else b""
        try:
            more, end = self._logged()
        except StoreError:
            # The database is away: heartbeats go on, and we look again.
            if not self._exit:
                self._signal.wait(_LOOK_AGAIN)
            return chunk, None
        except (UnreadableError, msgspec.DecodeError) as error:
            logger.error("run %s: log cannot be read: %s", self.run.id, type(error).__name__)
            more, end = self._problem(Internal.code, Internal.code)
        except NotFound:
            more, end = self._problem(NotFound.code, NotFound.code)
        return chunk + more, end

    def _logged(self) -> tuple[bytes, Event | None]:
        """What the log holds after the cursor, and what ended it."""
        try:
            span = self._log.read(self.run.id, self._cursor, _LIMIT)
        except LogExpired:
            return self._replay()
        chunk = b""
        if span.first <= self._cursor.seq:
            chunk, end = self._reset(Cursor(span.epoch, span.first - 1))
            if end is not None:
                return chunk, end
        elif span.first > self._cursor.seq + 1:
            logger.error("run %s: gap in the log after %d", self.run.id, self._cursor.seq)
            return self._problem(Internal.code, Internal.code)
        if not span.events:
            return chunk, None
        chunk += self._encode(span)
        self._cursor = span.end
        last = span.events[-1]
        return chunk, last if type(last) in TERMINAL else None

    def _encode(self, span: Span) -> bytes:
        if not isinstance(span, Shared):
            return self._frames(span)
        # The same events in the same format are the same bytes, for every reader of the run.
        key = type(self._encoder), self._ids
        frames = span.frames.get(key)
        if frames is None:
            frames = span.frames[key] = self._frames(span)
        return frames

    def _frames(self, span: Span) -> bytes:
        encode = self._encoder.encode
        if not self._ids:
            return b"".join(map(encode, span.events, repeat(None)))
        prefix = f"{self.run.id}:{span.epoch}-".encode()
        return b"".join(
            [encode(event, b"%b%d" % (prefix, seq)) for seq, event in enumerate(span.events, span.first)]
        )

    def _reset(self, to: Cursor) -> tuple[bytes, Event | None]:
        """Tell the client to drop what came after `to`; a format that cannot say so ends with `interrupted`."""
        metrics.resets.inc()
        self._cursor = to
        reset = Reset(to.seq)
        if self._encoder.resets:
            return self._encoder.encode(reset, f"{self.run.id}:{to.epoch}-{to.seq}".encode()), None
        return self._encoder.encode(reset, f"{self.run.id}:end".encode() if self._ids else None), reset

    def _replay(self) -> tuple[bytes, Event]:
        """The run from what was saved, its log being gone."""
        run, events = self._saved()
        if self._cursor == Cursor(run.epoch, run.last_seq or 0):
            return b"", events[-1]
        chunk = b""
        if self._cursor.seq > 0:
            chunk, end = self._reset(Cursor(run.epoch, 0))
            if end is not None:
                return chunk, end
        chunk += self._encode(Span(run.epoch, 1, [Started(run.kind)]))
        chunk += self._encode(Span(run.epoch, (run.last_seq or 0) - len(events) + 1, events))
        return chunk, events[-1]

    def _problem(self, code: str, reason: str) -> tuple[bytes, Event]:
        """An error that ends this reader, not its run."""
        error = Error(code, message(reason, self.run.locale), code not in (Internal.code, NotFound.code))
        return self._encoder.encode(error, None), error


def saved_events(run: Run, text: str, extras: Sequence[Extra]) -> list[Event]:
    """The events of a finished run as far as its row can tell: the whole text as one delta, what it said beside, usage,
    and the end."""
    events: list[Event] = []
    if text:
        events.append(Delta(0, text))
    events += extras
    if run.usage is not None:
        events.append(run.usage)
    if run.status == "completed":
        events.append(Done(run.finish_reason or "stop"))
    elif run.status == "cancelled":
        events.append(Cancelled())
    else:
        code = run.error_code or Internal.code
        events.append(Error(code, message(code, run.locale), code not in (Internal.code, "content_filter")))
    return events
