"""`flask sora …`: start it for development, make a token, show the settings, simulate a model.

The commands come to Flask through the entry point `flask.commands`, so that they are there before there is an
application, and before there are the secrets without which there is none.
"""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from sora import cli_knowledge, cli_outbox, cli_upkeep
from sora.config import DEVELOPMENT_FILE, Config, load, read_development
from sora.errors import ConfigError

group = AppGroup("sora", help="Sora: LLM answers that outlive the connection.")
group.add_command(cli_outbox.group)
for command in (
    cli_upkeep.rotate_keys,
    cli_upkeep.purge,
    cli_upkeep.doctor,
    cli_knowledge.ingest,
    cli_knowledge.embed,
    cli_knowledge.list_documents,
    cli_knowledge.search,
):
    group.add_command(command)

# Where the front ends that one develops are served: create-react-app and Next.js, Vite.
_DEVELOPMENT_ORIGINS = ",".join(
    f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 5173)
)
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 10.0
_FORWARDED = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM, signal.SIGHUP: signal.SIGTERM}


@group.command(with_appcontext=False)
@click.option(
    "--host", envvar="HOST", default="127.0.0.1", show_default=True, help="Address to listen on (HOST)."
)
@click.option("--port", envvar="PORT", default=8000, show_default=True, help="Port to listen on (PORT).")
@click.option("--workers", envvar="WORKERS", default=2, show_default=True, help="Worker processes (WORKERS).")
def serve(host: str, port: int, workers: int) -> None:
    """Run Sora for development, with everything it needs.

    Makes secrets of its own under the instance path (guest mode), brings the database up to date, and answers with
    the simulator when no model API is configured. A first start like that takes the sample documents of the checkout in.
    """
    _require_free(host, port)
    config = _settings()
    first = not config.database_url and not (config.instance / DEVELOPMENT_FILE).exists()
    _make_development(config.instance)
    for name, value in read_development(config.instance).items():
        os.environ.setdefault(name, value)
    with ExitStack() as stack:
        simulated = not (config.openai_api_key or config.openai_base_url)
        if simulated:
            url = stack.enter_context(_simulator())
            os.environ["SORA_OPENAI_BASE_URL"] = url
            if not config.dify_base_url:
                os.environ |= {
                    "SORA_DIFY_BASE_URL": url,
                    "SORA_DIFY_KEY_T": "app-thinking",
                    "SORA_DIFY_KEY_F": "app-feeling",
                }
        _migrate()
        if first and simulated:
            _take_in_samples()
        server = stack.enter_context(
            _child(
                "gunicorn",
                "-c",
                "python:sora.serving",
                "--bind",
                f"{host}:{port}",
                "--workers",
                str(workers),
                "wsgi:app",
            )
        )
        stopping = _forward_signals(server)
        url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{port}"
        if _wait(f"{url}/readyz", server):
            _announce(url, _settings(), simulated=simulated)
        elif not stopping:
            raise click.ClickException("서버가 시작되지 않았습니다. · The server did not start.")
        code = server.wait()
    sys.exit(code)


@group.command(with_appcontext=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8100, show_default=True, help="Port to listen on; 0: any free one.")
def simulate(host: str, port: int) -> None:
    """Run the OpenAI-compatible simulator alone."""
    from sora.simulator import serve

    serve(host, port)


@group.command(with_appcontext=False)
@click.option("--name", required=True, help="The user's name. The same name is always the same user.")
@click.option("--hours", default=24.0, show_default=True, help="How long the token is good.")
@click.option("--role", default="USER", show_default=True, help="What the user may do: SORA_UPLOAD_ROLES.")
def token(name: str, hours: float, role: str) -> None:
    """Print an access token, and nothing else."""
    from sora.web.auth import Tokens

    config = _settings()
    if not config.jwt_secret:
        raise click.ClickException(
            "SORA_JWT_SECRET이 없습니다. `make run`을 한 번 실행하면 개발용이 만들어집니다. · "
            "SORA_JWT_SECRET is not set; running `make run` once makes one for development."
        )
    try:
        click.echo(Tokens(config).issue(name, hours=hours, role=role))
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


@group.command("config", with_appcontext=False)
def show_config() -> None:
    """Print every setting, with secrets hidden."""
    rows = list(_settings().rows())
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, help in rows:
        click.echo(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {help}")


@group.command("db-upgrade")
def db_upgrade() -> None:
    """Make Sora's tables in this application's database, or bring them up to date.

    For an application that took Sora in; the standalone one has `flask db upgrade`.
    """
    from flask import current_app

    from sora.store import schema

    migrate = current_app.extensions.get("migrate")
    standalone = migrate is not None and migrate.directory == str(schema.MIGRATIONS)
    table = "alembic_version" if standalone else schema.VERSION_TABLE
    schema.upgrade(current_app.extensions["sora"].engine.database, version_table=table)


def _settings() -> Config:
    try:
        return load(development=True)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"{host}:{port} 에서 시작할 수 없습니다. 다른 PORT를 써 보세요. · "
                f"Cannot listen there ({error.strerror}). Try another PORT."
            ) from None


def _make_development(instance: Path) -> None:
    """Keep the development settings that neither the environment nor an earlier start has given."""
    made = {
        "SORA_AUTH": "guest",
        "SORA_JWT_SECRET": secrets.token_urlsafe(48),
        "SORA_ENCRYPTION_KEYS": f"dev:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "SORA_ALLOWED_ORIGINS": _DEVELOPMENT_ORIGINS,
    }
    present = read_development(instance)
    lines = [
        f"{name}={value}\n"
        for name, value in made.items()
        if name not in present and not os.environ.get(name)
    ]
    instance.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with open(os.open(instance / DEVELOPMENT_FILE, flags, 0o600), "a", encoding="utf-8") as file:
        file.writelines(lines)


def _migrate() -> None:
    from flask_migrate import upgrade

    from sora.app import create_app

    try:
        with create_app().app_context():
            upgrade()
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def _take_in_samples() -> None:
    """So that the knowledge base has an answer to the first question."""
    samples = Path(__file__).parents[1] / "docs" / "samples"
    if samples.is_dir():
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "sora", "ingest", str(samples)]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)


@contextmanager
def _simulator() -> Iterator[str]:
    """A simulator on a free port, until the end of the block; its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with _child("sora.simulator", "--port", str(port), "--with-parent") as simulator:
        if not _wait(f"http://127.0.0.1:{port}/healthz", simulator):
            raise click.ClickException("시뮬레이터가 시작되지 않았습니다. · The simulator did not start.")
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def _child(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python module as a child process, ended with the block."""
    # In a session of its own Ctrl-C reaches it through us alone: the simulator must outlive the server's last words.
    child = subprocess.Popen([sys.executable, "-m", module, *arguments], start_new_session=True)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _forward_signals(server: subprocess.Popen[bytes]) -> list[int]:
    """Pass on what asks us to stop; the list that comes back holds what was passed on so far."""
    passed: list[int] = []

    def forward(number: int, frame: Any) -> None:
        passed.append(number)
        server.send_signal(_FORWARDED[signal.Signals(number)])

    for number in _FORWARDED:
        signal.signal(number, forward)
    return passed


def _wait(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the URL answers; False when the process ends first, or it takes too long."""
    deadline = time.monotonic() + _START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
    return False


def _announce(url: str, config: Config, *, simulated: bool) -> None:
    from sora.web import pages

    sign_in = (
        "" if config.auth == "guest" else """ -H "Authorization: Bearer $(make -s token USER_NAME=보라)\""""
    )
    diary = '{"body":"오늘은 비가 와서 창밖을 오래 보았다.","type":"F","reviewDate":"2026-01-20"}'
    click.echo(f"\n  Sora · {url}")
    if simulated:
        click.echo(
            "  모델 API가 설정되지 않아 시뮬레이션된 답을 보냅니다. · No model API is set: answers are simulated."
        )
        click.echo("  (SORA_OPENAI_API_KEY 또는 · or SORA_OPENAI_BASE_URL)")
    if pages.built(config) is None:
        click.echo(
            "  앱이 만들어져 있지 않아 간단한 페이지를 보입니다. Node.js 20.19 이상과 npm으로 만들며, 그 밖의 것은 모두 됩니다. ·"
        )
        click.echo(
            "  The app was not built, a simple page stands in: it takes npm and Node.js 20.19 or newer. All else works."
        )
    click.echo(f"\n  curl -N{sign_in} -H 'Content-Type: application/json' -d '{diary}' {url}/stream/review\n")
