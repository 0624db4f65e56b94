"""Embeddings in the search, on every database Sora supports."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from bench.quality import search as quality
from sora.config import Config
from sora.errors import UpstreamError, UpstreamTimeout
from sora.knowledge import resident, vectors
from sora.knowledge.documents import SHARED, Documents, Draft
from sora.knowledge.search import Found, Knowledge, fused
from sora.knowledge.vectors import BATCH, Vectors
from sora.simulator.embeddings import embed
from sora.store.database import Database
from sora.store.models import Base, VectorRow
from tests.support.rows import count


class Model:
    """The simulator's embeddings, of this process. It fails while `error` says how."""

    def __init__(self, model: str = "sim", error: Exception | None = None) -> None:
        self.model = model
        self.error = error
        self.asked: list[list[str]] = []
        self.timeouts: list[float] = []

    def embed(self, texts: Sequence[str], *, timeout: float) -> list[list[float]]:
        self.asked.append(list(texts))
        self.timeouts.append(timeout)
        if self.error is not None:
            raise self.error
        return [embed(text, 64) for text in texts]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def documents(database: Database) -> Documents:
    return Documents(database)


@pytest.fixture
def knowledge(database: Database, model: Model) -> Knowledge:
    return with_vectors(database, model)


def with_vectors(database: Database, model: Model) -> Knowledge:
    return Knowledge(database, vectors=Vectors(database, model), similarity=0.3)


def of(knowledge: Knowledge) -> Vectors:
    assert knowledge.vectors is not None
    return knowledge.vectors


def put(documents: Documents, owner: str, source: str, *texts: str) -> None:
    documents.put(owner, [Draft(source, source, source, "text/plain", "1", texts)])


def said(found: Sequence[Found]) -> list[str]:
    return [passage.text for passage in found]


def failures(use: str) -> float:
    return REGISTRY.get_sample_value("sora_embedding_failures_total", {"use": use}) or 0.0


def test_what_has_other_words_is_found_by_its_meaning(
    database: Database, documents: Documents, knowledge: Knowledge
) -> None:
    put(documents, SHARED, "a", "battery replacement", "annual leave", "창고 재고")
    of(knowledge).fill(SHARED)

    assert Knowledge(database).search("", "batery replacment") == []
    [found] = knowledge.search("", "batery replacment")
    assert (found.text, found.near, found.words) == ("battery replacement", True, 0.0)
    [both] = knowledge.search("", "annual leave")
    assert both.near and both.words > 0 and both.score > found.score
    assert knowledge.search("", "전혀 다른 이야기") == []


def test_rankings_are_fused_by_their_reciprocal_ranks() -> None:
    first, second, third = (1, 1), (1, 2), (1, 3)

    assert fused([[first, second], [third, second]]) == {
        second: 2 / 62,
        first: 1 / 61,
        third: 1 / 61,
    }
    assert list(fused([[first, second], [third, second]])) == [second, first, third]


def test_only_what_lacks_a_vector_is_sent(
    database: Database, documents: Documents, knowledge: Knowledge, model: Model
) -> None:
    put(documents, SHARED, "a", *[f"passage {number}" for number in range(2 * BATCH + 1)])
    told: list[int] = []

    assert of(knowledge).fill(SHARED, told=told.append) == (2 * BATCH + 1, 0, "")
    assert [len(texts) for texts in model.asked] == told == [BATCH, BATCH, 1]
    assert model.asked[0][0] == "a\npassage 0", "under its title"
    put(documents, SHARED, "b", "one more")
    put(documents, "보라", "c", "somebody's")
    assert of(knowledge).fill(SHARED) == (1, 0, "")
    assert of(knowledge).fill(SHARED) == (0, 0, "")
    assert count(database, VectorRow) == 2 * BATCH + 2 and of(knowledge).lacking("보라") == 1

    put(documents, SHARED, "a", "another text")
    assert count(database, VectorRow) == 1, "what is replaced takes its vectors along"
    assert of(knowledge).fill(SHARED) == (1, 0, "")


def test_another_model_makes_its_own(database: Database, documents: Documents, knowledge: Knowledge) -> None:
    put(documents, SHARED, "a", "battery replacement")
    of(knowledge).fill(SHARED)

    other = with_vectors(database, Model("other"))
    assert other.search("", "batery replacment") == []
    assert of(other).fill(SHARED) == (1, 0, "")
    assert len(other.search("", "batery replacment")) == 1
    assert knowledge.search("", "batery replacment") == []
    assert count(database, VectorRow) == 1


def test_a_model_that_fails_leaves_the_rest_for_later(
    database: Database, documents: Documents, knowledge: Knowledge, model: Model
) -> None:
    put(documents, SHARED, "a", "annual leave", "battery replacement")
    model.error, before = UpstreamError("down"), failures("ingest")

    assert of(knowledge).fill(SHARED) == (0, 2, "upstream_error")
    assert failures("ingest") == before + 1
    assert said(knowledge.search("", "annual leave")) == ["annual leave"]
    assert len(model.asked) == 1, "nothing is near where there are no vectors"
    assert of(knowledge).fill(SHARED, seconds=0.0) == (0, 2, "")
    model.error = None
    assert of(knowledge).fill(SHARED) == (2, 0, "")


def test_a_search_goes_on_without_a_model_that_fails(
    documents: Documents, knowledge: Knowledge, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(documents, SHARED, "a", "annual leave", "battery replacement")
    of(knowledge).fill(SHARED)
    model.error, before = UpstreamTimeout("slow"), failures("search")
    asked = len(model.asked)

    for _ in range(3):
        [found] = knowledge.search("", "annual leave")
        assert (found.text, found.near) == ("annual leave", False)
    assert len(model.asked) == asked + 1, "it is left alone for a while"
    assert model.timeouts[-1] == vectors.PATIENCE and failures("search") == before + 1

    model.error = None
    monkeypatch.setattr(of(knowledge), "_rests_until", 0.0)
    assert knowledge.search("", "annual leave")[0].near


def test_a_shelf_is_its_owners(documents: Documents, knowledge: Knowledge) -> None:
    for owner in ("보라", "다나", SHARED):
        put(documents, owner, "a", f"battery replacement of {owner}")
        of(knowledge).fill(owner)

    for owner in ("보라", "다나"):
        found = said(knowledge.search(owner, "batery replacment"))
        assert sorted(found) == sorted([f"battery replacement of {owner}", "battery replacement of "])
    assert said(knowledge.search("누구", "batery replacment")) == ["battery replacement of "]


def test_what_others_have_changed_is_seen(
    database: Database, documents: Documents, knowledge: Knowledge
) -> None:
    elsewhere = with_vectors(database, Model())
    put(documents, SHARED, "a", "battery replacement")
    of(elsewhere).fill(SHARED)
    assert said(knowledge.search("", "batery replacment")) == ["battery replacement"]

    put(documents, SHARED, "b", "battery replacements")
    of(elsewhere).fill(SHARED)
    assert len(knowledge.search("", "batery replacment")) == 2
    put(documents, SHARED, "a", "annual leave")
    assert said(knowledge.search("", "batery replacment")) == ["battery replacements"]
    [gone] = [document for document in documents.page(SHARED) if document.source == "b"]
    documents.delete(SHARED, gone.id)
    assert knowledge.search("", "batery replacment") == []


def test_it_is_right_after_any_change(documents: Documents, knowledge: Knowledge, database: Database) -> None:
    random_ = random.Random(11)
    for step in range(25):
        put(
            documents,
            SHARED,
            f"s{random_.randrange(6)}",
            *[f"{word} {step}" for word in random_.choices(WORDS, k=4)],
        )
        of(knowledge).fill(SHARED)
        question = random_.choice(WORDS) + "x"
        fresh = with_vectors(database, Model())
        assert knowledge.search("", question, limit=30) == fresh.search("", question, limit=30)


def test_of_more_than_memory_holds_what_the_words_find_is_looked_at(
    documents: Documents, knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "MOST", 2)
    put(documents, SHARED, "a", "battery replacement", "battery life of the remote control", "annual leave")
    of(knowledge).fill(SHARED)

    assert knowledge.search("", "batery replacment") == []
    found = knowledge.search("", "battery replacment")
    assert found[0].text == "battery replacement" and found[0].near and len(found) == 2
    put(documents, "보라", "b", "battery replacement of mine")
    of(knowledge).fill("보라")
    assert said(knowledge.search("보라", "batery replacment")) == ["battery replacement of mine"]


def test_vectors_that_are_none_are_near_to_nothing(
    documents: Documents, knowledge: Knowledge, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(documents, SHARED, "a", "annual leave", "battery replacement")
    odd = [[float("nan")] * 64, [0.0] * 64]
    monkeypatch.setattr(model, "embed", lambda texts, timeout: odd)
    assert of(knowledge).fill(SHARED) == (2, 0, "")
    monkeypatch.undo()

    assert [found.near for found in knowledge.search("", "annual leave")] == [False]


def test_both_databases_rank_alike(sqlite_url: str, postgres_url: str) -> None:
    found = []
    for url in (sqlite_url, postgres_url):
        database = Database(Config(database_url=url).database)
        Base.metadata.create_all(database.engine)
        knowledge, random_ = with_vectors(database, Model()), random.Random(3)
        for source in range(10):
            put(
                Documents(database),
                SHARED,
                str(source),
                *[" ".join(random_.choices(WORDS, k=6)) for _ in range(9)],
            )
        of(knowledge).fill(SHARED)
        found.append(
            [(one.text, one.score) for word in WORDS for one in knowledge.search("", f"{word} {word[:-1]}x")]
        )
        database.close()

    assert found[0] == found[1] and len(found[0]) > 20


def test_the_sample_questions_are_answered_as_well(database: Database) -> None:
    quality.fill(database)
    knowledge = Knowledge(database, vectors=Vectors(database, Model()), similarity=0.3)
    of(knowledge).fill(SHARED)

    some = quality.cases()
    assert 1 - len(quality.missed(database, some, knowledge)) / len(some) >= quality.LEAST


WORDS = [
    "battery",
    "replacement",
    "annual",
    "leave",
    "warehouse",
    "filter",
    "travel",
    "재고현황",
    "연차휴가",
    "정산방법",
]
