"""Another issuer of tokens: its key pairs, and the server of its JWKS document, which can be as bad as such servers are."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

Mood = Literal["well", "hangs", "trickles", "fails", "babbles", "empty"]


class KeyPair:
    """A key that signs. `kid` None: it has no name."""

    def __init__(self, kid: str | None, algorithm: str = "ES256", *, bits: int = 2048) -> None:
        self.kid, self.algorithm = kid, algorithm
        self.private: Any = (
            ec.generate_private_key(ec.SECP256R1())
            if algorithm == "ES256"
            else rsa.generate_private_key(65537, bits)
        )

    @property
    def pem(self) -> str:
        """The public key."""
        return (
            self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        )

    def jwk(self, **fields: Any) -> dict[str, Any]:
        """The public key as an entry of a JWKS document."""
        reader: Any = ECAlgorithm if self.algorithm == "ES256" else RSAAlgorithm
        entry = reader.to_jwk(self.private.public_key(), as_dict=True)
        return {**entry, **({} if self.kid is None else {"kid": self.kid}), **fields}

    def token(self, owner: str = "owner", **claims: Any) -> str:
        """An access token, good for an hour; a claim given as None is left out."""
        usual = {"sub": owner, "username": "보라", "exp": int(time.time()) + 3600}
        given = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(given, self.private, self.algorithm, headers={"kid": self.kid} if self.kid else {})


class Issuer:
    """A JWKS server in this process. `keys` and `mood` may be changed at any time, `ahead` are the seconds that
    its clock is; `asked` counts requests."""

    def __init__(self, keys: list[KeyPair]) -> None:
        self.keys = keys
        self.mood: Mood = "well"
        self.asked = 0
        self.ahead = 0.0
        self.over = threading.Event()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                issuer.answer(self)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(int(time.time() + issuer.ahead))

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys.json"

    def document(self) -> bytes:
        return json.dumps({"keys": [key.jwk() for key in self.keys]}).encode()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        mood, body = self.mood, self.document()
        if mood == "hangs":
            self.over.wait(60)
            return
        if mood == "babbles":
            body = b"<html>not a document</html>"
        if mood == "empty":
            body = b'{"keys": []}'
        handler.send_response(500 if mood == "fails" else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            for start in range(len(body)) if mood == "trickles" else ():
                handler.wfile.write(body[start : start + 1])
                if self.over.wait(0.1) or self.mood != mood:
                    return
            if mood != "trickles":
                handler.wfile.write(body)
        except OSError:
            pass  # the client has had enough


@contextmanager
def issuer(*keys: KeyPair) -> Iterator[Issuer]:
    """A running JWKS server."""
    running = Issuer(list(keys))
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield running
    finally:
        running.over.set()
        running.server.shutdown()
        thread.join()
        running.server.server_close()
