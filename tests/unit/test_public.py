"""What `import sora` gives."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import sora
from tests.support.process import ROOT


def test_every_public_name_is_there_typed_and_explained() -> None:
    assert sora.__all__ == ["Principal", "Sora", "create_app"]
    for name in sora.__all__:
        assert inspect.getdoc(getattr(sora, name))
    assert resources.files("sora").joinpath("py.typed").is_file()
    with pytest.raises(AttributeError):
        _ = sora.nothing  # type: ignore[attr-defined]


def test_the_package_itself_imports_nothing_heavy() -> None:
    """gunicorn imports `sora.serving`, and with it this package, before the patch."""
    program = (
        "import sora, sys; assert not {'flask', 'sqlalchemy', 'openai', 'gevent', 'ssl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_the_types_of_a_host_hold(tmp_path: Path) -> None:
    """A generator view keeps its parameters; a call gives a Response."""
    program = """
from collections.abc import Iterator
from flask import Flask, Request, Response
from sora import Principal, Sora, create_app
def who(request: Request) -> Principal | None: return Principal("one")
sora = Sora(Flask(__name__), url_prefix="/ai", principal_loader=who)
@sora.stream
def tell(number: int) -> Iterator[str]: yield str(number)
@sora.stream(name="count", timeout=3)
def count(number: int) -> Iterator[str]: yield str(number)
def view() -> Response: return sora.stream(iter("abc"), format="text", on_disconnect="cancel")
a: Response = tell(7)
b: Response = count(number=7)
tell("seven")  # type: ignore[arg-type]
"""
    path = tmp_path / "host.py"
    path.write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(path)]
    done = subprocess.run(command, cwd=ROOT, timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
