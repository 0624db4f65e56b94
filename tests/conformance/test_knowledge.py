"""The knowledge base, on every database Sora supports."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench.quality import search as quality
from sora.config import Config
from sora.knowledge import index
from sora.knowledge.documents import SHARED, Document, Documents, Draft
from sora.knowledge.search import Found, Knowledge, ranked
from sora.knowledge.sheets import Sheet, typed
from sora.store.database import Database
from sora.store.models import Base, PassageRow, PostingRow, SegmentRow
from tests.support.rows import count

WORDS = [
    "재고",
    "연차",
    "휴가",
    "급여",
    "보안",
    "출장",
    "주차",
    "회의",
    "정산",
    "창고",
    "부품",
    "필터",
    "배터리",
    "센서",
    "leave",
    "stock",
    "filter",
    "battery",
    "policy",
    "travel",
]


@pytest.fixture
def documents(database: Database) -> Documents:
    return Documents(database)


@pytest.fixture
def knowledge(database: Database) -> Knowledge:
    return Knowledge(database)


def a_draft(source: str, *texts: str, title: str = "", digest: str = "1") -> Draft:
    return Draft(source, source, title or source, "text/plain", digest, texts)


def a_table(source: str, rows: list[dict[str, str]]) -> Draft:
    columns, values = typed(list(rows[0]), rows)
    texts = [", ".join(f"{name}: {cell}" for name, cell in row.items()) for row in rows]
    return Draft(source, source, source, "text/csv", "1", texts, (Sheet("s", columns, len(rows)),), values)


def put(documents: Documents, owner: str, *drafts: Draft) -> list[Document]:
    return documents.put(owner, drafts)


def said(found: Sequence[Found]) -> list[str]:
    return [passage.text for passage in found]


class TestSearch:
    def test_what_fits_best_comes_first(self, documents: Documents, knowledge: Knowledge) -> None:
        put(
            documents, SHARED, a_draft("a", "연차는 15일이다.", "출장은 7일 안에 정산한다."), a_draft("b", "재고는 창고에 있다.")
        )  # fmt: skip

        found = knowledge.search("보라", "재고가 어디에 있나요?")

        assert said(found) == ["재고는 창고에 있다."]
        assert found[0].title == "b" and found[0].score > 0
        assert found[0].url == f"/api/documents/{found[0].document_id}"
        assert found[0].passage_id == f"{found[0].document_id}:0"

    @pytest.mark.parametrize("words", ["", "?!", "없는말", "\0", "\ud800", "'; drop table postings; --", "%"])
    def test_nothing_is_found_by_what_is_not_there(
        self, documents: Documents, knowledge: Knowledge, words: str
    ) -> None:
        assert knowledge.search("보라", words) == []
        put(documents, SHARED, a_draft("a", "연차는 15일이다."))
        assert knowledge.search("보라", words) == []

    def test_a_source_on_the_web_is_its_own_reference(
        self, documents: Documents, knowledge: Knowledge
    ) -> None:
        put(documents, SHARED, a_draft("https://example.com/a", "연차는 15일이다."))

        assert knowledge.search("", "연차")[0].url == "https://example.com/a"

    def test_a_reference_says_where_a_document_is_shown(
        self, database: Database, documents: Documents
    ) -> None:
        [document] = put(documents, SHARED, a_draft("a", "연차는 15일이다."))

        for pages, url in (
            ("/ai/api/documents", f"/ai/api/documents/{document.id}"),
            (None, f"#{document.id}"),
        ):
            assert Knowledge(database, pages=pages).search("", "연차")[0].url == url

    def test_a_title_finds_what_stands_under_it(self, documents: Documents, knowledge: Knowledge) -> None:
        put(
            documents,
            SHARED,
            a_draft("a", "물을 붓는다.", title="가습기 H50"),
            a_draft("b", "물을 붓는다.", title="다리미"),
        )

        assert [found.title for found in knowledge.search("", "가습기에 물 붓기")] == ["가습기 H50", "다리미"]

    def test_a_very_long_question_is_answered(self, documents: Documents, knowledge: Knowledge) -> None:
        put(documents, SHARED, a_draft("a", "연차는 15일이다."))
        question = "연차 " + "".join(chr(0xAC00 + number % 11_000) for number in range(100_000))

        assert said(knowledge.search("", question)) == ["연차는 15일이다."]

    def test_texts_are_ranked_without_a_database_alike(
        self, documents: Documents, knowledge: Knowledge
    ) -> None:
        texts = passages(random.Random(5), 300)
        put(documents, SHARED, *[a_draft(f"{number}", text, title="-") for number, text in enumerate(texts)])

        for question in ("재고 부품", "annual leave policy", "창고 필터 배터리"):
            found = knowledge.search("", question, limit=10)
            assert [texts[place] for place in ranked(texts, question, limit=10)] == said(found)
        assert ranked([], "재고", limit=3) == ranked(["", "?"], "재고", limit=3) == []


class TestOwners:
    def test_a_shelf_is_its_owners(self, documents: Documents, knowledge: Knowledge) -> None:
        [mine] = put(documents, "보라", a_draft("a", "보라의 연차는 20일이다."))
        [theirs] = put(documents, "다나", a_draft("a", "다나의 연차는 10일이다."))
        [shared] = put(documents, SHARED, a_draft("a", "모두의 연차는 15일이다."))

        assert set(said(knowledge.search("보라", "연차"))) == {
            "보라의 연차는 20일이다.",
            "모두의 연차는 15일이다.",
        }
        assert said(knowledge.search("누구", "연차")) == ["모두의 연차는 15일이다."]
        assert {document.id for document in documents.page("보라")} == {mine.id, shared.id}
        assert [document.shared for document in documents.page("누구")] == [True]
        assert documents.find("보라", theirs.id) is None
        assert documents.find("다나", theirs.id) is not None
        assert not documents.delete("보라", theirs.id)
        assert not documents.delete("보라", shared.id)
        assert documents.delete(SHARED, shared.id)
        assert set(documents.digests("다나")) == {"a"}

    def test_what_others_have_does_not_change_a_score(
        self, documents: Documents, knowledge: Knowledge
    ) -> None:
        put(documents, "보라", a_draft("a", "연차는 20일이다.", "재고는 3개다."))
        before = knowledge.search("보라", "연차 재고")

        put(documents, "다나", *[a_draft(f"{number}", "연차는 10일이다.") for number in range(30)])

        assert knowledge.search("보라", "연차 재고") == before


class TestDocuments:
    def test_a_changed_document_takes_the_place_of_what_it_was(
        self, database: Database, documents: Documents, knowledge: Knowledge
    ) -> None:
        [first] = put(documents, SHARED, a_draft("a", "연차는 15일이다.", "병가는 10일이다."))
        [second] = put(documents, SHARED, a_draft("a", "연차는 20일이다.", digest="2"))

        assert (second.id, second.created_at) == (first.id, first.created_at)
        assert said(knowledge.search("", "연차 병가")) == ["연차는 20일이다."]
        assert documents.digests(SHARED) == {"a": "2"}
        assert count(database, PassageRow) == 1

    def test_what_is_deleted_leaves_nothing(
        self, database: Database, documents: Documents, knowledge: Knowledge
    ) -> None:
        put(documents, SHARED, a_draft("a", "연차는 15일이다."), a_draft("b", "병가는 10일이다."))
        for document in documents.page(SHARED):
            assert documents.delete(SHARED, document.id)

        assert knowledge.search("", "연차 병가") == [] == documents.page(SHARED)
        assert [count(database, table) for table in (PassageRow, PostingRow, SegmentRow)] == [0, 0, 0]

    def test_all_of_it_or_nothing_is_put_in(self, documents: Documents, knowledge: Knowledge) -> None:
        put(documents, SHARED, a_draft("a", "연차는 15일이다."))

        with pytest.raises(sa.exc.IntegrityError):
            put(documents, SHARED, a_draft("a", "연차는 20일이다."), a_draft("b", "병가", digest=None))  # type: ignore[arg-type]

        assert said(knowledge.search("", "연차 병가")) == ["연차는 15일이다."]

    def test_pages_lead_through_all_documents(self, documents: Documents) -> None:
        for number in range(7):
            put(documents, "보라" if number % 2 else SHARED, a_draft(f"{number}", "말"))

        seen: list[str] = []
        after = None
        while page := documents.page("보라", after=after, limit=2):
            seen += [document.source for document in page]
            after = page[-1].id
        assert seen == ["6", "5", "4", "3", "2", "1", "0"]

    def test_the_rows_of_a_table_are_values(self, documents: Documents, knowledge: Knowledge) -> None:
        rows = [{"품번": f"ABC-{number:05}", "수량": f"{number}"} for number in range(2500)]
        [table] = put(documents, SHARED, a_table("재고.csv", rows))
        put(documents, SHARED, a_draft("a", "표가 아니다."))

        assert [found.name for found in documents.tables("보라")] == ["재고.csv"]
        assert (table.kind, table.sheets[0].columns[1].type, table.sheets[0].rows) == (
            "table",
            "number",
            2500,
        )
        assert list(documents.rows(table)) == [{"품번": f"ABC-{n:05}", "수량": n} for n in range(2500)]
        assert said(knowledge.search("", "ABC-02049 재고", limit=1)) == ["품번: ABC-02049, 수량: 2049"]
        assert [piece.position for piece in documents.pieces(table, after=2497)] == [2498, 2499]


class TestIndex:
    def test_it_stays_what_one_segment_would_be(
        self, database: Database, documents: Documents, knowledge: Knowledge
    ) -> None:
        """Put in one by one, replaced and deleted, put together now and then: found is what is there, and all of it."""
        random_ = random.Random(7)
        there: dict[str, list[str]] = {}
        for step in range(70):
            source = f"s{random_.randrange(20)}"
            if random_.random() < 0.25 and source in there:
                [old] = [
                    document for document in documents.page(SHARED, limit=100) if document.source == source
                ]
                assert documents.delete(SHARED, old.id)
                del there[source]
            else:
                there[source] = [f"{text} #{step}" for text in passages(random_, random_.randrange(1, 5))]
                put(documents, SHARED, a_draft(source, *there[source], digest=f"{step}"))
        texts = sorted(itertools.chain.from_iterable(there.values()))

        for word in WORDS:
            having = [text for text in texts if word in text]
            assert sorted(said(knowledge.search("", word, limit=len(texts) + 1))) == having
        with database.read() as session:
            segments = session.scalars(sa.select(SegmentRow)).all()
        assert sum(segment.live for segment in segments) == len(texts)
        assert len(segments) < 20
        assert all(segment.live * 2 >= segment.built for segment in segments)

    def test_more_than_a_segment_holds_is_found(self, documents: Documents, knowledge: Knowledge) -> None:
        texts = [f"행 {number}번" for number in range(index.SMALL + 10)]
        [document] = put(documents, SHARED, a_draft("a", *texts))

        for number in (0, index.SMALL - 1, index.SMALL, index.SMALL + 9):
            assert said(knowledge.search("", f"{number}", limit=1)) == [f"행 {number}번"]
        documents.delete(SHARED, document.id)
        assert knowledge.search("", "행") == []

    def test_writers_of_one_shelf_take_turns(self, documents: Documents, knowledge: Knowledge) -> None:
        def work(number: int) -> None:
            for step in range(5):
                put(documents, SHARED, a_draft(f"{number}-{step}", f"재고 {number}-{step}"))

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(6)))

        assert len(set(said(knowledge.search("", "재고", limit=50)))) == 30

    def test_it_can_be_searched_while_segments_are_put_together(
        self, database_url: str, documents: Documents, knowledge: Knowledge
    ) -> None:
        put(documents, SHARED, a_draft("0", "재고는 창고에 있다."))
        elsewhere = Database(Config(database_url=database_url).database)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(
                lambda: [put(Documents(elsewhere), SHARED, a_draft(f"{n}", "다른 말")) for n in range(1, 20)]
            )
            while not writing.done():
                assert said(knowledge.search("", "재고")) == ["재고는 창고에 있다."]
        writing.result()
        elsewhere.close()

    def test_common_words_are_left_out_of_a_long_question(
        self, documents: Documents, knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(documents, SHARED, a_draft("a", *["재고 연차"] * 50, "재고 연차 급여"))
        monkeypatch.setattr(index, "_POSTINGS_READ", 10)

        assert said(knowledge.search("", "재고 연차 급여")) == ["재고 연차 급여"]
        assert len(knowledge.search("", "재고 연차")) == 5, "the rarest is looked for, however common"


def test_both_databases_rank_alike(sqlite_url: str, postgres_url: str) -> None:
    texts = passages(random.Random(3), 600)
    found = []
    for url in (sqlite_url, postgres_url):
        database = Database(Config(database_url=url).database)
        Base.metadata.create_all(database.engine)
        documents, knowledge = Documents(database), Knowledge(database)
        for start in range(0, 600, 30):
            put(documents, "보라" if start % 60 else SHARED, a_draft(f"{start}", *texts[start : start + 30]))
        documents.delete(SHARED, documents.page(SHARED)[3].id)
        found.append(
            [
                (passage.text, passage.score)
                for first, second in itertools.combinations(WORDS[6:], 2)
                for passage in knowledge.search("보라", f"{first} {second}", limit=10)
            ]
        )
        database.close()

    assert found[0] == found[1] and len(found[0]) > 500


def test_the_sample_questions_are_answered(database: Database) -> None:
    quality.fill(database)
    cases = quality.cases()

    assert len(cases) >= 60 and {case["language"] for case in cases} == {"ko", "en"}
    for language in ("ko", "en"):
        some = quality.cases(language)
        assert 1 - len(quality.missed(database, some)) / len(some) >= quality.LEAST


def test_the_samples_are_what_the_questions_ask_about() -> None:
    names = {path.name for path in Path(quality.SAMPLES).iterdir()}

    assert {case["document"] for case in quality.cases()} <= names


def passages(random_: random.Random, number: int) -> list[str]:
    weights = [1 / (place + 2) for place in range(len(WORDS))]
    return [" ".join(random_.choices(WORDS, weights, k=random_.randrange(3, 30))) for _ in range(number)]
