"""Going on with a run whose worker died, where its answer is made in the background."""

from __future__ import annotations

import logging
from _thread import start_new_thread
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from sora import metrics
from sora.engine.generation import Call, Drawn, Generated, Upstream
from sora.engine.pipeline import Pipeline
from sora.engine.producer import Producer
from sora.errors import Interrupted
from sora.events import EXTRAS, Delta, Event, Progress, Reasoning, Usage, text_of
from sora.store.runs import Run

if TYPE_CHECKING:
    from sora.engine.engine import Engine

logger = logging.getLogger(__name__)

_TAKEOVERS = 5  # a run that so many workers have died with is ended
_upstreams = msgspec.json.Decoder(list[Upstream | None])


def can_go_on(engine: Engine, run: Run) -> bool:
    """Whether a run of a worker that is gone can be gone on with."""
    return (
        run.upstream is not None
        and not run.cancel_requested
        and run.epoch <= _TAKEOVERS
        and engine.pipeline(run.kind) is not None
    )


def go_on(engine: Engine, run: Run, events: Sequence[Event]) -> None:
    """Go on with a run that is ours now, and whose log holds these events. Raises StaleEpoch, StoreError."""
    pipeline = engine.pipeline(run.kind)
    assert pipeline is not None and run.upstream is not None
    heir = Heir(engine, run, pipeline, engine.store.request_of(run), events, _upstreams.decode(run.upstream))
    engine.log.begin(run.id, run.owner, epoch=run.epoch)
    engine.producers[run.id] = heir
    engine.worker.fresh.add(run.id)
    metrics.active_runs.inc()
    logger.warning("run %s: its worker died; going on with it", run.id)
    start_new_thread(heir.produce, ())


def abandon(engine: Engine, run: Run) -> None:
    """Have what is still made for a run stopped upstream: it has ended without."""
    upstreams = _upstreams.decode(run.upstream) if run.upstream is not None else []
    if upstreams and upstreams[-1] is not None:
        engine.provider.abandon(upstreams[-1])


class Heir(Producer):
    """A producer that carries out its pipeline's steps from the beginning, and logs only what its run's log does not hold.

    Its model calls go on with what the upstream makes already, from the first piece: what was logged of the text must be its
    beginning, else the run ends as interrupted. Of everything else as many are left out as were logged of the kind. The total
    deadline is still the run's own, by the wall clock; but to connect there is always time, for what has long been whole.
    """

    def __init__(
        self,
        engine: Engine,
        run: Run,
        pipeline: Pipeline,
        request: bytes,
        events: Sequence[Event],
        upstreams: Sequence[Upstream | None],
    ) -> None:
        super().__init__(engine, run, pipeline, request)
        config = engine.config
        self._started_at -= min(run.age, max(config.total_timeout - config.connect_timeout, 0.0))
        self.upstreams = list(upstreams)
        self._known = list(upstreams)
        self._text = text_of(events)
        self._told = 0  # characters of it that were told again
        self._logged = sum(1 for event in events if type(event) is Delta)
        self._thought = sum(len(event.text) for event in events if type(event) is Reasoning)
        self._others = Counter(_kind(event) for event in events)
        self._extras = [event for event in events if isinstance(event, EXTRAS)]
        self._usage = next((event for event in reversed(events) if type(event) is Usage), None)

    def _generate(self) -> tuple[Event, str | None, str | None, str]:
        ended = super()._generate()
        if self._told < len(self._text):
            # What the log holds is the answer's, however far this one came.
            self._texts.append(self._text[self._told :])
            if ended[-1] == "completed":
                return self._failed(Interrupted("the answer is shorter than it was"), "interrupted")
        return ended

    def _model_call(self, number: int) -> Call:
        call = super()._model_call(number)
        call.known = self._known[number] if number < len(self._known) else None
        call.begun = self._told < len(self._text)
        if call.known is None and (call.begun or number < len(self._known)):
            raise Interrupted("what was answered is not known any more")
        return call

    def _draw(self, drawn: Drawn) -> Generated:
        raise Interrupted("nobody else has these pieces")

    def _said(self, texts: list[str]) -> list[Event]:
        events: list[Event] = []
        for text in texts:
            if self._told < len(self._text):
                again = text[: len(self._text) - self._told]
                if not self._text.startswith(again, self._told):
                    raise Interrupted("the upstream has another text now")
                self._told += len(again)
                self._texts.append(again)
                text = text[len(again) :]
            if text:
                events.append(Delta(self._logged, text))
                self._logged += 1
                self._texts.append(text)
        return events

    def _absorb(self, texts: list[str]) -> bool:
        return False  # it may have been told already

    def _append(self, events: Sequence[Event]) -> None:
        if fresh := [new for event in events if (new := self._new(event)) is not None]:
            super()._append(fresh)
        else:
            self._check()

    def _new(self, event: Event) -> Event | None:
        """What of an event the log does not hold."""
        if type(event) is Delta:
            return event
        if type(event) is Reasoning:
            again = min(self._thought, len(event.text))
            self._thought -= again
            return Reasoning(event.text[again:]) if again < len(event.text) else None
        kind = _kind(event)
        if self._others[kind] > 0:
            self._others[kind] -= 1
            return None
        return event


def _kind(event: Event) -> object:
    """What makes an event the one that was logged: its type; of a progress, all of it."""
    return event if type(event) is Progress else type(event)
