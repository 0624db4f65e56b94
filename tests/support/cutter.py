"""A TCP proxy that loses connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def cutting(upstream: int, after: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """A proxy before 127.0.0.1:`upstream` that cuts its first connections after so many bytes of the response, one number for
    each; those that come later go through. Gives its port, and the list of the cuts made."""
    limits, cuts = list(after), list[int]()
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def copy(source: socket.socket, target: socket.socket, limit: int | None) -> None:
        sent = 0
        try:
            while data := source.recv(65536):
                left = len(data) if limit is None else limit - sent
                target.sendall(data[:left])
                sent += len(data)
                if limit is not None and sent >= limit:
                    cuts.append(limit)
                    break
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", upstream))
            limit = limits.pop(0) if limits else None
            pair = [
                threading.Thread(target=copy, args=(client, server, None)),
                threading.Thread(target=copy, args=(server, client, limit)),
            ]
            for thread in pair:
                thread.start()
            threads.append((pair, client, server))

    acceptor = threading.Thread(target=serve)
    acceptor.start()
    try:
        yield listener.getsockname()[1], cuts
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for pair, client, server in threads:
            for end in (client, server):
                try:
                    end.shutdown(socket.SHUT_RDWR)  # a browser keeps idle connections open
                except OSError:
                    pass
            for thread in pair:
                thread.join()
            client.close()
            server.close()
