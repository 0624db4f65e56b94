"""The knowledge base over HTTP."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from sora.knowledge.documents import SHARED, Documents, Draft
from tests.api.conftest import StartApp
from tests.support.client import make_token
from tests.support.simulator import Simulator
from tests.support.web import Api

POLICY = "# 휴가 규정\n\n연차는 15일이다.\n\n병가는 10일이다.\n"
STOCK = "품번,품명,수량,입고일\nABC-12345,진공청소기,128,2026-01-12\nABC-12346,배터리,42,2026-01-08\n"


@pytest.fixture
def chief(app: Flask) -> Api:
    """A user who may put documents in."""
    api = Api(app, None)
    api.headers["Authorization"] = f"Bearer {make_token('대표', role='ADMIN')}"
    return api


def upload(api: Api, **files: str | bytes) -> TestResponse:
    """Files by name; `__` stands for a dot."""
    parts = [
        (io.BytesIO(content if isinstance(content, bytes) else content.encode()), name.replace("__", "."))
        for name, content in files.items()
    ]
    return api.call("POST", "/api/documents", data={"files": parts}, content_type="multipart/form-data")


def share(app: Flask, *texts: str) -> str:
    [document] = Documents(app.extensions["sora"].engine.database).put(
        SHARED, [Draft("/srv/private/rules.md", "rules.md", "규정", "text/markdown", "1", texts)]
    )
    return document.id


def items(response: TestResponse) -> list[dict[str, Any]]:
    assert response.status_code in (200, 201), response.text
    found: list[dict[str, Any]] = response.get_json()["items"]
    return found


def test_what_is_put_in_is_found(chief: Api, bora: Api) -> None:
    put = items(upload(chief, 휴가__md=POLICY, 재고__csv=STOCK))

    assert [(d["title"], d["name"], d["kind"], d["scope"]) for d in put] == [
        ("휴가 규정", "휴가.md", "text", "own"),
        ("재고", "재고.csv", "table", "own"),
    ]
    found = items(chief.get("/api/search?q=abc12345 재고가 몇 개"))
    assert found[0]["text"] == "품번: ABC-12345, 품명: 진공청소기, 수량: 128, 입고일: 2026-01-12"
    assert chief.get(found[0]["url"]).get_json()["title"] == "재고"
    assert items(bora.get("/api/search?q=재고")) == [] == items(bora.get("/api/documents"))


def test_a_document_shows_its_passages_page_by_page(chief: Api) -> None:
    [table] = items(upload(chief, 재고__csv=STOCK))

    first = chief.get(f"{table['url']}?limit=1").get_json()
    assert first["pieces"] == [
        {
            "position": 0,
            "text": "품번: ABC-12345, 품명: 진공청소기, 수량: 128, 입고일: 2026-01-12",
            "cells": {"품번": "ABC-12345", "품명": "진공청소기", "수량": 128, "입고일": "2026-01-12"},
        }
    ]
    assert [column["type"] for column in first["sheets"][0]["columns"]] == ["text", "text", "number", "date"]
    assert (first["hasNext"], first["nextCursor"]) == (True, 0)
    second = chief.get(f"{table['url']}?limit=1&after=0").get_json()
    assert [piece["position"] for piece in second["pieces"]] == [1]
    assert (second["hasNext"], second["nextCursor"]) == (False, None)


def test_a_file_of_the_same_name_takes_its_place(chief: Api) -> None:
    [first] = items(upload(chief, 휴가__md=POLICY))
    [second] = items(upload(chief, 휴가__md=POLICY.replace("15", "20")))

    assert second["id"] == first["id"]
    assert [hit["text"] for hit in items(chief.get("/api/search?q=연차"))] == [
        "휴가 규정\n연차는 20일이다.\n\n병가는 10일이다."
    ]


def test_the_same_file_again_costs_nothing(start_app: StartApp) -> None:
    chief = Api(start_app(upload_roles="*"), "대표")
    first = upload(chief, 휴가__md=POLICY, 재고__csv=STOCK)

    # Whoever read a file there would refuse it.
    reads_none = Api(start_app(upload_roles="*", max_file_text="1"), "대표")
    again = upload(reads_none, 휴가__md=POLICY, 재고__csv=STOCK)
    assert again.status_code == 200, again.text
    assert items(again) == items(first), "nor has it been written again"
    assert upload(reads_none, 휴가__md=POLICY, 재고__csv=STOCK.replace("128", "129")).status_code == 413

    changed = upload(chief, 휴가__md=POLICY, 재고__csv=STOCK.replace("128", "129"))
    assert changed.status_code == 201
    assert items(changed)[0] == items(first)[0]
    assert items(changed)[1]["id"] == items(first)[1]["id"]
    assert "수량: 129" in items(chief.get("/api/search?q=ABC-12345"))[0]["text"]


def test_files_that_are_there_count_too(start_app: StartApp) -> None:
    chief = Api(start_app(upload_roles="*", max_files="2"), "대표")
    items(upload(chief, a__md=POLICY, b__md=POLICY))

    refused = upload(chief, a__md=POLICY, b__md=POLICY, c__md=POLICY)
    assert refused.status_code == 413, refused.text


def test_with_embeddings_what_has_other_words_is_found(start_app: StartApp, simulator: Simulator) -> None:
    chief = Api(start_app(upload_roles="*", embedding_model="sim"), "대표")
    assert upload(chief, battery__md="# battery replacement").get_json()["passagesWithoutVector"] == 0

    assert [hit["text"] for hit in items(chief.get("/api/search?q=batery replacment"))] == [
        "battery replacement"
    ]
    said = chief.post("/api/ask", {"question": "batery replacment"})
    assert '"title":"battery replacement"' in said.text
    assert "battery replacement" in str(simulator.requests()[-1]["messages"])


def test_an_upload_does_without_embeddings_that_fail(start_app: StartApp) -> None:
    # Each request fails the first time.
    how = {"upload_roles": "*", "embedding_model": "sim-fail1x500"}
    chief = Api(start_app(**how, provider_retries="0"), "대표")
    put = upload(chief, battery__md="# battery replacement")
    assert (put.status_code, put.get_json()["passagesWithoutVector"]) == (201, 1)
    assert len(items(chief.get("/api/search?q=battery"))) == 1

    chief = Api(start_app(**how, provider_retries="1"), "대표")
    again = upload(chief, battery__md="# battery replacement")
    assert (again.status_code, again.get_json()["passagesWithoutVector"]) == (200, 0)
    assert len(items(chief.get("/api/search?q=batery replacment"))) == 1


def test_documents_are_listed_page_by_page(chief: Api) -> None:
    for number in range(5):
        upload(chief, **{f"n{number}__txt": "말"})

    names: list[str] = []
    path = "/api/documents?limit=2"
    while True:
        page = chief.get(path).get_json()
        names += [document["name"] for document in page["items"]]
        if not page["hasNext"]:
            break
        path = f"/api/documents?limit=2&before={page['nextCursor']}"
    assert names == ["n4.txt", "n3.txt", "n2.txt", "n1.txt", "n0.txt"]


def test_what_is_shared_can_be_read_by_all_and_changed_by_none(app: Flask, bora: Api, chief: Api) -> None:
    shared = share(app, "연차는 15일이다.")

    for api in (bora, chief):
        [hit] = items(api.get("/api/search?q=연차"))
        assert hit["documentId"] == shared
        [document] = items(api.get("/api/documents"))
        assert document["scope"] == "shared" and "/srv" not in str(document)
        assert api.get(f"/api/documents/{shared}").get_json()["pieces"][0]["text"] == "연차는 15일이다."
        assert api.delete(f"/api/documents/{shared}").status_code == 403


def test_what_is_anothers_is_not_there(chief: Api, bora: Api) -> None:
    [document] = items(upload(chief, 휴가__md=POLICY))

    for method in ("GET", "DELETE"):
        assert bora.call(method, f"/api/documents/{document['id']}").status_code == 404
    assert chief.delete(document["url"]).status_code == 204
    assert chief.delete(document["url"]).status_code == 404
    assert items(chief.get("/api/search?q=연차")) == []


def test_only_some_roles_put_documents_in(bora: Api, start_app: StartApp) -> None:
    assert upload(bora, 휴가__md=POLICY).status_code == 403
    assert items(bora.get("/api/documents")) == []

    anybody = Api(start_app(upload_roles="*"), "보라")
    assert upload(anybody, 휴가__md=POLICY).status_code == 201


def test_a_file_that_cannot_be_read_is_named_and_nothing_is_put_in(chief: Api) -> None:
    refused = upload(chief, 휴가__md=POLICY, 사진__pdf=b"%PDF-1.7 broken")

    assert refused.status_code == 400
    assert refused.get_json()["code"] == "unreadable_file"
    assert "사진.pdf" in refused.get_json()["details"][0]["message"]
    assert items(chief.get("/api/documents")) == []


@pytest.mark.parametrize(
    ("method", "path", "status", "field"),
    [
        ("GET", "/api/search", 400, "q"),
        ("GET", "/api/search?q=", 400, "q"),
        ("GET", "/api/search?q=%00", 400, "q"),
        ("GET", f"/api/search?q={'a' * 5000}", 400, "q"),
        ("GET", "/api/search?q=a&limit=51", 400, "limit"),
        ("GET", "/api/search?q=a&limit=x", 400, "limit"),
        ("GET", "/api/documents?limit=0", 400, "limit"),
        ("GET", "/api/documents?before=../etc", 400, "before"),
        ("GET", "/api/documents/../../etc/passwd", 404, None),
        ("GET", "/api/documents/7Qabc", 404, None),
        ("GET", "/api/documents/7Qabc?after=-1", 400, "after"),
        ("DELETE", "/api/documents/7Qabc", 404, None),
    ],
)
def test_what_cannot_be_asked(chief: Api, method: str, path: str, status: int, field: str | None) -> None:
    answer = chief.call(method, path)

    assert answer.status_code == status, answer.text
    assert [detail["field"] for detail in answer.get_json().get("details", [])] == ([field] if field else [])


def test_a_form_without_a_file_or_with_one_twice(chief: Api) -> None:
    empty = chief.call("POST", "/api/documents", data={}, content_type="multipart/form-data")
    assert (empty.status_code, empty.get_json()["details"][0]["field"]) == (400, "files")
    parts = [(io.BytesIO(POLICY.encode()), "같은.md"), (io.BytesIO(b"else"), "같은.md")]
    twice = chief.call("POST", "/api/documents", data={"files": parts}, content_type="multipart/form-data")
    assert (twice.status_code, twice.get_json()["details"][0]["field"]) == (400, "files")
    assert chief.post("/api/documents", {"files": []}).status_code == 415


def test_nobody_is_let_in_without_a_token(app: Flask) -> None:
    nobody = Api(app, None)

    for method, path in (("GET", "/api/documents"), ("POST", "/api/documents"), ("GET", "/api/search?q=a")):
        assert nobody.call(method, path).status_code == 401
