"""The floor: the least that a relay in Python can do. One thread, epoll; bytes go from one socket to the other as they are."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
from urllib.parse import urlsplit

_SIZE = 65_536


def main() -> None:
    """Serves 127.0.0.1:PORT, the only argument, for ever."""
    model = urlsplit(os.environ["OPENAI_BASE_URL"])
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=16_384)
    poller = select.epoll()
    poller.register(listener.fileno(), select.EPOLLIN)
    peers: dict[
        int, tuple[socket.socket, socket.socket]
    ] = {}  # descriptor -> its socket, and the other end's

    while True:
        for fd, _ in poller.poll():
            if fd == listener.fileno():
                client, _ = listener.accept()
                upstream = socket.create_connection((model.hostname, model.port))
                for here, there in (client, upstream), (upstream, client):
                    here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    peers[here.fileno()] = here, there
                    poller.register(here.fileno(), select.EPOLLIN)
            elif fd in peers:
                here, there = peers[fd]
                data = b""
                with contextlib.suppress(OSError):
                    data = here.recv(_SIZE)
                    there.sendall(data)
                if not data:
                    for end in here, there:
                        del peers[end.fileno()]
                        end.close()


if __name__ == "__main__":
    main()
