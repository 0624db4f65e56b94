"""The kind of worker that serves streams here, and a word in the log where it is not made for them."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

_FEW = 16  # threads of a gthread worker that a handful of open pages uses up
_told: set[str] = set()


def look(environ: Mapping[str, Any]) -> None:
    """Warn of what will hold up a stream, or cut it, under this server: once for each, in this process."""
    for problem in problems(environ):
        if problem not in _told:
            _told.add(problem)
            logger.warning(problem)


def problems(environ: Mapping[str, Any]) -> list[str]:
    """What is wrong with streaming from the server of this request. Nothing under a test client, which names no server."""
    if "SERVER_SOFTWARE" not in environ:
        return []
    found = []
    if not environ.get("wsgi.multithread"):
        found.append(
            "this worker serves one request at a time: an open stream blocks it until the stream ends. "
            "Use `gunicorn -c python:sora.serving`, or gthread workers with more threads than open streams"
        )
    worker = _gunicorn_worker() if "gunicorn.socket" in environ else None
    if worker is None:
        return found
    names = [kind.__name__ for kind in type(worker).__mro__]
    if "ThreadWorker" in names and worker.cfg.threads <= _FEW:
        found.append(
            f"this worker has {worker.cfg.threads} threads, and each open stream holds one: with as many streams open it answers "
            "nothing else. Raise --threads, or use `gunicorn -c python:sora.serving`"
        )
    if "StreamWorker" not in names:
        found.append(
            "this worker does not drain: what it streams when it is stopped ends as interrupted, with what was written "
            "down until then. `gunicorn -c python:sora.serving` lets streams end first"
        )
    return found


def _gunicorn_worker() -> Any:
    """gunicorn's worker of this process: nothing in a request leads to it, but it is who handles the process's TERM."""
    return getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
