"""The question with files, knowledge and references (WIRE.md D)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import msgspec
from sqlalchemy.orm import Session

from sora.aside import aside
from sora.config import Config
from sora.engine.generation import Generate, Generated, Image, Message
from sora.engine.pipeline import Ended, Steps
from sora.errors import message
from sora.events import Metadata, Progress, Source
from sora.knowledge.drift import RECENT, Drift
from sora.knowledge.excerpts import excerpts
from sora.knowledge.index import insert_rows, rows_of
from sora.knowledge.search import Found, Knowledge
from sora.pipelines.chat import save_answer
from sora.pipelines.fence import fenced
from sora.pipelines.history import fitted, tokens
from sora.pipelines.prompts import built_in
from sora.pipelines.references import References, find
from sora.pipelines.request import Request
from sora.pipelines.retrieval import fitting, query_of
from sora.store.attachments import TABLE as ATTACHMENTS
from sora.store.attachments import Attachment, AttachmentStore
from sora.store.conversations import ConversationStore, Turn
from sora.store.database import Database
from sora.store.runs import Run

_HEADINGS = {
    "ko": ("[첨부 파일]", "[첨부 이미지]", "[참고 정보]", "[질문]"),
    "en": ("[Attached files]", "[Attached images]", "[Reference information]", "[Question]"),
}


class File(msgspec.Struct, frozen=True, array_like=True):
    """A file of a request, as its request knows it: by its name and a digest of its content."""

    name: str
    digest: str


class AskRequest(Request, frozen=True, kw_only=True):
    """A question. `session` is what its owner calls the conversation, empty for a new one; what is None has its default; an
    empty `system_prompt` or `model` likewise."""

    question: str = ""
    session: str = ""
    system_prompt: str = ""
    model: str = ""
    web_search: bool = False
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    files: tuple[File, ...] = ()


class AskPipeline:
    """One model call that knows the conversation, what matters of the request's files, and what the knowledge base says; its
    references and its metadata follow the answer. Question and answer are saved in the conversation, a partial answer too.

    A question about another topic starts the conversation's context afresh: nothing is deleted, but the model is not shown
    what was said before, then and later.
    """

    kind = "ask"
    on_disconnect = "cancel"

    def __init__(
        self,
        config: Config,
        *,
        database: Database,
        conversations: ConversationStore,
        attachments: AttachmentStore,
        knowledge: Knowledge,
        drift: Drift,
    ) -> None:
        self._config = config
        self._database = database
        self._conversations = conversations
        self._attachments = attachments
        self._knowledge = knowledge
        self._drift = drift
        self._prompts = {
            (name, locale): built_in(name, locale) for name in ("ask", "material") for locale in _HEADINGS
        }

    def begin(self, session: Session, run: Run, request: bytes, files: Sequence[Attachment]) -> None:
        ask = AskRequest.decode(request)
        conversation = self._conversations.enter(session, run, ask.session)
        if run.retry_of is not None:
            files = self._files(session, run.retry_of, run.owner)
        if files:
            for row in aside(self._attachments.sealed, run, files):
                insert_rows(session, ATTACHMENTS, [row])
        named = {"files": [file.name for file in ask.files]} if ask.files else None
        question = _question(ask, run.locale)
        self._conversations.say(session, conversation, "user", question, run_id=run.id, meta=named)

    def steps(self, run: Run, request: bytes) -> Steps:
        ask = AskRequest.decode(request)
        began = time.monotonic()
        with self._database.read() as session:
            conversation = self._conversations.of_run(session, run.id)
            turns = self._conversations.context(session, run.id)
            files = self._files(session, run.id, run.owner) if ask.files else []
        drifted = self._drift.drifted(ask.question, _recent(turns))
        if drifted:
            turns = []
        texts: list[tuple[str, str]] = []
        if files:
            yield _progress("file_analysis", "in_progress", "ask_files", run)
            texts = self._texts(files, ask.question)
            yield _progress("file_analysis", "completed", "ask_files", run)
        found: list[Found] = []
        if ask.question:
            yield _progress("data_retrieval", "in_progress", "ask_search", run)
            found = fitting(self._knowledge, run.owner, query_of(ask.question, turns))
            yield _progress("data_retrieval", "completed", "ask_search", run)
        retrieved = time.monotonic()
        images = [file for file in files if file.media_type.startswith("image/")]
        yield _progress("response_generation", "in_progress", "ask_answer", run)
        answer = yield Generate(
            messages=self._messages(ask, run, turns, texts, images, found),
            models=(ask.model or self._config.model, *self._config.fallback_models),
            max_tokens=ask.max_tokens or self._config.ask_max_tokens,
            temperature=self._config.temperature if ask.temperature is None else ask.temperature,
            top_p=self._config.top_p if ask.top_p is None else ask.top_p,
            locale=run.locale,
            web_search=ask.web_search,
        )
        assert answer is not None  # a Generate is always answered
        yield _progress("response_generation", "completed", "ask_answer", run)
        references = find(answer.text, answer.cited)
        yield from references.sources
        yield from _material(files, found)
        yield Metadata(
            {
                "sessionId": conversation.name if conversation is not None else ask.session,
                "runId": run.id,
                "usage": _usage(answer),
                "model": answer.model,
                "timings": _timings(answer, began=began, retrieved=retrieved),
                **_results(references),
                "topicDrifted": drifted,
            }
        )

    def save(self, session: Session, ended: Ended) -> None:
        save_answer(session, ended, self._conversations)
        if any(isinstance(extra, Metadata) and extra.data.get("topicDrifted") for extra in ended.extras):
            self._conversations.start_afresh(session, ended.run.id)

    def _files(self, session: Session, run_id: str, owner: str) -> list[Attachment]:
        return aside(self._attachments.opened, rows_of(session, self._attachments.rows(run_id)), owner)

    def _texts(self, files: Sequence[Attachment], question: str) -> list[tuple[str, str]]:
        """(name, what matters of it) of each file with text."""
        written = [file for file in files if not file.media_type.startswith("image/")]
        budget = self._config.context_tokens // 2

        def work() -> list[str]:
            whole = [file.content.decode() for file in written]
            return excerpts(whole, question, budget=budget, size=tokens)

        parts = aside(work)
        return [(file.name, part) for file, part in zip(written, parts, strict=True)]

    def _messages(
        self,
        ask: AskRequest,
        run: Run,
        turns: Sequence[Turn],
        texts: Sequence[tuple[str, str]],
        images: Sequence[Attachment],
        found: Sequence[Found],
    ) -> tuple[Message, ...]:
        of_files, of_images, of_reference, of_question = _HEADINGS[run.locale]
        parts: list[str] = []
        if texts:
            parts += [of_files, *(fenced("file", f"{name}\n\n{text}") for name, text in texts)]
        if images:
            parts.append(f"{of_images} {', '.join(image.name for image in images)}")
        if found:
            parts += [of_reference, *(fenced("reference", f"{one.title}\n\n{one.text}") for one in found)]
        question, system = _question(ask, run.locale), ask.system_prompt or self._prompts["ask", run.locale]
        if parts:
            question = "\n\n".join((*parts, f"{of_question}\n{question}"))
            system = f"{system}\n\n{self._prompts['material', run.locale]}"
        pictures = tuple(Image(image.media_type, image.content) for image in images)
        asked = Message("user", question, pictures)
        return fitted(turns, system=system, question=asked, budget=self._config.context_tokens)


def _question(ask: AskRequest, locale: str) -> str:
    """What is asked; files alone are to be told about."""
    return ask.question or message("ask_about_files", locale)


def _recent(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    """The last questions, each with its answer."""
    pairs: list[tuple[str, str]] = []
    for turn in turns:
        if turn.role == "user":
            pairs.append((turn.content, ""))
        elif pairs:
            pairs[-1] = (pairs[-1][0], turn.content)
    return pairs[-RECENT:]


def _progress(stage: str, status: str, words: str, run: Run) -> Progress:
    return Progress(stage, stage, status, message(words, run.locale))


def _material(files: Sequence[Attachment], found: Sequence[Found]) -> Iterator[Source]:
    """The files and the documents that the prompt held, each once. A file has no page: its URL is a fragment that names it."""
    urls = {f"#{quote(file.name)}": file.name for file in files} | {one.url: one.title for one in found}
    for url, title in urls.items():
        yield Source(url, title)


def _usage(answer: Generated) -> dict[str, int] | None:
    usage = answer.usage
    if usage is None:
        return None
    return {"input": usage.input_tokens, "output": usage.output_tokens, "total": usage.total_tokens}


def _timings(answer: Generated, *, began: float, retrieved: float) -> dict[str, int | None]:
    """Milliseconds since the run began, but for the retrieval's, which are its own."""
    first = None if answer.first_at is None else round((answer.first_at - began) * 1000)
    total = round((time.monotonic() - began) * 1000)
    return {"retrievalMs": round((retrieved - began) * 1000), "firstTokenMs": first, "totalMs": total}


def _results(references: References) -> dict[str, list[dict[str, str]]]:
    return {"imageResults": references.images, "youtubeResults": references.videos}
