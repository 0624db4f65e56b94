"""`flask sora rotate-keys | purge | doctor`: what whoever runs Sora does now and then."""

from __future__ import annotations

import sys

import click

from sora.cli_database import opened

_BATCH = 100  # runs in one transaction


@click.command("rotate-keys")
@click.option(
    "--check", is_flag=True, help="Change nothing; tell what needs an old key. Exit code 1 if anything does."
)
def rotate_keys(check: bool) -> None:
    """Seal everything anew with the first of SORA_ENCRYPTION_KEYS.

    May run while Sora does, and again. Runs that are not final are left to a later pass. When it says of an old key that
    nothing needs it any more, that key may be taken out of the settings.
    """
    from sora.store import sealed

    needed = 0
    with opened() as (_, database, keyring):
        first = keyring.names[0]
        if not check:
            with database.write() as session:
                sealed.enlist(session, first)
            for column in sealed.SEALED:
                done = sealed.rotate(database, keyring, column)
                click.echo(
                    f"{column!s:<18} {done.renewed} 다시 암호화 · sealed anew, "
                    f"{done.left} 다음 기회에 · left to a later pass, {done.unreadable} 읽을 수 없음 · unreadable"
                )
        with database.read() as session:
            others = [key for key in sealed.needed(session) if key != first]
            writing = {key: count for key, count in sealed.writers(session).items() if key != first}
        fields = sealed.count(database, but=first)
        for key, count in writing.items():
            click.echo(f"{key}: 워커 {count}개가 이 키로 씁니다 · {count} workers write with it")
        for key in others:
            held = sealed.count(database, key=key)
            if not held and not check and not sealed.release(database, key):
                click.echo(f"{key}: 더는 필요 없습니다 · needed no more")
            else:
                click.echo(f"{key}: {held}개 필드가 필요로 합니다 · {held} fields need it")
        needed = fields + sum(writing.values())
        click.echo(
            f"{fields}개 필드가 아직 {first}로 암호화되지 않았습니다 · {fields} fields are not sealed with {first} yet"
        )
    if check and needed:
        sys.exit(1)


@click.command()
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    help="Delete finished runs of more than so many days, too.",
)
@click.option("--dry-run", is_flag=True, help="Change nothing; tell what would be deleted.")
def purge(days: float | None, dry_run: bool) -> None:
    """Delete the logs that have expired (SORA_RUN_TTL), and old runs if wanted.

    Workers delete expired logs by themselves, once a minute; runs and their texts nobody deletes but this. Reviews stay.
    """
    from sora.engine.log.database import DatabaseLog
    from sora.store import retention

    with opened() as (_, database, keyring):
        if dry_run:
            with database.read() as session:
                logs = retention.count_logs(session)
                runs = retention.count_runs(session, days) if days is not None else 0
        else:
            logs = runs = 0
            log = DatabaseLog(database, keyring)
            while count := log.purge(limit=_BATCH):
                logs += count
            while days is not None:
                with database.write() as session:
                    count = retention.delete_runs(session, days, limit=_BATCH)
                runs += count
                if not count:
                    break
        click.echo(f"{logs}개 로그, {runs}개 실행 · {logs} logs, {runs} runs")


@click.command()
def doctor() -> None:
    """Check what Sora stands on, a line each: ok, warn or fail. Exit code 1 when anything fails; changes nothing."""
    from sora.doctor import examine

    failed = False
    for finding in examine():
        failed |= finding.mark == "fail"
        click.echo(f"{finding.mark:<5} {finding}")
    if failed:
        sys.exit(1)
