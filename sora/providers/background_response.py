"""A background response as it is told on request, and what its events say beyond those of any other."""

from __future__ import annotations

import msgspec

from sora.providers.data_line import decoder
from sora.providers.response_event import Annotation, Response


class Part(msgspec.Struct):
    """A piece of a message: its text or its refusal; or a piece of a reasoning summary."""

    text: str | None = None
    refusal: str | None = None
    annotations: list[Annotation] | None = None


class Item(msgspec.Struct):
    type: str | None = None
    content: list[Part] | None = None
    summary: list[Part] | None = None


class Whole(Response):
    """A response as it is now. status: queued, in_progress, completed, incomplete, failed or cancelled."""

    status: str = ""
    output: list[Item] | None = None

    @property
    def over(self) -> bool:
        return self.status not in ("queued", "in_progress")

    @property
    def text(self) -> str:
        """What its deltas were, joined."""
        return "".join(part.text or part.refusal or "" for part in self._parts)

    @property
    def reasoning(self) -> str:
        return "".join(
            "\n\n".join(part.text or "" for part in item.summary or item.content or ())
            for item in self.output or ()
            if item.type == "reasoning"
        )

    @property
    def citations(self) -> list[Annotation]:
        return [cited for part in self._parts for cited in part.annotations or ()]

    @property
    def _parts(self) -> list[Part]:
        return [part for item in self.output or () if item.type == "message" for part in item.content or ()]


class Named(msgspec.Struct, gc=False):
    id: str | None = None


class Numbered(msgspec.Struct, gc=False):
    """An event's place in its response, and which response that is, where it says so."""

    sequence_number: int | None = None
    response: Named | None = None


decode_whole = decoder(Whole)
decode_numbered = decoder(Numbered)


def beyond(said: str, whole: str) -> str | None:
    """What `whole` has after `said`; None when it does not begin so. A pair of surrogates may be cut between them."""
    # In UTF-16 a cut pair and a whole one are the same.
    before, after = (text.encode("utf-16-le", "surrogatepass") for text in (said, whole))
    return after[len(before) :].decode("utf-16-le", "surrogatepass") if after.startswith(before) else None
