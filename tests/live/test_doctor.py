"""`flask sora doctor` finds what is wrong, each thing in a line of its own, and tells no secret."""

from __future__ import annotations

import base64
import datetime as dt
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sora.store import sealed
from sora.store.crypto import Keyring
from sora.store.database import Database
from sora.store.reviews import ReviewStore
from tests.support import process
from tests.support.issuer import KeyPair, issuer
from tests.support.simulator import Simulator

JWT, MODEL_KEY = "a secret that is for nobody's eyes at all", "sk-nobody-may-see-this"
OURS, OTHER = (base64.b64encode(bytes([number] * 32)).decode() for number in (7, 8))
NAMES = {
    "settings": "Settings", "database": "Database", "migrations": "Migrations", "keys": "Encryption keys",
    "model": "Model API", "jwks": "JWKS", "clock": "Clock", "instance": "Instance path", "spool": "Spool",
    "outbox": "Outbox", "dify": "Dify",
}  # fmt: skip
_NEWEST = max(path.name[:4] for path in (process.ROOT / "migrations" / "versions").glob("0*.py"))


class Deployment:
    """Settings, and a database that is made by them."""

    def __init__(self, database_url: str, simulator: Simulator, folder: Path) -> None:
        self.instance = folder / "instance"
        self.env = {
            "SORA_DATABASE_URL": database_url,
            "SORA_INSTANCE_PATH": str(self.instance),
            "SORA_OPENAI_BASE_URL": simulator.url,
            "SORA_OPENAI_API_KEY": MODEL_KEY,
            "SORA_JWT_SECRET": JWT,
            "SORA_ENCRYPTION_KEYS": f"k1:{OURS}",
        }
        self.database = Database(database_url)

    def flask(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", *command],
            cwd=process.ROOT,
            env={**os.environ, **self.env, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def doctor(self, **env: str) -> tuple[dict[str, str], str]:
        """The mark of each thing (the worst, if there are several), and all that was said."""
        done = self.flask("sora", "doctor", **env)
        assert not done.stderr
        for secret in (JWT, MODEL_KEY, OURS, OTHER):
            assert secret not in done.stdout
        marks: dict[str, str] = {}
        for line in done.stdout.splitlines():
            mark, words = line.split(maxsplit=1)
            [name] = [name for name, shown in NAMES.items() if words.partition(":")[0].endswith(shown)]
            marks[name] = max(mark, marks.get(name, mark), key=("ok", "warn", "fail").index)
        assert done.returncode == ("fail" in marks.values())
        return marks, done.stdout


@pytest.fixture
def deployment(sqlite_url: str, simulator: Simulator, tmp_path: Path) -> Deployment:
    return Deployment(sqlite_url, simulator, tmp_path)


WELL = {
    "settings": "ok", "instance": "ok", "database": "ok", "migrations": "ok", "keys": "ok",
    "model": "warn", "clock": "ok", "spool": "ok",
}  # fmt: skip


def test_one_thing_after_the_other(deployment: Deployment) -> None:
    marks, told = deployment.doctor()
    assert marks["migrations"] == "fail" and "flask db upgrade" in told
    assert deployment.flask("db", "upgrade").returncode == 0
    marks, told = deployment.doctor()
    assert marks == WELL and "simulator" in told and _NEWEST in told

    # The key is there by its name, and is another one.
    store = ReviewStore(Keyring([f"k1:{OURS}"]))
    with deployment.database.write() as session:
        store.add(session, "보라", date=dt.date(2026, 1, 20), type="FEELING", body="말", feedback="답")
        sealed.enlist(session, "k1")
    assert deployment.doctor()[0] == WELL
    marks, told = deployment.doctor(SORA_ENCRYPTION_KEYS=f"k1:{OTHER}")
    assert marks == WELL | {"keys": "fail"} and "2 of the newest fields cannot be read" in told
    marks, told = deployment.doctor(SORA_ENCRYPTION_KEYS=f"k2:{OTHER}")
    assert marks["keys"] == "fail" and "2 fields need k1" in told
    deployment.database.close()

    (deployment.instance / "spool").mkdir()
    (deployment.instance / "spool" / "run-1").write_bytes(b"x")
    deployment.instance.chmod(0o755)
    marks, told = deployment.doctor(SORA_AUTH="guest")
    assert marks == WELL | {"settings": "warn", "spool": "warn", "instance": "warn"}

    gone = f"http://127.0.0.1:{process.free_port()}/v1"
    assert deployment.doctor(SORA_OPENAI_BASE_URL=gone)[0] == WELL | {
        "instance": "warn", "model": "fail", "spool": "warn",
    }  # fmt: skip
    nowhere = f"postgresql://sora:pass-word@127.0.0.1:{process.free_port()}/sora"
    marks, told = deployment.doctor(SORA_DATABASE_URL=nowhere)
    assert marks["database"] == "fail" and "pass-word" not in told
    marks, told = deployment.doctor(SORA_JWT_SECRET="")
    assert marks == {"settings": "fail"} and "SORA_JWT_SECRET" in told


def test_the_apps_of_dify(deployment: Deployment, simulator: Simulator) -> None:
    keys = {"SORA_DIFY_KEY_T": MODEL_KEY, "SORA_DIFY_KEY_F": MODEL_KEY}
    marks, told = deployment.doctor(SORA_DIFY_BASE_URL=simulator.url, **keys)
    assert marks["dify"] == "ok" and "T: 200" in told and "F: 200" in told
    marks, told = deployment.doctor(SORA_DIFY_BASE_URL=simulator.url, **keys | {"SORA_DIFY_KEY_T": ""})
    assert marks["dify"] == "warn" and "no key for persona T" in told
    gone = f"http://127.0.0.1:{process.free_port()}/v1"
    assert deployment.doctor(SORA_DIFY_BASE_URL=gone, **keys)[0]["dify"] == "fail"


def test_the_issuer_and_its_clock(deployment: Deployment) -> None:
    assert deployment.flask("db", "upgrade").returncode == 0
    with issuer(KeyPair("1")) as login:
        env = {"SORA_JWT_JWKS_URL": login.url, "SORA_JWT_SECRET": ""}
        assert deployment.doctor(**env)[0] == WELL | {"jwks": "ok"}
        login.ahead = 3600
        marks, told = deployment.doctor(**env)
        assert marks == WELL | {"jwks": "ok", "clock": "warn"} and "+3600 s" in told
        login.mood, login.ahead = "empty", 0
        assert deployment.doctor(**env)[0]["jwks"] == "fail"
        login.mood = "hangs"
        began = time.monotonic()
        assert deployment.doctor(**env)[0]["jwks"] == "fail"
        assert time.monotonic() - began < 8, "it is not waited for long"
