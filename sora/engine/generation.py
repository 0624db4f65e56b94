"""What a pipeline asks of a model, and the port through which a provider answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from sora.events import Metadata, Progress, Reasoning, Result, Source, Usage


class Image(msgspec.Struct, frozen=True):
    """A picture for the model to look at."""

    media_type: str
    content: bytes


class Message(msgspec.Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str
    images: tuple[Image, ...] = ()


class Generate(msgspec.Struct, frozen=True, kw_only=True):
    """One model call: the conversation and its parameters. `models` are tried in this order. With `web_search` the model may
    look things up on the web, where the provider has that. `provider` names another than the usual one; `variables` are what an
    app there fills into a prompt of its own."""

    messages: tuple[Message, ...]
    models: tuple[str, ...]
    max_tokens: int
    temperature: float
    top_p: float
    locale: str = "ko"
    web_search: bool = False
    provider: str = ""
    variables: dict[str, str] = {}


class Finished(msgspec.Struct, frozen=True):
    """The model has said all. finish_reason: stop, length, tool_calls, content_filter or other."""

    finish_reason: str
    model: str


class Drawn(NamedTuple):
    """Pieces that a pipeline has from elsewhere than the provider. `stream` keeps the promises of `Provider.stream`; `seconds`
    is its only deadline: whoever makes the pieces knows how long they may be silent."""

    stream: Callable[[Call], Iterator[Sequence[Piece]]]
    seconds: float


class Generated(NamedTuple):
    """What a pipeline gets back from a Generate or a Drawn: the whole text, why it ended, and who wrote it; what it cost, and
    the monotonic time of its first text, if any. `cited` is what the model of a Generate named: the pipeline says which of it
    are the run's sources."""

    text: str
    finish_reason: str
    model: str
    cited: Sequence[Source] = ()
    usage: Usage | None = None
    first_at: float | None = None


class Upstream(msgspec.Struct, frozen=True):
    """An answer that its provider makes in the background, whoever listens: its id there, and the model it is by."""

    id: str
    model: str


# A provider's output: str is a piece of the answer, Progress tells of a retry.
Piece = str | Reasoning | Progress | Source | Usage | Metadata | Result | Finished


class Provider(Protocol):
    """A model API. As little as that, so that a transport may do what it likes underneath."""

    def stream(self, request: Generate, call: Call) -> Iterator[Sequence[Piece]]:
        """The answer as it arrives, in batches: pieces that arrived together come together.

        Order is the upstream's; the last piece is Finished, exactly once, unless an error is raised. Blocks between batches,
        cooperatively under gevent, never beyond the deadlines of `call`. The text is as the upstream sent it (lone
        surrogates and NUL are the engine's business). Closing the iterator closes the upstream at once.
        Raises UpstreamError, UpstreamTimeout, UpstreamRateLimited or ContentFilter, and CallCancelled after `call.cancel()`.
        Retries and fallbacks happen inside, before the first piece of text only, each told by a Progress.

        With `call.note` the answer may be made in the background: then it is noted as soon as its id is known, and goes on
        upstream when the iterator is closed. With `call.known` that answer's pieces come, from the first on; also raises
        Interrupted when the upstream does not have it any more, or has another text than it had.
        """
        ...

    def abandon(self, upstream: Upstream) -> None:
        """Have an answer in the background stopped: nobody wants it any more. Does not block and does not raise."""
        return


class CallCancelled(BaseException):
    """The call was cancelled. A BaseException, so that no `except Exception` on the way swallows it."""


class Call:
    """A model call under way: its deadlines, and the means to stop it from any thread at once.

    The provider asks `remaining()` before each blocking step, says `progressed()` for each token, and sets `on_cancel` to
    whatever unblocks the thread that is waiting for the upstream. Deadlines are monotonic.
    """

    _lock = threading.Lock()  # one for all, there may be thousands: nothing is done while it is held

    def __init__(
        self,
        *,
        connect: float,
        first_token: float,
        gap: float,
        total: float,
        note: Callable[[Upstream], None] | None = None,
        known: Upstream | None = None,
    ) -> None:
        now = time.monotonic()
        self.connect = connect
        self.note = note  # is told of an answer in the background; None: nobody could go on with one
        self.known = known  # the answer to go on with
        self.cancelled = False
        self.begun = False  # a token has arrived, here or before somebody else died
        #: What takes text that needs nobody's thread (greenlet), with a first token gone before: a provider that has nothing else
        #: may offer it there, at the moment it arrives; what is not taken goes the ordinary way. It does not block or raise.
        self.absorb: Callable[[list[str]], bool] | None = None
        self._gap = gap
        self._first_token = first_token
        self._silence_ends = now + first_token
        self._total_ends = now + total
        self._on_cancel: Callable[[], None] | None = None

    def progressed(self) -> None:
        """A token has arrived: the next one has the whole gap."""
        self.begun = True
        self._silence_ends = time.monotonic() + self._gap

    def restarted(self) -> None:
        """Another try begins: it has the whole time to its first token (the total deadline stays)."""
        self._silence_ends = time.monotonic() + self._first_token

    @property
    def ends(self) -> float:
        """The next deadline, in monotonic time."""
        return min(self._silence_ends, self._total_ends)

    def remaining(self) -> float:
        """Seconds until the next deadline; zero or less: it has passed."""
        return self.ends - time.monotonic()

    def on_cancel(self, close: Callable[[], None] | None) -> None:
        """What `cancel` must do to unblock the provider, or None. Raises CallCancelled when it is too late."""
        with self._lock:
            self._on_cancel = close
            if self.cancelled and close is not None:
                raise CallCancelled
            # The provider sets this before it blocks, so a cancel can never fall between.

    def check(self) -> None:
        """Raises CallCancelled once `cancel` was called."""
        if self.cancelled:
            raise CallCancelled

    def cancel(self) -> None:
        """Stop the call from any thread, at once; calling it again does nothing."""
        with self._lock:
            if self.cancelled:
                return
            self.cancelled = True
            close = self._on_cancel
        if close is not None:
            close()
