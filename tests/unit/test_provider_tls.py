"""TLS between bytes and bytes, against the other side of the same library."""

from __future__ import annotations

import datetime
import itertools
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from sora.providers.tls import Tls

NAME = "model.test"
RECORDS = [b"a", b"bc" * 9_000, b"d" * 100]  # the second is more than one record can hold


class Server:
    """The other side: what it has said and not yet been taken is `said`."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._arrived, self._leaving, server_side=True)

    def handshake(self, arrived: bytes) -> bytes:
        self._arrived.write(arrived)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._leaving.read()

    def hear(self, arrived: bytes) -> bytes:
        self._arrived.write(arrived)
        return self._object.read()

    def say(self, contents: Sequence[bytes], *, farewell: bool = False) -> bytes:
        for content in contents:
            self._object.write(content)
        if farewell:
            with pytest.raises(ssl.SSLWantReadError):  # the client's own farewell never comes
                self._object.unwrap()
        return self._leaving.read()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The client's, which trusts the server's certificate, and the server's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), False)
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(
        key, hashes.SHA256()
    )
    pem: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return ssl.create_default_context(cafile=str(pem)), server


def connected(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> tuple[Tls, Server]:
    client, server = Tls(contexts[0], NAME), Server(contexts[1])
    done = client.handshake()
    while not done:
        done = client.handshake(server.handshake(client.seal()))
    assert client.open(server.handshake(client.seal())) == b""  # the session tickets
    return client, server


def test_records_that_arrived_together_come_together(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    client, server = connected(contexts)
    assert client.open(server.say(RECORDS)) == b"".join(RECORDS)
    assert not client.ended


@settings(max_examples=30)  # a handshake each
@given(cuts=st.lists(st.integers(0, 19_000), max_size=6), farewell=st.booleans())
def test_any_cut_of_the_bytes_gives_the_same_content(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], cuts: list[int], farewell: bool
) -> None:
    client, server = connected(contexts)
    said = server.say(RECORDS, farewell=farewell)
    bounds = [0, *sorted(min(cut, len(said)) for cut in cuts), len(said)]
    pieces = [said[start:stop] for start, stop in itertools.pairwise(bounds) if stop > start]
    assert b"".join(client.open(piece) for piece in pieces) == b"".join(RECORDS)
    assert client.ended == farewell


def test_an_end_without_a_farewell_is_one_too(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    client, server = connected(contexts)
    assert client.open(server.say([b"a"])) == b"a"
    assert client.open(b"") == b"" and client.ended


def test_what_is_sealed_the_other_side_opens(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    client, server = connected(contexts)
    assert server.hear(client.seal(b"a question")) == b"a question"
    assert client.seal() == b""


def test_what_was_altered_is_refused(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    client, server = connected(contexts)
    said = bytearray(server.say([b"a"]))
    said[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        client.open(bytes(said))


def test_another_name_is_refused(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    client, server = Tls(contexts[0], "other.test"), Server(contexts[1])
    client.handshake()
    with pytest.raises(ssl.SSLCertVerificationError):
        client.handshake(server.handshake(client.seal()))
