"""The events of a run: plain values, equal by value, without any I/O.

A run's events are numbered 1, 2, 3 … without a gap. The first is `Started`, the last is terminal (`Done`, `Error` or
`Cancelled`). `Reset` is never in a log: only a reader can get it. They are msgspec structs rather than dataclasses
because one is made for every token: frozen and slotted as well, but made, compared and encoded in C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What happened in a run. The tag (`type_of`) is its name on the wire."""


class Started(Event, frozen=True, array_like=True, gc=False, tag="started"):
    """The run's producer has begun."""

    kind: str


class Progress(Event, frozen=True, array_like=True, gc=False, tag="progress"):
    """A stage of the work, for people to see. status: in_progress, completed or failed."""

    node: str
    stage: str
    status: str
    message: str


class Reasoning(Event, frozen=True, array_like=True, gc=False, tag="reasoning"):
    """A piece of the model's reasoning; not part of the answer."""

    text: str


class Delta(Event, frozen=True, array_like=True, gc=False, tag="delta"):
    """A piece of the answer; `index` counts deltas from 0."""

    index: int
    text: str


class Source(Event, frozen=True, array_like=True, tag="source"):
    """Something the answer rests on; after the last delta."""

    url: str
    title: str


class Metadata(Event, frozen=True, array_like=True, tag="metadata"):
    data: dict[str, Any]


class Usage(Event, frozen=True, array_like=True, gc=False, tag="usage"):
    """What the run cost, in tokens, as the provider counted them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class Result(Event, frozen=True, array_like=True, tag="result"):
    data: dict[str, Any]


class Done(Event, frozen=True, array_like=True, gc=False, tag="done"):
    finish_reason: str


class Error(Event, frozen=True, array_like=True, gc=False, tag="error"):
    code: str
    message: str
    retryable: bool


class Cancelled(Event, frozen=True, array_like=True, gc=False, tag="cancelled"):
    pass


class Reset(Event, frozen=True, array_like=True, gc=False, tag="reset"):
    """Drop what came after `seq`: a crash took it back. For one reader, never in a log."""

    seq: int


type_of: dict[type[Event], str] = {
    cls: str(cls.__struct_config__.tag)
    for cls in (
        Started, Progress, Reasoning, Delta, Source, Metadata, Usage, Result, Done, Error, Cancelled, Reset,
    )
}  # fmt: skip

Logged = (
    Started | Progress | Reasoning | Delta | Source | Metadata | Usage | Result | Done | Error | Cancelled
)

TERMINAL = frozenset((Done, Error, Cancelled))  #: the types that nothing comes after

Extra = Source | Metadata | Result
EXTRAS = (Source, Metadata, Result)  #: what a run says beside its text, kept as long as that

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Logged])


def encode(events: Sequence[Event]) -> bytes:
    """The events as compact JSON, for a log's storage. Text must be free of lone surrogates."""
    return _encoder.encode(events)


def decode(payload: bytes) -> list[Event]:
    """What `encode` was given. Raises msgspec.DecodeError for anything else."""
    return list(_decoder.decode(payload))


def text_of(events: Sequence[Event]) -> str:
    """The answer in these events: their deltas joined."""
    return "".join([event.text for event in events if type(event) is Delta])


class Cursor(NamedTuple):
    """A position in a run's log, exclusive: everything up to and including `seq`, as of `epoch`, was received."""

    epoch: int
    seq: int


ORIGIN = Cursor(1, 0)


class Span(msgspec.Struct, frozen=True):
    """Consecutive events of one epoch: `events[i]` has the sequence number `first + i`."""

    epoch: int
    first: int
    events: Sequence[Event]

    @property
    def end(self) -> Cursor:
        return Cursor(self.epoch, self.first + len(self.events) - 1)


class Shared(Span, frozen=True):
    """A span that several readers get at once. `frames` holds what one of them has made of it, for the others."""

    frames: dict[object, bytes] = {}  # a new one each: msgspec copies it
