"""The application in this process, on both databases, with the simulator as its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from sora import create_app
from sora.store.models import Base
from sora.web.service import Service
from tests.support.client import JWT_SECRET
from tests.support.server import ENCRYPTION_KEYS
from tests.support.simulator import Simulator
from tests.support.web import Api

StartApp = Callable[..., Flask]


@contextmanager
def running(app: Flask) -> Iterator[Flask]:
    """The application with its tables; its engine is stopped at the end."""
    service: Service = app.extensions["sora"]
    try:
        Base.metadata.create_all(service.engine.database.engine)
        yield app
    finally:
        service.engine.stop(grace=1.0)
        service.engine.database.close()


@pytest.fixture
def start_app(database_url: str, simulator: Simulator, tmp_path: Path) -> Iterator[StartApp]:
    """Makes an application; the arguments are settings, by their names in `Config`."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Flask:
            usual = {
                "database_url": database_url,
                "openai_base_url": simulator.url,
                "model": "sim-n12-d0",
                "jwt_secret": JWT_SECRET,
                "encryption_keys": ENCRYPTION_KEYS,
                "instance_path": str(tmp_path / "instance"),
            }
            given = {f"SORA_{name.upper()}": value for name, value in (usual | settings).items()}
            return stack.enter_context(running(create_app(given)))

        yield start


@pytest.fixture
def app(start_app: StartApp) -> Flask:
    return start_app()


@pytest.fixture
def bora(app: Flask) -> Api:
    """A user of the application."""
    return Api(app, "보라")


@pytest.fixture
def dana(app: Flask) -> Api:
    """Another one."""
    return Api(app, "다나")
