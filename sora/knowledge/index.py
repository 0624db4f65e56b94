"""The index of a shelf: segments, each made at once from consecutive passages, never changed but for what is deleted from it,
and put together as they become many. All of it is in the database, so that every process sees what any of them wrote.

Every function works in the caller's transaction; those that write need the shelf's row held.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.aside import aside
from sora.store.database import ASIDE
from sora.store.models import PostingRow, SegmentRow

T = TypeVar("T")
Ranges = Sequence[tuple[int, int]]  # of slots, both ends within

#: Passages of a segment at most. To make one holds up a process's other threads by some milliseconds for each hundred of them:
#: a worker with streams makes small ones. Large ones are searched a little faster.
SMALL, LARGE = 256, 4096

_POSTINGS = cast("sa.Table", PostingRow.__table__)
# Term by term, thousands at once: each driver's own way costs a fifth of what a general one does.
_INSERT = "INSERT INTO postings (segment, term, count, data) VALUES (?, ?, ?, ?)"
_INSERT_UNNESTED = sa.text(
    "INSERT INTO postings (segment, term, count, data) SELECT * FROM"
    " unnest(CAST(:segments AS integer[]), CAST(:terms AS text[]), CAST(:counts AS integer[]), CAST(:data AS bytea[]))"
)
_TOGETHER = 8  # segments of about one size that become one
_STEP = 1000  # rows written in one step
_ASKED = 256  # terms of a search that are looked up at most, the first
_TERMS = 64  # and those that count, the rarest
# Postings that a search adds up at most. What is in so many passages hardly tells them apart: beyond these, the commonest
# terms of a question are left out.
_POSTINGS_READ = 80_000


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive passages of a shelf, packed for the index: how many, how many terms they have, and the postings of each."""

    span: int
    length: int
    postings: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found: by its number on its shelf."""

    shelf: int
    number: int
    score: float


def parts(passages: Sequence[Sequence[str]], *, span: int = LARGE) -> Iterator[Part]:
    """The terms of consecutive passages, packed for `add`. That is work for a processor: call it aside."""
    from sora.knowledge.postings import packed

    for start in range(0, len(passages), span):
        few = passages[start : start + span]
        postings, length = packed(few)
        yield Part(len(few), length, postings)


def add(session: Session, shelf: int, base: int, part: Part) -> None:
    """Have passages base, base + 1 … found."""
    _write(session, shelf, base, part, live=part.span)


def remove(session: Session, shelf: int, first: int, last: int) -> None:
    """Have passages first … last no longer found. A segment of which nothing is left goes."""
    for row in _segments(session, shelf):
        low, high = max(first, row.base), min(last, row.base + row.span - 1)
        if low > high:
            continue
        live = row.live - (high - low + 1)
        if live <= 0:
            _drop(session, [row.id])
            continue
        deleted = [*json.loads(row.deleted), [low - row.base, high - row.base]]
        values = {"live": live, "deleted": json.dumps(deleted)}
        session.execute(sa.update(SegmentRow).where(SegmentRow.id == row.id).values(values))


def tidy(session: Session, shelf: int, *, span: int) -> bool:
    """Put segments together where they have become many, or rid one of what was deleted from it: one step, and whether there
    was one to take. No segment is made larger than `span`."""
    run = _untidy(_segments(session, shelf), span)
    if not run:
        return False
    base = run[0].base
    moves = {row.id: row.base - base for row in run}
    gone = {row.id: json.loads(row.deleted) for row in run}
    query = sa.select(_POSTINGS.c.segment, _POSTINGS.c.term, _POSTINGS.c.data)
    postings = aside(_merged, rows_of(session, query.where(_POSTINGS.c.segment.in_(moves))), moves, gone)
    _drop(session, list(moves))
    live = sum(row.live for row in run)
    length = sum(row.length * row.live // row.built for row in run)
    _write(session, shelf, base, Part(run[-1].base + run[-1].span - base, length, postings), live=live)
    return True


def search(session: Session, shelves: Sequence[int], words: Sequence[str], *, limit: int) -> list[Hit]:
    """The `limit` passages of all the shelves that these terms fit best, by BM25, the best first; the same on every database.

    The session reads from one snapshot: what is put together in between would be missed.
    """
    segments = [row for shelf in shelves for row in _segments(session, shelf)]
    wanted = list(dict.fromkeys(words))[:_ASKED]
    if not segments or not wanted:
        return []
    # Told by their place in this list: ids differ from one database to the other.
    places = {row.id: place for place, row in enumerate(segments)}
    those = sa.and_(_POSTINGS.c.segment.in_(places), _POSTINGS.c.term.in_(wanted))
    query = sa.select(_POSTINGS.c.term, sa.func.sum(_POSTINGS.c.count)).where(those)
    counts = {term: int(count) for term, count in rows_of(session, query.group_by(_POSTINGS.c.term))}
    weights = _weights(counts, sum(row.live for row in segments))
    those = sa.and_(_POSTINGS.c.segment.in_(places), _POSTINGS.c.term.in_(weights))
    rows = rows_of(session, sa.select(_POSTINGS.c.segment, _POSTINGS.c.term, _POSTINGS.c.data).where(those))
    data = {(places[segment], term): bytes(packed) for segment, term, packed in rows}
    spans = [(row.span, json.loads(row.deleted)) for row in segments]
    mean = sum(row.length for row in segments) / sum(row.built for row in segments)
    return [
        Hit(segments[place].shelf, segments[place].base + slot, score)
        for score, place, slot in aside(_best, spans, weights, data, mean, limit)
    ]


def ranked(passages: Sequence[Sequence[str]], words: Sequence[str], *, limit: int) -> list[int]:
    """The `limit` passages that these terms fit best, the best first, without a database: which of them."""
    built = list(parts(passages))
    wanted = list(dict.fromkeys(words))[:_ASKED]
    data = {
        (place, term): part.postings[term]
        for place, part in enumerate(built)
        for term in wanted
        if term in part.postings
    }
    counts = {
        term: sum(len(data.get((place, term), b"")) // 4 for place in range(len(built))) for term in wanted
    }
    weights = _weights({term: count for term, count in counts.items() if count}, len(passages))
    if not weights:
        return []
    mean = sum(part.length for part in built) / len(passages)
    found = _best([(part.span, []) for part in built], weights, data, mean, limit)
    bases = list(itertools.accumulate((part.span for part in built), initial=0))
    return [bases[place] + slot for _, place, slot in found]


def execute(session: Session, statement: sa.Executable) -> sa.Result[Any]:
    """Run a long statement. PostgreSQL is waited for, SQLite works: aside."""
    if session.get_bind().dialect.name == "sqlite":
        return aside(session.execute, statement)
    return session.execute(statement)


def rows_of(session: Session, query: sa.Select[Any]) -> Sequence[Any]:
    """All rows of a query, read likewise."""
    if session.get_bind().dialect.name == "sqlite":
        return aside(lambda: session.execute(query).fetchall())
    return session.execute(query).fetchall()


def insert_rows(session: Session, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert many rows, in steps between which others have their turn. On SQLite they are committed aside, too."""
    connection = session.connection()
    for start in range(0, len(rows), _STEP):
        few = rows[start : start + _STEP]
        if connection.dialect.name == "sqlite":
            session.info[ASIDE] = True
            aside(connection.execute, sa.insert(table), few)
        else:
            connection.execute(sa.insert(table), few)
            time.sleep(0)


def _weights(counts: Mapping[str, int], passages: int) -> dict[str, float]:
    """The rarest terms, the rarest first, as many as may be read, and how much each tells (BM25's idf)."""
    weights: dict[str, float] = {}
    postings = 0
    for count, term in sorted((count, term) for term, count in counts.items()):
        postings += count
        if weights and (postings > _POSTINGS_READ or len(weights) == _TERMS):
            break
        # What was deleted since its segment was made is in the count still.
        weights[term] = math.log((max(passages, count) + 1) / (count + 0.5))
    return weights


def _best(
    segments: Sequence[tuple[int, Ranges]],
    weights: Mapping[str, float],
    data: Mapping[tuple[int, str], bytes],
    mean: float,
    limit: int,
) -> list[tuple[float, int, int]]:
    from sora.knowledge.postings import best

    return best(segments, weights, data, mean=mean, limit=limit)


def _merged(
    rows: Sequence[tuple[int, str, bytes]], moves: Mapping[int, int], gone: Mapping[int, Ranges]
) -> dict[str, bytes]:
    from sora.knowledge.postings import merged

    return merged([(segment, term, bytes(data)) for segment, term, data in rows], moves, gone)


def _untidy(segments: Sequence[SegmentRow], span: int) -> Sequence[SegmentRow]:
    """Consecutive segments to be put together: one that is mostly deleted, or the newest _TOGETHER of about one size."""
    for row in segments:
        if row.live * 2 < row.built:
            return [row]
    for start in range(len(segments) - _TOGETHER, -1, -1):
        run = segments[start : start + _TOGETHER]
        while len(run) > 1 and run[-1].base + run[-1].span - run[0].base > span:
            run = run[:-1]
        if len(run) > 1 and max(row.live for row in run) < _TOGETHER * min(row.live for row in run):
            return run
    return []


def _segments(session: Session, shelf: int) -> Sequence[SegmentRow]:
    query = sa.select(SegmentRow).where(SegmentRow.shelf == shelf).order_by(SegmentRow.base)
    return session.scalars(query).all()


def _write(session: Session, shelf: int, base: int, part: Part, *, live: int) -> None:
    values = {"shelf": shelf, "base": base, "span": part.span, "built": live, "live": live}
    insertion = sa.insert(SegmentRow).values(**values, length=part.length, deleted="[]")
    segment = session.execute(insertion.returning(SegmentRow.id)).scalar_one()
    rows = [(segment, term, len(data) // 4, data) for term, data in part.postings.items()]
    connection = session.connection()
    for start in range(0, len(rows), _STEP):
        few = rows[start : start + _STEP]
        if connection.dialect.name == "sqlite":
            aside(connection.exec_driver_sql, _INSERT, few)
        else:
            columns = dict(
                zip(("segments", "terms", "counts", "data"), map(list, zip(*few, strict=True)), strict=True)
            )
            connection.execute(_INSERT_UNNESTED, columns)
            time.sleep(0)


def _drop(session: Session, segments: Sequence[int]) -> None:
    for segment in segments:
        execute(session, sa.delete(_POSTINGS).where(_POSTINGS.c.segment == segment))
    session.execute(sa.delete(SegmentRow).where(SegmentRow.id.in_(segments)))
