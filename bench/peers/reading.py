"""The floor of a relay that understands what it passes on: bare.py, with each line decoded, its text kept and framed anew.

One thread, epoll, the C libraries that Sora uses (httptools, msgspec), and nothing else: no greenlets, deadlines, cancels,
numbers, second readers, journal, or token to check.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from urllib.parse import urlsplit

import httptools
import msgspec

_SIZE = 65_536
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Delta(msgspec.Struct, gc=False):
    content: str | None = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta


class Chunk(msgspec.Struct, gc=False):
    choices: list[Choice]


_decode = msgspec.json.Decoder(Chunk).decode


class Stream:
    """One answer: what came in of a line, and the texts so far."""

    def __init__(self, client: socket.socket, upstream: socket.socket) -> None:
        self.client, self.upstream = client, upstream
        self.texts: list[str] = []
        self.parser = httptools.HttpResponseParser(self)
        self.rest = b""
        self.over = False

    def on_headers_complete(self) -> None:
        self.client.sendall(_HEAD)

    def on_body(self, body: bytes) -> None:
        *lines, self.rest = (self.rest + body).split(b"\n")
        frames = []
        for line in lines:
            if line.startswith(b"data: {"):
                for choice in _decode(line[6:]).choices:
                    if text := choice.delta.content:
                        self.texts.append(text)
                        frames.append(b"data: %b\n\n" % text.encode())
        if frames:
            data = b"".join(frames)
            self.client.sendall(b"%X\r\n%b\r\n" % (len(data), data))

    def on_message_complete(self) -> None:
        self.client.sendall(b"0\r\n\r\n")
        self.over = True


def main() -> None:
    """Serves 127.0.0.1:PORT, the only argument, for ever."""
    model = urlsplit(os.environ["OPENAI_BASE_URL"])
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=16_384)
    poller = select.epoll()
    poller.register(listener.fileno(), select.EPOLLIN)
    upstreams: dict[int, Stream] = {}  # by descriptor
    clients: dict[int, Stream] = {}

    while True:
        for fd, _ in poller.poll():
            if (stream := upstreams.get(fd)) is not None:
                data = stream.upstream.recv(_SIZE)
                stream.parser.feed_data(data)
            elif (stream := clients.get(fd)) is not None:
                data = stream.client.recv(_SIZE)
                stream.upstream.sendall(data)
            elif fd == listener.fileno():
                client, _ = listener.accept()
                upstream = socket.create_connection((model.hostname, model.port))
                stream = Stream(client, upstream)
                upstreams[upstream.fileno()] = clients[client.fileno()] = stream
                for end in client, upstream:
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    poller.register(end.fileno(), select.EPOLLIN)
                continue
            if stream is not None and (stream.over or not data):
                del upstreams[stream.upstream.fileno()], clients[stream.client.fileno()]
                stream.client.close()
                stream.upstream.close()


if __name__ == "__main__":
    main()
