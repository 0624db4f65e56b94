"""Another issuer's keys change, and its server hangs or vanishes: nobody waits for it, and nobody is turned away for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.client import request
from tests.support.issuer import Issuer, KeyPair, issuer
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.user import DIARY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

PATIENCE = 3.0  # seconds that no request waits longer than
NEW_KEY = 60.0  # seconds in which a new key is known everywhere
WORKERS = 2


def ask(server: Server, token: str) -> tuple[int, float]:
    """The status of a request with this token, and how long it took."""
    started = time.monotonic()
    status = request(server.url, "/api/session", token=token, timeout=10).status
    return status, time.monotonic() - started


def at_once(server: Server, token: str, count: int) -> tuple[set[int], float]:
    """The statuses of so many requests at once, and the longest wait among them."""
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: ask(server, token), range(count)))
    return {status for status, _ in answers}, max(seconds for _, seconds in answers)


def wait_until_known(server: Server, login: Issuer, token: str) -> None:
    """Waits until every worker has read the document that the token's key is new in. One that answers them all knows nothing of
    the others: so their looks are counted. None looks twice before 30 s are over."""
    asked = login.asked
    wait_until(
        lambda: at_once(server, token, 20)[0] == {200} and login.asked - asked >= WORKERS,
        timeout=NEW_KEY,
        what="the new key, in each worker",
    )


def test_keys_are_known_whatever_their_server_does(simulator: Simulator, database_url: str) -> None:
    first, second, third, stranger = (
        KeyPair("1"),
        KeyPair("2", "RS256"),
        KeyPair("3"),
        KeyPair("stranger"),
    )
    with issuer(first) as login:
        env = {"SORA_JWT_JWKS_URL": login.url, "SORA_JWT_SECRET": None, "SORA_JWT_AUDIENCE": "sora"}
        with Server(database_url, simulator.url, workers=WORKERS, env=env) as server:
            old, new, newest, strange = (
                pair.token(pair.kid or "", aud="sora") for pair in (first, second, third, stranger)
            )
            wait_until_known(server, login, old)
            assert ask(server, first.token(aud="another"))[0] == 401
            assert login.asked <= WORKERS, "each worker has read it once"
            answer = request(server.url, "/stream/review", payload=DIARY, token=old)
            assert answer.status == 200 and answer.body

            login.keys = [first, second]  # it rotates its key
            wait_until_known(server, login, new)
            assert at_once(server, old, 20)[0] == {200}

            asked = login.asked
            flood = time.monotonic()
            assert at_once(server, strange, 40)[0] == {401}
            looks = WORKERS * (1 + (time.monotonic() - flood) // 5)
            assert login.asked - asked <= looks, "made-up names do not make us ask again and again"

            login.mood = "hangs"
            login.keys = [first, second, third]
            waits = []
            until = time.monotonic() + 6  # so that each worker looks, in vain, at least once
            while time.monotonic() < until:
                with ThreadPoolExecutor(2) as pool:
                    known = pool.submit(at_once, server, old, 5)
                    unknown = pool.submit(at_once, server, newest, 5)
                    statuses, seconds = known.result()
                    assert statuses == {200} and seconds < 1, seconds
                    statuses, seconds = unknown.result()
                    assert statuses <= {401, 503} and seconds < PATIENCE, (statuses, seconds)
                    waits.append(seconds)
            assert max(waits) > 1, "it did hang for somebody"

            login.mood = "well"
            wait_until_known(server, login, newest)
            login.server.shutdown()
            login.server.server_close()  # it vanishes
            until = time.monotonic() + 5.5
            while time.monotonic() < until:
                for token in (old, new, newest):
                    statuses, seconds = at_once(server, token, 4)
                    assert statuses == {200} and seconds < 1
                statuses, seconds = at_once(server, strange, 4)
                assert statuses <= {401, 503} and seconds < PATIENCE
            log = server.log_text()
            assert "Traceback" not in log and old.split(".")[1] not in log
            assert "the JWKS document cannot be used" in log
