"""gunicorn's settings, hooks and worker class: `gunicorn -c python:sora.serving wsgi:app`.

The standard library is patched for gevent by the first statement, in the master: before fork, before anything else is imported.
On TERM and HUP a worker lets its streams run on to their end; shortly before `graceful_timeout` what remains is saved as
interrupted and ended with a frame. gunicorn itself would kill the worker at that moment without a word.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import errno  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import resource  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from types import TracebackType  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402
from urllib.parse import quote  # noqa: E402

import gevent  # noqa: E402
import msgspec  # noqa: E402
from gunicorn import util  # noqa: E402
from gunicorn.glogging import Logger  # noqa: E402
from gunicorn.workers.base import Worker  # noqa: E402
from gunicorn.workers.ggevent import GeventWorker  # noqa: E402

from sora.config import load, require_secrets  # noqa: E402
from sora.engine.loop import Loop  # noqa: E402
from sora.errors import MESSAGES, ConfigError  # noqa: E402
from sora.garbage import Collector  # noqa: E402

if TYPE_CHECKING:
    from sora.engine.engine import Engine

# Which greenlet began which is kept with each of them, more than a KiB of it; nothing here asks.
gevent.config.track_greenlet_tree = False

_config = load()

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WORKERS", "2"))
worker_class = "sora.serving.StreamWorker"
logger_class = "sora.serving.Log"
# Above the admission limit, which answers in words; a connection beyond this one would wait in silence.
worker_connections = 2 * (_config.max_runs or 10_000) + 1_000
keepalive = 75  # longer than nginx keeps its connections, so that nginx never uses one that is being closed
timeout = 60  # seconds without a turn of the worker's main greenlet
graceful_timeout = _config.graceful_timeout
limit_request_line = (
    0  # a GET may carry a history of 30 Korean turns; 0 lifts gunicorn's 8190, and is bounded at 1 MiB there
)
limit_request_field_size = 65_536
control_socket_disable = True
# Whom to believe about the client is said by SORA_TRUSTED_PROXIES alone; gunicorn would believe everybody on this machine.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
accesslog = "-"
access_log_format = (
    '%(h)s "%(m)s %(U)s" %(s)s %(B)s %(M)sms'  # neither query nor referer: both may hold people's words
)

_METRICS = _config.instance.resolve() / f"metrics-{os.getpid()}"
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_METRICS)

_TICKET = re.compile(r"/(tickets|chat/stream)/.*?(/events)?$", re.DOTALL)
_PLAIN = "/!$&'()*+,;=:@~"  # what a path may hold as it is (RFC 3986, 3.3)
_OURS = "wsgi:app"
_NOTICE = 0.1  # seconds between two looks whether the worker was told to go
_IDLE = 1.0  # seconds after which a kept-alive connection is closed when the worker has to go
_SWITCH = 0.0005  # seconds after which a thread that works beside the hub gives the interpreter back
_COLLECT = 1.0  # seconds between two looks whether it is a good moment for a full collection
_MARGIN = 2.0  # seconds that a drain ends before the master kills


def on_starting(server: Any) -> None:
    """Room for the workers' numbers and for their sockets; a missing secret stops the start here, not in each worker."""
    try:
        if getattr(server.app, "app_uri", "") == _OURS:  # what another application has is for it to say
            require_secrets(_config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    if _config.auth == "guest" and (open_to := [at for at in map(_shown, server.cfg.address) if at]):
        server.log.warning(
            "게스트 모드: %s 에 접속하는 누구나 모든 일기를 읽고 지울 수 있습니다. SORA_AUTH=required 로 막으세요. · "
            "Guest mode: whoever can reach %s reads and deletes all diaries. SORA_AUTH=required asks for tokens.",
            *[", ".join(open_to)] * 2,
        )
    _METRICS.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in _METRICS.parent.glob("metrics-*"):
        pid = folder.name.removeprefix("metrics-")
        if pid == str(os.getpid()) or not os.path.exists(f"/proc/{pid}"):
            shutil.rmtree(folder, ignore_errors=True)
    _METRICS.mkdir()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def on_exit(server: Any) -> None:
    shutil.rmtree(_METRICS, ignore_errors=True)


def post_worker_init(worker: Worker) -> None:
    """The worker's engines begin at once: what a dead worker left is looked for before the first request."""
    log = logging.getLogger("sora")
    log.handlers = list(worker.log.error_log.handlers)
    log.setLevel(worker.log.error_log.level)
    log.propagate = False
    for engine in _engines():
        engine.start()
    # After Python's own 5 ms each socket that the hub writes to while a thread works aside would be 5 ms late.
    sys.setswitchinterval(_SWITCH)
    collector = Collector(lambda: not any(engine.producers for engine in _engines()))
    Loop("garbage", _COLLECT, collector.step).start()


def child_exit(server: Any, worker: Worker) -> None:
    """A dead worker's gauges no longer count."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _engines() -> list[Engine]:
    from sora.engine.engine import engines

    return list(engines)


def _refuse(client: Any, status: int, reason: str, detail: str) -> None:
    """What is not HTTP, or too much of it, is refused by gunicorn itself: in our form, in both languages since nothing says
    which is wanted, and without `detail`, which repeats what was sent."""
    code = "too_large" if status in (414, 431) else "internal" if status >= 500 else "invalid_request"
    body = msgspec.json.encode({"success": False, "error": " ".join(MESSAGES[code]), "code": code})
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    util.write_nonblock(client, b"%bContent-Length: %d\r\n\r\n%b" % (head.encode(), len(body), body))


util.write_error = _refuse  # there is no hook for it


class StreamWorker(GeventWorker):  # type: ignore[misc]
    """A gevent worker that drains: its end waits for the engine's, within `graceful_timeout`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: set[_Idle] = set()
        self._drained = False

    def load_wsgi(self) -> None:
        from sora.push import pushing

        super().load_wsgi()
        self.wsgi: Any = pushing(self.wsgi)

    def run(self) -> None:
        gevent.spawn(self._drain)
        super().run()
        while not self._drained:
            self.notify()
            gevent.sleep(_NOTICE)

    def timeout_ctx(self) -> _Idle:
        return _Idle(self._idle, self.cfg.keepalive)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """INT and QUIT: at once, but what the runs hold is saved."""

        def quit() -> None:
            for engine in _engines():
                engine.stop(grace=2.0)
            super(GeventWorker, self).handle_quit(sig, frame)

        gevent.spawn(quit)

    def _drain(self) -> None:
        while self.alive:
            gevent.sleep(_NOTICE)
        ends = time.monotonic() + self.cfg.graceful_timeout - _MARGIN
        closing = gevent.spawn(self._close_idle)
        # gunicorn closes the listeners at its next turn, once a second; whoever comes in until then is not turned away.
        while any(listener.fileno() >= 0 for listener in self.sockets):
            gevent.sleep(_NOTICE)
        try:
            grace = max(1.0, ends - time.monotonic())
            gevent.joinall([gevent.spawn(engine.stop, grace=grace) for engine in _engines()])
        finally:
            self._drained = True
            closing.join(timeout=_IDLE)

    def _close_idle(self) -> None:
        """Kept-alive connections would hold the worker until they time out."""
        while True:
            for idle in list(self._idle):
                if time.monotonic() - idle.since > _IDLE:
                    idle.end()
            gevent.sleep(_NOTICE)


class _Idle(gevent.Timeout):  # type: ignore[misc]
    """The wait for a connection's next request: at most `keepalive` seconds, and it can be ended before."""

    def __init__(self, waiting: set[_Idle], seconds: float) -> None:
        super().__init__(seconds, False)
        self.since = time.monotonic()
        self._waiting = waiting
        self._greenlet: Any = None

    def __enter__(self) -> _Idle:
        self._greenlet = gevent.getcurrent()
        self._waiting.add(self)
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._waiting.discard(self)
        ended: bool | None = super().__exit__(kind, value, trace)
        return ended

    def end(self) -> None:
        """End the wait at the loop's next turn, unless a request comes first: leaving the block stops the timer."""
        self._waiting.discard(self)
        self.close()
        self.timer = gevent.get_hub().loop.timer(0.0)
        self.timer.start(self._on_expiration, self._greenlet, self)


class Log(Logger):  # type: ignore[misc]
    """gunicorn's log without what people wrote: no query, no ticket, no exception's message."""

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        if self.cfg.access_log_format == access_log_format:
            # What it names, and no more: the next request waits while gunicorn gathers every header and the whole environ.
            atoms = {
                "h": environ.get("REMOTE_ADDR", "-"),
                "m": environ.get("REQUEST_METHOD"),
                "U": environ.get("PATH_INFO"),
                "s": str(resp.status).split(None, 1)[0],
                "B": resp.sent,
                "M": int(request_time.total_seconds() * 1000),
            }
        else:
            atoms = super().atoms(resp, req, environ, request_time)
        # The path comes decoded: as it is, it could hold a line of its own.
        atoms["U"] = quote(_masked(atoms.get("U") or ""), safe=_PLAIN, encoding="latin-1")
        return atoms

    def debug(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        # At this level gunicorn tells every request's path, and in its errors what was sent.
        shown = (type(arg).__name__ if isinstance(arg, Exception) else arg for arg in args)
        super().debug(msg, *(_masked(arg) if isinstance(arg, str) else arg for arg in shown), **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, TimeoutError) or (isinstance(error, OSError) and error.errno == errno.ETIMEDOUT):
            self.error_log.info("a client stopped reading and was dropped")
            return
        frames = "".join(traceback.format_tb(error.__traceback__)) if error is not None else ""
        self.error_log.error("%s: %s\n%s", str(msg).split(" %s")[0], type(error).__name__, frames.rstrip())

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        if str(msg).startswith("Invalid request from"):
            msg = str(msg).split(": ")[0]
        super().warning(msg, *args, **kwargs)


def _shown(address: Any) -> str:
    """Where we can be reached from other machines; empty for an address that only this one has."""
    if not isinstance(address, tuple) or address[0] in ("localhost", "::1") or address[0].startswith("127."):
        return ""
    return f"{address[0]}:{address[1]}"


def _masked(path: str) -> str:
    """The path without the ticket in it."""
    return _TICKET.sub(r"/\1/***\2", path)
