"""What Sora stands on, examined from outside a server: each thing is well, to be looked at, or broken."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import sqlalchemy as sa
from alembic.config import Config as Alembic
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from sora.config import Config, load, require_secrets
from sora.errors import ConfigError, RunError, StoreError
from sora.providers.document import Document, fetch
from sora.store import sealed
from sora.store.crypto import Keyring, UnreadableError
from sora.store.database import Database
from sora.store.outbox import OutboxStore
from sora.store.schema import MIGRATIONS, VERSION_TABLE
from sora.web.auth import Tokens
from sora.web.issuers import parse

_PATIENCE = 3.0  # seconds for an answer over the network
_SKEW = 5.0  # seconds that two clocks may differ
_NEWEST = 5  # rows of each table that are opened
_WAITING = 300.0  # seconds after which the oldest delivery is late

Mark = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """What was found out about one thing, in Korean and English. Without secrets."""

    mark: Mark
    name: str
    words: str

    def __str__(self) -> str:
        return f"{self.name}: {self.words}"


class _Patient:
    """The deployment that is examined, and what was learned of it on the way."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.database = Database(config.database, pool=1, timeout=min(config.database_timeout, _PATIENCE))
        self.keyring = Keyring(config.encryption_keys)
        self.skews: dict[str, float] = {}  # whose clock -> seconds it is ahead of ours
        self.migrated = False

    def fetch(self, url: str, *, who: str, headers: dict[str, str] | None = None) -> Document:
        document = fetch(url, timeout=_PATIENCE, headers=headers)
        try:
            # To the second: half of one is as good a guess as any.
            theirs = parsedate_to_datetime(document.headers["date"]).timestamp() + 0.5
            self.skews[who] = theirs - time.time()
        except (KeyError, ValueError):
            pass
        return document


def examine() -> Iterator[Finding]:
    """One finding after the other. Blocks for a few seconds for what does not answer; raises nothing."""
    name = "설정 · Settings"
    try:
        config = load(development=True)
        require_secrets(config)
        Tokens(config)
        patient = _Patient(config)
    except ConfigError as error:
        yield Finding("fail", name, " ".join(str(error).split()))
        return
    if config.auth == "guest":
        yield Finding("warn", name, "게스트 모드는 개발용입니다 · guest mode is for development")
    else:
        yield Finding("ok", name, "쓸 수 있습니다 · can be used")
    try:
        for name, check in _CHECKS.items():
            yield from _guarded(name, check, patient)
    finally:
        patient.database.close()


def _guarded(
    name: str, check: Callable[[_Patient], Iterator[tuple[Mark, str]]], patient: _Patient
) -> Iterator[Finding]:
    """A check's findings; one that cannot be made has failed."""
    try:
        for mark, words in check(patient):
            yield Finding(mark, name, words)
    except (StoreError, SQLAlchemyError, RunError, OSError) as error:
        words = f"답하지 않거나 쓸 수 없습니다 · does not answer or cannot be used ({type(error).__name__})"
        yield Finding("fail", name, words)


def _database(patient: _Patient) -> Iterator[tuple[Mark, str]]:
    began = time.monotonic()
    with patient.database.read() as session:
        session.execute(sa.select(1))
        took = time.monotonic() - began
        if patient.database.dialect == "postgresql":
            asked = time.time()
            theirs = session.scalar(sa.text("SELECT extract(epoch FROM clock_timestamp())"))
            patient.skews["데이터베이스 · database"] = float(theirs or 0) - (asked + time.time()) / 2
    yield "ok", f"{patient.database.dialect}, {took * 1000:.0f} ms"


def _migrations(patient: _Patient) -> Iterator[tuple[Mark, str]]:
    script = Alembic()
    script.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    wanted = set(ScriptDirectory.from_config(script).get_heads())
    found: set[str] = set()
    with patient.database.engine.connect() as connection:
        for table in ("alembic_version", VERSION_TABLE):
            found |= set(
                MigrationContext.configure(connection, opts={"version_table": table}).get_current_heads()
            )
    is_, needed = ", ".join(sorted(found)) or "-", ", ".join(sorted(wanted))
    patient.migrated = wanted <= found
    if patient.migrated:
        yield "ok", needed
    else:
        yield "fail", f"{is_}, 필요한 것은 {needed} · {needed} is needed (flask db upgrade)"


def _keys(patient: _Patient) -> Iterator[tuple[Mark, str]]:
    if not patient.migrated:
        return
    with patient.database.read() as session:
        missing = sealed.missing(session, patient.keyring)
        writing = sealed.writers(session)
    for key in missing:
        held = sealed.count(patient.database, key=key)
        yield (
            "fail",
            f"{key} 없이는 {held}개 필드를 읽을 수 없습니다 · {held} fields need {key}, which is missing",
        )
    opened, closed = _newest(patient)
    if closed:
        yield "fail", f"새 필드 {closed}개를 읽을 수 없습니다 · {closed} of the newest fields cannot be read"
    first = patient.keyring.names[0]
    for key in writing.keys() - {first}:
        yield "warn", f"워커가 아직 {key}로 씁니다 · workers still write with {key}, not {first}"
    if not missing and not closed:
        yield "ok", f"{', '.join(patient.keyring.names)}; {opened}개 필드를 읽음 · {opened} fields read"


def _newest(patient: _Patient) -> tuple[int, int]:
    """How many of the newest fields open, and how many do not."""
    opened = closed = 0
    for column in sealed.SEALED:
        newest = getattr(column.column.class_, "created_at", None)
        if newest is None:
            continue
        query = column.select(*column.row, column.owner, column.column).order_by(newest.desc()).limit(_NEWEST)
        with patient.database.read() as session:
            rows = session.execute(query).all()
        for *place, owner, field in rows:
            try:
                patient.keyring.open(
                    field,
                    table=column.table,
                    column=str(column.column.key),
                    row=":".join(map(str, place)),
                    owner=owner,
                )
                opened += 1
            except UnreadableError:
                closed += 1
    return opened, closed


def _provider(patient: _Patient) -> Iterator[tuple[Mark, str]]:
    config = patient.config
    base = (config.openai_base_url or "https://api.openai.com/v1").rstrip("/")
    headers = {"Authorization": f"Bearer {config.openai_api_key}"} if config.openai_api_key else {}
    answer = patient.fetch(f"{base}/models", who="모델 API · model API", headers=headers)
    host = urlsplit(base).hostname
    if answer.status in (401, 403):
        yield "fail", f"{host}가 키를 거절합니다 · {host} refuses the key ({answer.status})"
    elif answer.status >= 500 or answer.status == 429:
        yield "warn", f"{host}: {answer.status}"
    elif b"sora-simulator" in answer.body:
        yield "warn", f"{host}: 시뮬레이터입니다 · this is the simulator"
    else:  # not every server lists its models
        yield "ok", f"{host}: {answer.status}"


def _dify(patient: _Patient) -> Iterator[tuple[Mark, str]]:
    base = patient.config.dify_base_url.rstrip("/")
    for persona, key in (("T", patient.config.dify_key_t), ("F", patient.config.dify_key_f)):
        if not base:
            return
        if not key:
            yield "warn", f"페르소나 {persona}의 키가 없습니다 · no key for persona {persona}"
            continue
        answer = patient.fetch(f"{base}/info", who="Dify", headers={"Authorization": f"Bearer {key}"})
        if answer.status in (401, 403):
            yield (
                "fail",
                f"페르소나 {persona}의 키를 거절합니다 · refuses the key of persona {persona} ({answer.status})",
            )
        else:
            yield "ok" if answer.status < 400 else "warn", f"{persona}: {answer.status}"


def _issuer(patient: _Patient) -> Iterator[tuple[Mark, str]]:
    if not patient.config.jwt_jwks_url:
        return
    answer = patient.fetch(patient.config.jwt_jwks_url, who="JWKS")
    if answer.status != 200:
        yield "fail", f"{answer.status}"
        return
    try:
        count = len(parse(answer.body))
    except ValueError:
        yield "fail", "쓸 수 있는 키가 없습니다 · no key that can be used"
        return
    yield "ok", f"키 {count}개 · {count} keys"


def _clock(patient: _Patient) -> Iterator[tuple[Mark, str]]:
    for whose, ahead in patient.skews.items():
        if abs(ahead) > _SKEW:
            yield "warn", f"{whose}: {ahead:+.0f} s"
    if all(abs(ahead) <= _SKEW for ahead in patient.skews.values()):
        compared = ", ".join(patient.skews) or "비교할 것이 없습니다 · nothing to compare with"
        yield "ok", compared


def _instance(patient: _Patient) -> Iterator[tuple[Mark, str]]:
    folder = patient.config.instance
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    if folder.stat().st_mode & 0o007:
        yield "warn", "다른 사용자도 들어갈 수 있습니다 · open to other users (chmod o-rwx)"
    else:
        yield "ok", "쓸 수 있습니다 · can be written"


def _spool(patient: _Patient) -> Iterator[tuple[Mark, str]]:
    try:
        waiting = sum(not name.endswith(".part") for name in os.listdir(patient.config.instance / "spool"))
    except FileNotFoundError:
        waiting = 0
    if waiting:
        yield "warn", f"저장을 기다리는 답 {waiting}개 · {waiting} answers wait to be saved"
    else:
        yield "ok", "비어 있습니다 · empty"


def _outbox(patient: _Patient) -> Iterator[tuple[Mark, str]]:
    if not patient.migrated:
        return
    with patient.database.read() as session:
        standing = OutboxStore(patient.keyring).standing(session)
    waiting, dead = standing.waiting, standing.dead
    if patient.config.save_to != "http" and not waiting and not dead:
        return
    late = standing.oldest > _WAITING or bool(dead) or (bool(waiting) and patient.config.save_to != "http")
    yield (
        "warn" if late else "ok",
        f"대기 {waiting}, 거절 {dead} · {waiting} waiting, {dead} dead",
    )


_CHECKS: dict[str, Callable[[_Patient], Iterator[tuple[Mark, str]]]] = {
    "인스턴스 폴더 · Instance path": _instance,  # an SQLite file is in it
    "데이터베이스 · Database": _database,
    "마이그레이션 · Migrations": _migrations,
    "암호화 키 · Encryption keys": _keys,
    "모델 API · Model API": _provider,
    "Dify": _dify,
    "JWKS": _issuer,
    "시계 · Clock": _clock,
    "스풀 · Spool": _spool,
    "아웃박스 · Outbox": _outbox,
}
