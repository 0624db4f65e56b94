"""What a model gets to see of a conversation: as much of its end as the budget holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from sora.engine.generation import Message

_ENVELOPE = 4  # tokens that a message costs beside its words
_IMAGE = 1000  # what an image costs, roughly: models differ


class Said(Protocol):
    """A message of the past."""

    @property
    def role(self) -> Literal["user", "assistant"]: ...
    @property
    def content(self) -> str: ...


def tokens(text: str) -> int:
    """About how many tokens a model reads in a text, rather too many than too few: four ASCII characters are one, and so is
    each Hangul syllable or other character of three bytes (tokenizers of today need 0.6 to 0.9 for one)."""
    ascii_only = len(text.encode("ascii", "ignore"))
    others = len(text.encode("utf-8", "replace")) - ascii_only
    return -(-ascii_only // 4) + -(-others // 3)


def fitted(turns: Sequence[Said], *, system: str, question: Message, budget: int) -> tuple[Message, ...]:
    """The messages for a model: the system prompt (none if empty), the past, the question; of at most `budget` tokens as
    `tokens` counts them. What does not fit leaves from the beginning, in whole turns: a question goes with its answer. The
    system prompt and the question always stay. Empty messages are left out."""
    left = budget - _cost(question) - (_ENVELOPE + tokens(system) if system else 0)
    kept: list[Message] = []
    turn: list[Message] = []
    for said in reversed(turns):
        if said.content:
            message = Message(said.role, said.content)
            turn.append(message)
            left -= _cost(message)
            if left < 0:
                break
        if said.role == "user":
            kept += turn
            turn = []
    else:
        kept += turn  # an answer to something that is not there any more
    first = (Message("system", system),) if system else ()
    return (*first, *reversed(kept), question)


def _cost(message: Message) -> int:
    return _ENVELOPE + tokens(message.content) + _IMAGE * len(message.images)
