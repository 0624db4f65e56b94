"""`flask sora ingest`, `embed`, `documents` and `search`: the knowledge base, for those who run Sora."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sora.cli_database import opened
from sora.config import Config
from sora.errors import UnreadableFile, message

if TYPE_CHECKING:
    from sora.knowledge.documents import Documents, Draft
    from sora.knowledge.vectors import Vectors
    from sora.store.database import Database

_TOGETHER = 1000  # passages that are written in one transaction, so that each need not be put together with the others later
_TIMEOUT = 60.0  # seconds of a database call: nobody waits for an answer here
_PAGE = 500

_owner = click.option("--owner", help="The id of the user whose documents these are, as in their token.")
_shared = click.option("--shared", is_flag=True, help="Everybody's documents (the default).")


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@_shared
@_owner
def ingest(paths: Sequence[Path], shared: bool, owner: str | None) -> None:
    """Put files into the knowledge base: Markdown, text, PDF, DOCX, HTML, CSV, XLSX; folders with all that is in them.

    A file that has changed takes the place of what it was, one that has not costs nothing. One that cannot be read is named
    and left out, and the exit code is 1. With SORA_EMBEDDING_MODEL every passage that has no vector yet gets one, as by `embed`.
    """
    from sora.knowledge.documents import LONGEST_SOURCE
    from sora.knowledge.extract import limits_of
    from sora.knowledge.extraction import Extraction
    from sora.knowledge.ingest import digest_of, draft_of

    whose = _whose(owner, shared=shared)
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    refused: list[str] = []
    unchanged = 0
    with _opened() as (config, database, documents), Extraction(limits_of(config)) as extraction:
        known = documents.digests(whose)
        shelf = _Shelf(documents, whose)
        with click.progressbar(files, file=sys.stderr, item_show_func=_shown) as bar:
            for file in bar:
                # Names that are no UTF-8 have marks in their place: no database takes them otherwise.
                shown, source = click.format_filename(file), click.format_filename(file.resolve())
                try:
                    if len(source) > LONGEST_SOURCE:
                        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
                    content = _content(file, most=config.max_file_size)
                    digest = digest_of(content)
                    if known.get(source) == digest:
                        unchanged += 1
                        continue
                    shelf.add(
                        draft_of(
                            extraction.extract(click.format_filename(file.name), content),
                            source=source,
                            digest=digest,
                        )
                    )
                except UnreadableFile as error:
                    words = " · ".join(message(error.why, locale, **error.values) for locale in ("ko", "en"))
                    refused.append(f"{shown}: {words}")
                except OSError as error:
                    refused.append(f"{shown}: {error.strerror}")
            shelf.write()
        embedded = _embedded(config, database, whose)
    for line in refused:
        click.echo(line, err=True)
    click.echo(
        f"문서 {shelf.documents}개, 조각 {shelf.passages}개를 넣음, 그대로 {unchanged}개, 읽지 못함 {len(refused)}개 · "
        f"{shelf.documents} documents, {shelf.passages} passages put in, {unchanged} unchanged, {len(refused)} not read"
    )
    sys.exit(1 if refused or not embedded else 0)


@click.command()
@_shared
@_owner
def embed(shared: bool, owner: str | None) -> None:
    """Make the vectors that passages lack, by SORA_EMBEDDING_MODEL: those that were put in without it, with another one, or while
    it did not answer. What has one costs nothing. The exit code is 1 while some are without."""
    whose = _whose(owner, shared=shared)
    with _opened() as (config, database, _):
        if not config.embedding_model:
            raise click.ClickException("SORA_EMBEDDING_MODEL이 없습니다. · is not set.")
        sys.exit(0 if _embedded(config, database, whose) else 1)


@click.command("documents")
@_shared
@_owner
@click.option(
    "--delete", "deleted", metavar="ID", multiple=True, help="Delete this document; may be repeated."
)
def list_documents(shared: bool, owner: str | None, deleted: Sequence[str]) -> None:
    """List the documents of the knowledge base, the latest first, or delete some."""
    whose = _whose(owner, shared=shared)
    with _opened() as (_, _, documents):
        for document_id in deleted:
            if not documents.delete(whose, document_id):
                raise click.ClickException(f"{document_id}: 문서가 없습니다. · no such document.")
        after = None
        while not deleted:
            page = documents.page(whose, after=after, limit=_PAGE, shared=not whose)
            for document in page:
                click.echo(
                    f"{document.id}  {document.updated_at:%Y-%m-%d %H:%M}  {document.kind:<5}  {document.passages:>6}"
                    f"  {document.title} ({document.source})"
                )
            if len(page) < _PAGE:
                return
            after = page[-1].id


@click.command()
@click.argument("words", nargs=-1, required=True)
@_owner
@click.option("--limit", default=5, show_default=True, type=click.IntRange(1, 50), help="Passages shown.")
def search(words: Sequence[str], owner: str | None, limit: int) -> None:
    """Search the knowledge base as a question does: the shared documents, and a user's own with --owner."""
    from sora.knowledge.search import Knowledge

    with _opened() as (config, database, _):
        knowledge = Knowledge(
            database, vectors=_vectors(config, database), similarity=config.embedding_similarity
        )
        found = knowledge.search(owner or "", " ".join(words), limit=limit)
    for place, passage in enumerate(found, 1):
        click.echo(f"{place}. {passage.title}  [{passage.score:.2f}]  {passage.url}")
        click.echo("\n".join(f"   {line}" for line in passage.text.splitlines() if line.strip()))


class _Shelf:
    """Gathers documents and writes many in one transaction."""

    def __init__(self, documents: Documents, owner: str) -> None:
        self._documents, self._owner = documents, owner
        self._waiting: list[Draft] = []
        self.documents = self.passages = 0

    def add(self, draft: Draft) -> None:
        self._waiting.append(draft)
        if sum(len(draft.texts) for draft in self._waiting) >= _TOGETHER:
            self.write()

    def write(self) -> None:
        if self._waiting:
            put = self._documents.put(self._owner, self._waiting)
            self.documents += len(put)
            self.passages += sum(document.passages for document in put)
            self._waiting = []


def _vectors(config: Config, database: Database) -> Vectors | None:
    from sora.knowledge.vectors import Vectors
    from sora.providers.embeddings import Embeddings

    return Vectors(database, Embeddings(config)) if config.embedding_model else None


def _embedded(config: Config, database: Database, owner: str) -> bool:
    """Make the vectors that are lacking, if there is a model, with a progress bar; whether none is lacking then."""
    vectors = _vectors(config, database)
    lacking = vectors.lacking(owner) if vectors is not None else 0
    if vectors is None or not lacking:
        return True
    with click.progressbar(length=lacking, file=sys.stderr, label="embeddings") as bar:
        filled = vectors.fill(owner, told=bar.update)
    if filled.error:
        click.echo(
            f"임베딩 모델이 답하지 않습니다: {filled.error}. 나중에 flask sora embed로 채우세요. · "
            f"The model of embeddings fails: {filled.error}. Fill in what lacks a vector with flask sora embed.",
            err=True,
        )
    click.echo(
        f"벡터 {filled.made}개를 만듦, 없는 조각 {filled.lacking}개 · "
        f"{filled.made} vectors made, {filled.lacking} passages without one"
    )
    return not filled.lacking


@contextmanager
def _opened() -> Iterator[tuple[Config, Database, Documents]]:
    from sora.knowledge import index
    from sora.knowledge.documents import Documents

    with opened(timeout=_TIMEOUT) as (config, database, _):
        yield config, database, Documents(database, span=index.LARGE)


def _whose(owner: str | None, *, shared: bool) -> str:
    if shared and owner:
        raise click.UsageError(
            "--shared와 --owner 중 하나만 쓸 수 있습니다. · Give --shared or --owner, not both."
        )
    return owner or ""


def _files(path: Path) -> Iterator[Path]:
    """The files at a path, in order; hidden ones are left out below a folder."""
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
            yield file


def _content(file: Path, *, most: int) -> bytes:
    with file.open("rb") as opened_file:
        return opened_file.read(most + 1)  # one byte more tells


def _shown(file: Path | None) -> str | None:
    return click.format_filename(file.name) if file is not None else None
