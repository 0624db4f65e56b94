"""What the live tests of a module share: a database of each kind, and two machines before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.support.nginx import binary, nginx
from tests.support.postgres import Postgres
from tests.support.server import Server
from tests.support.user import User


@dataclass(frozen=True)
class Deployment:
    """Two machines with one database, and nginx before both."""

    one: Server
    two: Server
    proxy: str

    @property
    def user(self) -> User:
        """Somebody who asks the first machine."""
        return User(self.one.url)

    @property
    def places(self) -> tuple[str, str, str]:
        return self.one.url, self.two.url, self.proxy


@contextmanager
def two_machines(url: str, model_url: str, env: Mapping[str, str]) -> Iterator[Deployment]:
    """A deployment on this database until the end of the block; skips where nginx is missing."""
    if binary() is None:
        pytest.skip("nginx is not installed · apt-get install nginx-light")
    with (
        Server(url, model_url, env=env) as one,
        Server(url, model_url, env=env) as two,
        nginx(one.port, two.port) as proxy,
    ):
        yield Deployment(one, two, proxy.url)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A new empty database of each kind that Sora supports, one for all tests of a module."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('module') / 'sora.sqlite3'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create_database()
