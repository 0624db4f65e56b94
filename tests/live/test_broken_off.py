"""A failure in a format whose clients know none: they are shown its frame, and then the body breaks off."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.support.client import Stream
from tests.support.nginx import binary, nginx
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import DIARY, User

AT_ONCE = 12
PATH = "/stream/review?format=ask"


@dataclass(frozen=True)
class Deployment:
    server: Server
    proxy: str


@pytest.fixture(scope="module")
def deployment(_simulator: Simulator, module_url: str) -> Iterator[Deployment]:
    if binary() is None:
        pytest.skip("nginx is not installed · apt-get install nginx-light")
    env = {"SORA_MODEL": "sim-n9-d5-error4", "SORA_PROVIDER_RETRIES": "0", "SORA_JOURNAL_INTERVAL": "0.05"}
    with Server(module_url, _simulator.url, env=env) as server, nginx(server.port) as proxy:
        yield Deployment(server, proxy.url)


@pytest.mark.parametrize("behind_nginx", [False, True], ids=["direct", "nginx"])
def test_no_failure_looks_like_an_answer(deployment: Deployment, behind_nginx: bool) -> None:
    url = deployment.proxy if behind_nginx else deployment.server.url

    def ask(number: int) -> Stream:
        with User(url, f"실패 {number}").open(PATH, payload=DIARY) as stream:
            stream.rest()
            return stream

    with ThreadPoolExecutor(AT_ONCE) as pool:
        streams = list(pool.map(ask, range(AT_ONCE)))
    for stream in streams:
        said = [frame.json() for frame in stream.frames]
        assert [frame["type"] for frame in said] == ["text"] * 4 + ["error"], "and no done"
        assert said[-1]["content"].keys() == {"code", "message", "retryable"}
        assert stream.ended == "cut"
        assert b"\nid:" not in stream.raw and b"event:" not in stream.raw
