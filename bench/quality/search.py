"""Retrieval, measured on the labelled questions of search.jsonl over docs/samples: recall@5, without embeddings; where
SORA_EMBEDDING_MODEL is set, with them as well."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sora.config import Config, load
from sora.knowledge.documents import SHARED, Documents
from sora.knowledge.extract import extract, limits_of
from sora.knowledge.ingest import digest_of, draft_of
from sora.knowledge.search import Knowledge
from sora.knowledge.vectors import Vectors
from sora.providers.embeddings import Embeddings
from sora.store.database import Database
from sora.store.models import Base

LEAST = 0.9  #: recall@5
SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
_AT = 5

Case = dict[str, Any]


def cases(language: str | None = None) -> list[Case]:
    """The labelled questions: `holds` is what a passage of `document` says that answers the question."""
    lines = Path(__file__).with_name("search.jsonl").read_text("utf-8").splitlines()
    return [case for case in map(json.loads, lines) if language in (None, case["language"])]


def fill(database: Database) -> None:
    """Put the sample documents in, as everybody's."""
    drafts = []
    for path in sorted(SAMPLES.iterdir()):
        content = path.read_bytes()
        extracted = extract(path.name, content, limits=limits_of(Config()))
        drafts.append(draft_of(extracted, source=path.name, digest=digest_of(content)))
    Documents(database).put(SHARED, drafts)


def missed(database: Database, some: Sequence[Case], knowledge: Knowledge | None = None) -> list[Case]:
    """The questions whose answer is not in the first five passages that `knowledge` finds; None: by their words."""
    names = {document.id: document.name for document in Documents(database).page(SHARED, limit=1000)}
    knowledge = knowledge or Knowledge(database)
    return [
        case
        for case in some
        if not any(
            names[found.document_id] == case["document"] and case["holds"] in found.text
            for found in knowledge.search(SHARED, case["question"], limit=_AT)
        )
    ]


def report() -> Iterator[str]:
    """Lines for people."""
    with tempfile.TemporaryDirectory(prefix="sora-quality-") as folder:
        database = Database(f"sqlite:///{folder}/quality.sqlite3")
        Base.metadata.create_all(database.engine)
        fill(database)
        absent = missed(database, cases())
        yield from _recall("search", absent, f", bound {LEAST}")
        config = load()
        if config.embedding_model:
            vectors = Vectors(database, Embeddings(config))
            filled = vectors.fill(SHARED)
            knowledge = Knowledge(database, vectors=vectors, similarity=config.embedding_similarity)
            yield from _recall(f"with {config.embedding_model}", missed(database, cases(), knowledge))
            if filled.lacking:
                yield f"  {filled.lacking} passages without a vector: {filled.error}"
        database.close()
    yield from (f"  not found: {case['question']} ({case['document']}: {case['holds']})" for case in absent)


def _recall(what: str, absent: Sequence[Case], bound: str = "") -> Iterator[str]:
    for language in ("ko", "en", None):
        asked = len(cases(language))
        lost = len([case for case in absent if language in (None, case["language"])])
        yield f"{what} recall@{_AT} {language or 'both'}: {1 - lost / asked:.3f} ({asked} questions{bound})"
