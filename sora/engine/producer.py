"""The producer of one run: drives its pipeline, appends to the log, and brings the run to its end."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import msgspec

from sora import metrics
from sora.engine.cleaner import Cleaner
from sora.engine.generation import Call, CallCancelled, Drawn, Finished, Generate, Generated, Piece, Upstream
from sora.engine.pipeline import Ended, Pipeline
from sora.errors import (
    ContentFilter,
    Internal,
    Interrupted,
    LogError,
    RunError,
    StaleEpoch,
    StoreError,
    message,
)
from sora.events import (
    EXTRAS,
    TERMINAL,
    Cancelled,
    Delta,
    Done,
    Error,
    Event,
    Extra,
    Progress,
    Source,
    Started,
    Usage,
)
from sora.store.runs import Ending, Run

if TYPE_CHECKING:
    from sora.engine.engine import Engine

logger = logging.getLogger(__name__)

_BACKOFF = (0.1, 0.25, 0.5, 1.0)  # seconds between two tries to save; the last one repeats


class Producer:
    """One run under way in this process. `run` is its whole life, on a thread (greenlet) of its own.

    Any thread may `cancel`, `interrupt` or `drop` it; only its own thread appends and ends the run.
    """

    def __init__(self, engine: Engine, run: Run, pipeline: Pipeline, request: bytes) -> None:
        self.run = run
        self.reads_elsewhere = 0  # signs of other workers' readers, as of our last look
        # When a reader was last seen leaving, here or elsewhere; None: never.
        self.left_at: float | None = None
        self.saving: Progress | None = None  # what readers are told while the ending cannot be saved
        self.upstreams: list[Upstream | None] = []  # of its model calls, those in the background
        self._calls = 0  # model calls begun
        self._answered = 0  # those of them that have their answer
        self._engine = engine
        self._pipeline = pipeline
        self._request = request
        self._call: Call | None = None
        self._stop = ""  # why it must stop: cancelled, interrupted or dropped
        self._stopped = threading.Event()
        self._cleaner = Cleaner()
        self._texts: list[str] = []
        self._extras: list[Extra] = []
        self._usage: Usage | None = None
        self._model: str | None = None
        self._started_at = time.monotonic()
        self._first_at: float | None = None
        self._ending: tuple[Event, Ending] | None = None  # what is to be saved
        self._spooling = False

    @property
    def heritable(self) -> bool:
        """Whether another worker can go on with the run, which is not saving its end yet."""
        return bool(self.upstreams) and self._ending is None

    def cancel(self) -> None:
        """End the run as cancelled, with what it holds."""
        self._halt("cancelled")

    def interrupt(self) -> None:
        """End the run as interrupted: its process is going away."""
        self._halt("interrupted")

    def drop(self) -> None:
        """Forget the run: it belongs to another worker now."""
        self._stop = "dropped"
        self._halt("dropped")

    def spool(self) -> None:
        """The database is away and the process must go: stop trying, keep the ending on disk. Its readers are cut.

        Done by the caller's thread: the producer's own may still wait for a database that does not answer."""
        self._spooling = True
        self._stopped.set()
        ending, self._ending = self._ending, None
        if ending is None:
            return
        terminal, values = ending
        try:
            events = self._engine.recovery.events(self.run)
        except (StoreError, LogError):
            return  # the run is not ours any more
        if events and type(events[-1]) in TERMINAL:
            return  # it was saved at the last moment
        events.append(terminal)
        self._engine.spool.put(self.run, replace(values, last_seq=len(events)), events)
        metrics.spooled.inc()
        for reader in self._engine.readers.of(self.run.id):
            reader.leave("shutdown")

    def _halt(self, why: str) -> None:
        self._stop = self._stop or why
        call = self._call
        if call is not None:
            call.cancel()
        if why == "dropped":
            self._stopped.set()

    def produce(self) -> None:
        """The run, from its first event to its last. Never raises."""
        try:
            terminal, finish_reason, error_code, status = self._generate()
            if self._stop == "dropped":
                return
            self._finish(
                terminal,
                Ending(
                    status,
                    "".join(self._texts),
                    0,
                    finish_reason,
                    error_code,
                    self._usage,
                    self._model,
                    tuple(self._extras),
                ),
            )
        except LogError:
            # The epoch is not ours any more; whoever took it ends the run. What our readers saw may not be in it: they are
            # cut, and come back to what is.
            logger.warning("run %s: taken over by another worker", self.run.id)
            for reader in self._engine.readers.of(self.run.id):
                reader.leave("shutdown")
            self._engine.log.drop(self.run.id, epoch=self.run.epoch)
        except Exception as error:
            logger.error("run %s: producer failed: %s\n%s", self.run.id, type(error).__name__, _frames(error))
            # Recovery ends it with what the journal holds.
            self._engine.recovery.doubt(self.run.id, hopeless=True)
            self._engine.log.drop(self.run.id)
        finally:
            self._engine.produced(self)

    def _generate(self) -> tuple[Event, str | None, str | None, str]:
        """Everything but the terminal event, which is returned with finish reason, error code and status."""
        finish_reason = "stop"
        steps = self._pipeline.steps(self.run, self._request)
        try:
            self._append([Started(self.run.kind)])
            answer: Generated | None = None
            while True:
                try:
                    step = steps.send(answer)
                except StopIteration:
                    break
                if isinstance(step, Generate | Drawn):
                    answer = self._call_model(step) if isinstance(step, Generate) else self._draw(step)
                    finish_reason = answer.finish_reason
                else:
                    answer = None
                    self._append([step])
            return Done(finish_reason), finish_reason, None, "completed"
        except CallCancelled:
            if self._stop == "cancelled":
                self._abandon()
                return Cancelled(), None, None, "cancelled"
            return self._failed(Interrupted(), "interrupted")
        except RunError as error:
            return self._failed(error, "interrupted" if isinstance(error, Interrupted) else "failed")
        except LogError:
            raise
        except Exception as error:
            logger.error("run %s: pipeline failed: %s\n%s", self.run.id, type(error).__name__, _frames(error))
            return self._failed(Internal(), "failed")
        finally:
            steps.close()

    def _failed(self, error: RunError, status: str) -> tuple[Event, str | None, str | None, str]:
        metrics.errors.labels(error.code).inc()
        logger.warning("run %s: %s: %s", self.run.id, error.code, error)
        reason = "content_filter" if isinstance(error, ContentFilter) else "error"
        return (
            Error(error.code, message(error.code, self.run.locale), error.retryable),
            reason,
            error.code,
            status,
        )

    def _call_model(self, request: Generate) -> Generated:
        number, self._calls = self._calls, self._calls + 1
        answer = self._carry_out(partial(self._engine.provider.stream, request), self._model_call(number), [])
        self._answered = self._calls
        return answer

    def _model_call(self, number: int) -> Call:
        """The call for the model call of this number, from 0."""
        config = self._engine.config
        return Call(
            connect=config.connect_timeout,
            first_token=config.first_token_timeout,
            gap=config.gap_timeout,
            total=config.total_timeout - (time.monotonic() - self._started_at),
            note=partial(self._note, number) if config.background else None,
        )

    def _note(self, number: int, upstream: Upstream) -> None:
        """Let another worker know where this model call can be gone on with."""
        missing: list[Upstream | None] = [None] * (number - len(self.upstreams))
        self.upstreams = [*self.upstreams[:number], *missing, upstream]
        self._engine.worker.note(self.run.id, msgspec.json.encode(self.upstreams).decode())

    def _abandon(self) -> None:
        """Have the answer stopped upstream that is still made for us, whether or not we have come to ask for it yet."""
        if len(self.upstreams) > self._answered and (upstream := self.upstreams[-1]) is not None:
            self._engine.provider.abandon(upstream)

    def _draw(self, drawn: Drawn) -> Generated:
        seconds = drawn.seconds - (time.monotonic() - self._started_at)
        return self._carry_out(
            drawn.stream, Call(connect=seconds, first_token=seconds, gap=seconds, total=seconds)
        )

    def _carry_out(
        self,
        stream: Callable[[Call], Iterator[Sequence[Piece]]],
        call: Call,
        cited: list[Source] | None = None,
    ) -> Generated:
        """`cited` gets the sources in the place of the log."""
        self._call = call
        self._check()
        start, finished = len(self._texts), Finished("other", "")
        usage, first_at = None, None
        pieces = stream(call)
        try:
            for batch in pieces:
                events: list[Event] = []
                for piece in batch:
                    if isinstance(piece, str):
                        events += self._said(self._cleaner.feed([piece]))
                    elif isinstance(piece, Finished):
                        finished = piece
                    elif isinstance(piece, Source) and cited is not None:
                        cited.append(piece)
                    else:
                        if isinstance(piece, Usage):
                            self._usage = usage = piece
                        events.append(piece)
                if events:
                    if first_at is None and len(self._texts) > start:
                        first_at = time.monotonic()
                        if cited is not None:
                            call.absorb = self._absorb
                    self._append(events)
        finally:
            self._call = call.absorb = None
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
            if tail := self._said(self._cleaner.end()):
                self._engine.log.append(self.run.id, self.run.epoch, tail)
        self._model = finished.model or None
        text = "".join(self._texts[start:])
        return Generated(text, finished.finish_reason, finished.model, cited or (), usage, first_at)

    def _said(self, texts: list[str]) -> list[Event]:
        """The events of these texts, which the answer has from now on."""
        if texts and self._first_at is None:
            self._first_at = time.monotonic()
            metrics.first_token.labels(self.run.kind).observe(self._first_at - self._started_at)
        events: list[Event] = [*map(Delta, count(len(self._texts)), texts)]
        self._texts += texts
        return events

    def _absorb(self, texts: list[str]) -> bool:
        """Append text while our own thread waits for more (Call.absorb)."""
        if self._stop:
            return False
        events = self._said(self._cleaner.feed(texts))
        try:
            if events:
                self._engine.log.append(self.run.id, self.run.epoch, events)
        except LogError:
            return False  # our own thread tries again, hears of it too, and ends
        return True

    def _append(self, events: Sequence[Event]) -> None:
        # What came with a cancellation is not lost: it was produced, and the text holds it.
        self._extras += [event for event in events if isinstance(event, EXTRAS)]
        self._engine.log.append(self.run.id, self.run.epoch, events)
        self._check()

    def _check(self) -> None:
        if self._stop:
            raise CallCancelled

    def _finish(self, terminal: Event, ending: Ending) -> None:
        """Save and end the run; while the database is away readers are told, and it is tried until it works."""
        attempt = 0
        saves = True
        self._ending = terminal, ending
        while self._stop != "dropped":
            try:
                won = self._end(terminal, ending, saves=saves)
            except StoreError:
                metrics.save_retries.inc()
                if self.saving is None:
                    # Not an event of the log: the number it would take may be the terminal event's, if the commit did happen.
                    self.saving = Progress(
                        "save", "saving", "in_progress", message("saving", self.run.locale)
                    )
                    self._engine.readers.tell(self.run.id, self.saving)
                self._stopped.wait(_BACKOFF[min(attempt, len(_BACKOFF) - 1)])
                if self._spooling:
                    self.spool()  # if it has not been
                    return
                attempt += 1
                continue
            except LogError:
                raise
            except Exception as error:
                if not saves:
                    raise
                # The pipeline could not save: the run says so and keeps the text, if need be without its pipeline.
                saves = ending.status != "failed"
                logger.error(
                    "run %s: could not save: %s\n%s", self.run.id, type(error).__name__, _frames(error)
                )
                terminal, reason, code, status = self._failed(Internal(), "failed")
                ending = replace(ending, status=status, finish_reason=reason, error_code=code)
                self._ending = terminal, ending
                continue
            if won:
                self._engine.log.append(self.run.id, self.run.epoch, [terminal])
                self._count(ending.status)
            else:
                # It has ended already, in our epoch (our own commit's reply was lost): readers get what the journal says.
                self._engine.log.drop(self.run.id)
            return

    def _end(self, terminal: Event, ending: Ending, *, saves: bool) -> bool:
        """False: it has ended already. Raises StaleEpoch when another worker has taken it."""
        engine = self._engine
        with engine.database.write() as session:
            last = engine.log.stage(session, self.run.id, self.run.epoch, terminal)
            if not engine.store.end(
                session, self.run, replace(ending, last_seq=last), ttl=engine.config.run_ttl
            ):
                row = engine.store.find(session, self.run.id)
                if row is not None and row.epoch != self.run.epoch:
                    raise StaleEpoch
                session.rollback()
                return False
            if saves:
                self._pipeline.save(
                    session, Ended(self.run, self._request, ending.status, ending.text, ending.extras)
                )
        return True

    def _count(self, status: str) -> None:
        kind, count = self.run.kind, len(self._texts)
        metrics.runs_ended.labels(kind, status).inc()
        metrics.deltas.labels(kind).inc(count)
        if self._first_at is not None and count > 1:
            seconds = max(time.monotonic() - self._first_at, 1e-6)
            metrics.per_token.labels(kind).observe(seconds / (count - 1))
            metrics.tokens_per_second.labels(kind).observe((count - 1) / seconds)
        if self._usage is not None:
            metrics.tokens.labels(kind, "input").inc(self._usage.input_tokens)
            metrics.tokens.labels(kind, "output").inc(self._usage.output_tokens)


def _frames(error: BaseException) -> str:
    """Where it happened, without what was said: an exception's message may hold somebody's words."""
    return "".join(traceback.format_tb(error.__traceback__)).rstrip()
