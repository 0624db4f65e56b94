"""Where a benchmark happens: a folder of its own, the C programs, a model API of our own, and who runs on which core."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import process
from tests.support.nginx import binary
from tests.support.waiting import wait_until

HERE = Path(__file__).resolve().parent
RELAY_CORE = 0
LOAD_CORE = 1
_FILES = 20_000  # descriptors of one process that 9,000 streams through it need, with some to spare


class MissingError(Exception):
    """Something the benchmark needs is not on this machine; the text says what, and how to get it."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Everything below `folder` goes when the benchmark ends. `urls`: the model API by http and by https."""

    folder: Path
    client: Path
    urls: Mapping[str, str]
    authority: Path

    def folder_for(self, name: str) -> Path:
        """A new, empty folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))


@contextmanager
def workspace() -> Iterator[Workspace]:
    """Compiles the programs, starts the model API and moves to its core. Raises MissingError."""
    _require()
    os.sched_setaffinity(0, {LOAD_CORE})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sora-bench-")))
        upstream, client = _compile(folder, "upstream"), _compile(folder, "client")
        port = process.free_port()
        stack.enter_context(
            pinned([upstream, str(port)], core=LOAD_CORE, log=folder / "upstream.log", port=port)
        )
        certificate, key = _certificate(folder)
        tls_port = process.free_port()
        stack.enter_context(_tls(folder, (certificate, key), tls_port, to=port))
        urls = {"http": f"http://127.0.0.1:{port}", "https": f"https://127.0.0.1:{tls_port}"}
        yield Workspace(folder, client, urls, certificate)


@contextmanager
def pinned(
    command: Sequence[str | Path],
    *,
    core: int,
    log: Path,
    port: int,
    env: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """A server on one core, until the end of the block; its process id, once it accepts connections on `port`."""
    server = process.start(["taskset", "-c", str(core), *command], log=log, env={**os.environ, **(env or {})})
    try:
        wait_until(
            lambda: server.poll() is not None or process.listening(port), timeout=60, what=str(command[0])
        )
        if server.poll() is not None:
            raise MissingError(
                f"{command[0]} 이(가) 시작되지 않았습니다 · did not start:\n{log.read_text()[-2000:]}"
            )
        yield server.pid
    finally:
        process.stop(server, timeout=20)


def nginx_configuration(folder: Path, *, server: str, upstream: str, location: str) -> Path:
    """A file with one server on one worker: `server` and `location` hold the lines of those two blocks."""
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(f"""
{"user root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes 1;
worker_rlimit_nofile {_FILES};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections {_FILES}; }}
http {{
{temporary}
access_log off;
client_max_body_size 4m;
upstream model {{ {upstream} keepalive {_FILES}; keepalive_requests 1000000; }}
server {{
{server}
keepalive_requests 1000000;
location / {{
{location}
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_buffering off;
proxy_read_timeout 300s;
}} }} }}
""")
    return path


def nginx() -> Path:
    program = binary()
    if program is None:
        raise MissingError("nginx가 없습니다 · nginx is not installed (apt-get install nginx)")
    return Path(program)


def _require() -> None:
    nginx()
    if shutil.which("gcc") is None:
        raise MissingError("gcc가 없습니다 · gcc is not installed (apt-get install gcc libc6-dev)")
    if shutil.which("taskset") is None:
        raise MissingError("taskset이 없습니다 · taskset is not there (Linux: apt-get install util-linux)")
    if not {RELAY_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise MissingError("CPU 코어 0과 1이 모두 필요합니다 · two cores, 0 and 1, are needed")


def _compile(folder: Path, name: str) -> Path:
    program = folder / name
    done = subprocess.run(
        ["gcc", "-O2", "-o", program, HERE / f"{name}.c"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise MissingError(f"{name}.c 를 컴파일할 수 없습니다 · cannot be compiled:\n{done.stderr}")
    return program


def _tls(folder: Path, certificate: tuple[Path, Path], port: int, *, to: int) -> AbstractContextManager[int]:
    """The model API by TLS: nginx before it, on the core of the load."""
    home = folder / "tls"
    home.mkdir()
    configuration = nginx_configuration(
        home,
        server=f"listen 127.0.0.1:{port} ssl backlog=16384; ssl_certificate {certificate[0]};"
        f" ssl_certificate_key {certificate[1]}; keepalive_timeout 600s;",
        upstream=f"server 127.0.0.1:{to};",
        location="proxy_pass http://model;",
    )
    command: list[str | Path] = [nginx(), "-c", configuration, "-p", home]
    return pinned(command, core=LOAD_CORE, log=home / "log", port=port)


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that is its own authority, and its key. nginx checks names only, never addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Sora's benchmark")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "model.pem", folder / "model.key"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, secret
