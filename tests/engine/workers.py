"""Workers as the tests of the engine have them: several engines on one database, a pipeline to script, and clients."""

from __future__ import annotations

import base64
import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from sora.config import Config
from sora.engine.engine import Engine, Order
from sora.engine.generation import Generate, Message, Provider
from sora.engine.outbox import Deliver
from sora.engine.pipeline import Ended, Pipeline, Steps
from sora.errors import StoreError
from sora.events import Cursor, Event
from sora.pipelines.review import ReviewPipeline
from sora.providers.background import Background
from sora.providers.chat_completions import ChatCompletions
from sora.store.attachments import Attachment
from sora.store.crypto import Keyring
from sora.store.database import Database
from sora.store.models import Base
from sora.store.reviews import ReviewStore
from sora.store.runs import Run
from tests.support.sse import Frame, Parser
from tests.support.waiting import wait_until

KEYRING = Keyring(["k1:" + base64.b64encode(bytes(range(32))).decode()])
OWNER = "보라"
TERMINAL = ("done", "error", "cancelled")

SETTINGS: dict[str, Any] = {
    "openai_api_key": "test",
    "lease": 1.0,
    "journal_interval": 0.05,
    "heartbeat": 0.2,
    "orphan_grace": 0.3,
    "database_timeout": 2.0,
    "provider_retries": 0,
}


class Script:
    """A pipeline whose request is the name of the simulator's script; what it does at the end is the test's."""

    kind = "script"
    on_disconnect = "continue"

    def __init__(
        self,
        *,
        before: Sequence[Event] = (),
        after: Sequence[Event] = (),
        saving: Callable[[Session, Ended], None] = lambda session, ended: None,
    ) -> None:
        self._before, self._after, self._saving = before, after, saving

    def begin(self, session: Session, run: Run, request: bytes, files: Sequence[Attachment]) -> None:
        pass

    def steps(self, run: Run, request: bytes) -> Steps:
        yield from self._before
        yield Generate(
            messages=(Message("user", "안녕 🌱"),),
            models=(request.decode(),),
            max_tokens=100,
            temperature=0.7,
            top_p=0.9,
            locale=run.locale,
        )
        yield from self._after

    def save(self, session: Session, ended: Ended) -> None:
        self._saving(session, ended)


class Unreliable(Database):
    """A database that loses what `loses` says of each write: "" nothing, "reply" the reply to its commit, "commit" all of it."""

    loses: Callable[[], str] = staticmethod(lambda: "")

    @contextmanager
    def write(self) -> Iterator[Session]:
        what = ""
        with super().write() as session:
            yield session
            what = self.loses()
            if what == "commit":
                raise StoreError("lost")
        if what == "reply":
            raise StoreError("lost")


@functools.cache
def _provider(url: str, background: bool) -> Provider:
    """One for all engines: what it costs to make a client is most of a short test."""
    config = Config(**SETTINGS | {"openai_base_url": url, "background": background})
    return Background(config) if background else ChatCompletions(config)


class Workers:
    """Makes engines on one database, each as if in a process of its own; `close` ends them all."""

    def __init__(self, url: str, *, model_url: str, folder: Path) -> None:
        self.url = url
        self._model_url = model_url
        self._folder = folder
        self._engines: list[Engine] = []
        create_tables(url)

    def __call__(
        self,
        *pipelines: Pipeline,
        database: Callable[..., Database] = Database,
        deliver: Deliver | None = None,
        **settings: Any,
    ) -> Engine:
        """A started engine with `Script()` and the review, or these pipelines; it delivers the outbox when told how."""
        config = Config(
            **SETTINGS
            | {
                "database_url": self.url,
                "openai_base_url": self._model_url,
                "instance_path": str(self._folder),
            }
            | settings
        )
        engine = Engine(
            config,
            database=database(config.database, pool=config.database_pool, timeout=config.database_timeout),
            keyring=KEYRING,
            provider=_provider(self._model_url, config.background),
            pipelines=pipelines or (Script(), ReviewPipeline(config, reviews=ReviewStore(KEYRING))),
            deliver=deliver,
        )
        self._engines.append(engine)
        engine.start()
        return engine

    def of(self, count: int) -> list[Engine]:
        """The first so many engines; made when they are not there, so that a test of many examples has the same ones."""
        while len(self._engines) < count:
            self()
        return self._engines[:count]

    def close(self) -> None:
        for engine in self._engines:
            for producer in list(engine.producers.values()):
                producer.interrupt()
        for engine in self._engines:
            engine.stop(grace=2.0)
            engine.database.close()


def create_tables(url: str) -> None:
    database = Database(Config(database_url=url).database)
    Base.metadata.create_all(database.engine)
    database.close()


def die(engine: Engine) -> None:
    """The worker stands still, as if it was stopped or killed: it gives no sign of life and looks at nothing."""
    for loop in engine._loops:
        loop.stop(timeout=5.0)


def kill(engine: Engine) -> None:
    """The worker is gone: it says and reads nothing more, here or upstream. It was made with `Unreliable`."""
    engine.database.loses = lambda: "commit"  # type: ignore[attr-defined]
    die(engine)
    for producer in list(engine.producers.values()):
        producer.drop()


def order(script: str = "sim-n20-d0", *, owner: str = OWNER, **given: Any) -> Order:
    """An order for a run of `Script`."""
    return Order(owner, "script", script.encode(), "ko", **given)


def begin(engine: Engine, script: str = "sim-n20-d0", **given: Any) -> Run:
    return engine.begin(order(script, **given))[0]


def ended(engine: Engine, run: Run, *, timeout: float = 10.0) -> Run:
    """The run's row once it is final."""
    return wait_until(
        lambda: now if (now := engine.get(run.id, owner=run.owner)).final else None,
        timeout=timeout,
        what="the run's end",
    )


def told(engine: Engine, run: Run, count: int) -> None:
    """Returns when at least `count` events of the run are in its producer's log."""
    wait_until(lambda: len(engine.recovery.events(run)) >= count, what=f"{count} events")


class Client:
    """Reads a run on a thread of its own, as a browser would. `frames` are those with data, in order."""

    def __init__(self, engine: Engine, run: Run, **options: Any) -> None:
        self.frames: list[Frame] = []
        self.parser = Parser()
        self.error: BaseException | None = None
        self.reader = engine.read(run, **options)
        self._thread = threading.Thread(target=self._read, name=f"client-{run.id}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for chunk in self.reader:
                self.frames += self.parser.feed(chunk, time.monotonic())
        except Exception as error:
            self.error = error
        finally:
            self.reader.close()

    def end(self, *, timeout: float = 10.0) -> Client:
        """Waits for the end of the stream; whole, unless the test asks `error` itself."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"still reading after {self.events}"
        return self

    def leave(self) -> None:
        """The browser is closed."""
        self.reader.leave("gone")
        self.end()

    def until(self, count: int) -> Client:
        """Waits for at least so many frames."""
        wait_until(lambda: len(self.frames) >= count, what=f"{count} frames, there are {self.events}")
        return self

    @property
    def reading(self) -> bool:
        return self._thread.is_alive()

    @property
    def events(self) -> list[str]:
        return [frame.event for frame in self.frames]

    @property
    def terminals(self) -> list[Frame]:
        return [frame for frame in self.frames if frame.event in TERMINAL]

    @property
    def text(self) -> str:
        """The answer as a client of the native format puts it together."""
        return text_of(self.frames)

    @property
    def cursor(self) -> Cursor:
        """Where an EventSource would go on."""
        return cursor_of(self.parser.last_event_id)


def read(engine: Engine, run: Run, **options: Any) -> Client:
    """A client that has read the run to its end."""
    client = Client(engine, run, **options).end()
    assert client.error is None, repr(client.error)
    return client


def cursor_of(event_id: str) -> Cursor:
    epoch, seq = event_id.rpartition(":")[2].split("-")
    return Cursor(int(epoch), int(seq))


def text_of(frames: Sequence[Frame]) -> str:
    """Deltas joined; a reset drops those after its number."""
    pieces: list[tuple[int, str]] = []
    for frame in frames:
        if frame.event == "delta":
            pieces.append((cursor_of(frame.id).seq, frame.json()["text"]))
        elif frame.event == "reset":
            pieces = [piece for piece in pieces if piece[0] <= frame.json()["seq"]]
    return "".join(text for _, text in pieces)
