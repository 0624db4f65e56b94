"""The simulator's own HTTP server: gevent's, with the socket within the reach of a script."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable
from typing import Any

import click
import gevent
from gevent.pywsgi import WSGIHandler, WSGIServer

from sora.simulator.app import create_app
from sora.simulator.player import HANDLER

_PARENT_CHECK = 0.5
_FILES = 65536


class _Handler(WSGIHandler):  # type: ignore[misc]  # gevent has no types
    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, address, server)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ[HANDLER] = self
        return environ


def serve(
    host: str, port: int, *, on_ready: Callable[[str], None] | None = None, with_parent: bool = False
) -> None:
    """Serve the simulator on host:port (port 0: any free one) until SIGINT or SIGTERM. Blocks.

    When it listens, `on_ready` is called with its base URL (`http://host:port/v1`); by default that is
    printed. `with_parent` ends the serving within half a second of the parent process's death, so that a
    killed test run leaves nothing behind. For the main thread, with or without monkey patching.
    Raises OSError when the address can't be bound.
    """
    parent = os.getppid()
    _lift_file_limit()
    server = WSGIServer(
        (host, port),
        create_app(),
        handler_class=_Handler,
        log=None,
        backlog=4096,
        environ={"SERVER_NAME": host},
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, server.stop, 0)
    server.start()
    (on_ready or _print_url)(f"http://{host}:{server.server_port}/v1")
    if with_parent:
        gevent.spawn(_stop_with, parent, server)
    server.serve_forever()


def _print_url(url: str) -> None:
    click.echo(f"OpenAI-compatible simulator: {url}")


def _stop_with(parent: int, server: Any) -> None:
    while os.getppid() == parent:
        gevent.sleep(_PARENT_CHECK)
    server.stop(timeout=0)


def _lift_file_limit() -> None:
    """Let there be thousands of connections, as far as the system allows: the usual soft limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
