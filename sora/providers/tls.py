"""TLS between bytes and bytes: it knows no socket, so that a connection by TLS is read as every other is."""

from __future__ import annotations

import ssl

_RECORD = 16_384  # bytes of content in one record, at most (RFC 8446, 5.1)


class Tls:
    """The client's side of one TLS connection. Never blocks. Raises ssl.SSLError, and ValueError for a name that no
    certificate can have.

    All that one read of the socket brought is decrypted at once: an SSLSocket hands out one record at a time, which from a
    model is one token, for two system calls each.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self.ended = False  # the peer has said, or shown, that nothing more will come
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._arrived, self._leaving, server_hostname=host)

    def handshake(self, arrived: bytes | None = None) -> bool:
        """Go on with the handshake; whether it is done. What `seal` then has must be sent in either case."""
        if arrived is not None:
            self._take(arrived)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def seal(self, content: bytes | memoryview = b"") -> bytes:
        """What is to be sent: the content, and what TLS itself has to say."""
        while content:
            content = content[self._object.write(content) :]
        return self._leaving.read()

    def open(self, arrived: bytes) -> bytes:
        """The content of what has arrived; `arrived` is empty at the peer's end. Empty when no record is whole yet."""
        self._take(arrived)
        contents: list[bytes] = []
        try:
            while not self.ended and (self._arrived.pending or not arrived):
                content = self._object.read(_RECORD)
                self.ended = not content
                contents.append(content)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLEOFError:
            # Without a farewell, as many servers do; whether the answer was whole is for its own framing to say.
            self.ended = True
        return contents[0] if len(contents) == 1 else b"".join(contents)

    def _take(self, arrived: bytes) -> None:
        if arrived:
            self._arrived.write(arrived)
        else:
            self._arrived.write_eof()
