"""The tables of the README that say what the code says. `python -m tests.support.tables` writes them into it."""

from __future__ import annotations

import configparser
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence

from sora import errors
from sora.config import Config, variable
from tests.support.process import ROOT

README = ROOT / "README.md"

# The reason for each dependency, in one line.
REASONS = {
    "Flask": "the framework Sora is at home in",
    "flask-cors": "CORS headers for the origins that are allowed",
    "Flask-Migrate": "`flask db upgrade`",
    "Flask-SQLAlchemy": "hands the standalone application's tables to Flask-Migrate",
    "SQLAlchemy": "one set of statements for SQLite and PostgreSQL",
    "alembic": "the migrations themselves",
    "click": "the `flask sora` commands",
    "cryptography": "AES-256-GCM for what is at rest",
    "gevent": "thousands of open streams in one process, without a thread for each",
    "gunicorn": "the server; `sora.serving` teaches its workers to drain",
    "httptools": "reads the model's HTTP responses, in C",
    "httpx2": "what `openai` sends through; Sora's transport plugs in here",
    "langchain-core": "the messages and callbacks of LangGraph",
    "langgraph": "the graph of the agent, built-in or one of your own; loaded by the first run of it",
    "msgspec": "one typed JSON encoding per token, in C",
    "numpy": "adds up the scores of a search, tens of thousands in a millisecond; loaded by the first one",
    "openai": "requests, authentication and errors of the model API as its makers define them",
    "prometheus_client": "`/metrics`, over all workers",
    "psycopg2-binary": "PostgreSQL, with waits that gevent can share",
    "PyJWT": "access tokens",
    "pypdfium2": "the text of PDFs, through the PDFium of Chrome",
    "python-calamine": "the cells of XLSX workbooks, in Rust",
}


def tables() -> dict[str, str]:
    """Name of each generated table -> its text."""
    return {"errors": _errors(), "settings": _settings(), "dependencies": _dependencies()}


def inserted(text: str) -> str:
    """The README with its generated tables as they should be."""
    for name, table in tables().items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text, found = between.subn(lambda match, table=table: match[1] + table + match[2], text)  # type: ignore[misc]
        assert found == 1, f"README.md has no place for the table of {name}"
    return text


def dependencies() -> list[str]:
    """What setup.cfg says Sora needs, without versions."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    return re.findall(r"^[\w-]+", setup["options"]["install_requires"], re.MULTILINE)


def error_classes() -> Iterator[type[errors.SoraError]]:
    """The errors that a client can be told of, in the order they are written in."""
    for name in vars(errors).values():
        if (
            isinstance(name, type)
            and issubclass(name, errors.RequestError | errors.RunError)
            and "code" in vars(name)
        ):
            yield name


def _errors() -> str:
    rows = []
    for error in error_classes():
        status = error.status if issubclass(error, errors.RequestError) or error is errors.Internal else ""
        rows.append(
            (f"`{error.code}`", status, "yes" if error.retryable else "", errors.message(error.code, "en"))
        )
    return _table(("code", "HTTP status", "retryable", "means"), rows)


def _settings() -> str:
    rows = []
    for entry in dataclasses.fields(Config):
        default = entry.default
        shown = ",".join(default) if isinstance(default, tuple) else str(default)
        rows.append((f"`{variable(entry.name)}`", f"`{shown}`" if shown else "", entry.metadata["help"]))
    return _table(("setting", "default", ""), rows)


def _dependencies() -> str:
    return _table(("dependency", "why"), [(name, REASONS[name]) for name in dependencies()])


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    README.write_text(inserted(README.read_text("utf-8")), "utf-8")
