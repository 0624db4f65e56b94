"""A real nginx with the project's own configuration; only ports, paths and the user are replaced."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import process
from tests.support.waiting import wait_until

_DIST = process.ROOT / "frontend" / "dist"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx. `tls_url` is None unless it was given a certificate."""

    port: int
    tls_port: int | None
    directory: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str | None:
        return f"https://127.0.0.1:{self.tls_port}" if self.tls_port else None

    def reload(self) -> None:
        """Has it read its configuration again: new workers take over, old ones end with their streams."""
        os.kill(self._pid, signal.SIGHUP)

    def worker_pids(self) -> list[int]:
        return process.children(self._pid)

    @property
    def _pid(self) -> int:
        return int((self.directory / "nginx.pid").read_text())

    def log_text(self) -> str:
        """All its logs: access, errors, and what it printed."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.directory.glob("*.log")))


def binary() -> str | None:
    """nginx, also where a user's PATH does not lead; None without."""
    return shutil.which(
        "nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    )


@contextmanager
def nginx(
    *upstream_ports: int, certificate: tuple[Path, Path] | None = None, dist: Path = _DIST
) -> Iterator[Nginx]:
    """Runs nginx before the servers on `upstream_ports`; a `certificate` (chain, key) turns TLS on. `dist` is where it looks for
    the built app."""
    program = binary()
    assert program is not None, "nginx is not installed"
    with tempfile.TemporaryDirectory(prefix="sora-nginx-") as name:
        directory = Path(name)
        server = Nginx(process.free_port(), process.free_port() if certificate else None, directory)
        _write_configuration(server, upstream_ports, certificate, dist)
        output = directory / "output.log"
        running = process.start(
            [program, "-c", directory / "nginx.conf", "-p", directory, "-g", "daemon off;"],
            log=output,
            cwd=directory,
            death_signal=signal.SIGTERM,
        )
        try:
            wait_until(
                lambda: running.poll() is not None or process.listening(server.port), timeout=10, what="nginx"
            )
            assert running.poll() is None, output.read_text()
            yield server
        finally:
            process.stop(running, timeout=5)


def _write_configuration(
    server: Nginx, upstream_ports: tuple[int, ...], certificate: tuple[Path, Path] | None, dist: Path
) -> None:
    directory = server.directory
    lines = "\n".join(f"    server 127.0.0.1:{port};" for port in upstream_ports)
    temporary = "".join(f"    {name}_temp_path {directory / name};\n" for name in _TEMPORARY)
    replacements = {
        "user www-data;": f"user {getpass.getuser()};" if os.geteuid() == 0 else "",
        "worker_processes auto;": "worker_processes 1;",
        "/run/nginx.pid": f"{directory}/nginx.pid",
        "/var/log/nginx": str(directory),
        "/etc/nginx/conf.d": str(directory),
        "http {\n": f"http {{\n{temporary}",
        "    server 127.0.0.1:8000;": lines,
        "/opt/sora/frontend/dist": str(dist),
        "listen 80;": f"listen 127.0.0.1:{server.port};",
    }
    if certificate is not None:
        replacements |= {
            "# include /etc/nginx/sora-tls.conf;": f"include {directory}/sora-tls.conf;",
            "listen 443 ": f"listen 127.0.0.1:{server.tls_port} ",
            "/etc/nginx/tls/sora.pem": str(certificate[0]),
            "/etc/nginx/tls/sora.key": str(certificate[1]),
        }
    unused = set(replacements)
    for source in sorted((process.ROOT / "nginx").glob("*.conf")):
        text = source.read_text()
        for old, new in replacements.items():
            if old in text:
                unused.discard(old)
                text = text.replace(old, new)
        (directory / source.name).write_text(text)
    assert not unused, f"no longer in nginx/: {sorted(unused)}"
