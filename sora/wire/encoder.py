"""What a wire format is: a fold over a run's events, from the first, into frames."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sora.events import Event


class Encoder(ABC):
    """Turns one reader's events into bytes; what it says by itself is in the reader's language."""

    #: Whether the format can say `reset`; one that cannot says `interrupted` instead, and the stream ends.
    resets = False
    #: Whether its clients know a failure by a body that breaks off alone: after the frame of one it is cut (WIRE.md D).
    cuts = False

    def __init__(self, locale: str = "ko") -> None:
        self._locale = locale

    @abstractmethod
    def encode(self, event: Event, id: bytes | None) -> bytes:
        """The frames of an event, the id on the last of them; empty when the format drops the event."""
