from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from flask import Flask

from sora.knowledge.documents import SHARED, Documents, Draft
from sora.knowledge.extract import extract
from sora.knowledge.gathered import Limits
from sora.knowledge.ingest import draft_of
from tests.api.conftest import StartApp
from tests.support.process import ROOT
from tests.support.simulator import Simulator
from tests.support.web import Api, frames, said

STAGES = ["query_analysis", "data_retrieval", "response_generation"]
FINAL = {"content", "sources", "confidence_score", "table_data", "chart_data"}


def final(messages: list[dict[str, Any]]) -> dict[str, Any]:
    [one] = [one["data"] for one in messages if one["type"] == "final"]
    assert set(one) == FINAL and messages[-1]["type"] == "final"
    data: dict[str, Any] = one
    return data


@pytest.mark.parametrize("path", ["/api/chat/stream", "/chat/stream"])
def test_its_stages_are_told_and_then_the_answer(bora: Api, path: str) -> None:
    response = bora.post(path, {"message": "안녕하세요?", "user_id": "u1", "conversation_id": "c 1"})
    assert b"\nid:" not in response.data, "a hand-written parser may not expect a second line"
    messages = said(response)
    progress = [one["data"] for one in messages if one["type"] == "progress"]
    assert [(one["node"], one["stage"], one["status"]) for one in progress] == [
        (stage, stage, status) for stage in STAGES for status in ("in_progress", "completed")
    ]
    assert progress[0]["message"] == "질문 분석 중..."
    data = final(messages)
    assert data["content"] and data["sources"] == [] and data["table_data"] is data["chart_data"] is None
    question, answer = bora.get("/api/conversations/c 1/messages").get_json()["items"]
    assert (question["content"], answer["content"]) == ("안녕하세요?", data["content"])


def test_the_words_are_the_readers(bora: Api) -> None:
    response = bora.post("/chat/stream", {"message": "Hello?"}, headers={"Accept-Language": "en"})
    assert said(response)[0]["data"]["message"] == "Reading the question..."


def test_native_readers_get_the_tokens(bora: Api) -> None:
    response = bora.post("/api/chat/stream?format=native", {"message": "안녕"})
    kinds = [frame.event for frame in frames(response)]
    assert kinds.count("delta") == 12 and kinds[-1] == "done" and "result" in kinds


def test_it_answers_at_once_too(bora: Api) -> None:
    answer = bora.post("/api/chat", {"message": "안녕하세요?"}).get_json()
    assert answer["success"] is True and set(answer["data"]) == FINAL and answer["data"]["content"]


@pytest.mark.parametrize(
    ("model", "code", "name", "status"),
    [
        ("sim-500", "upstream_error", "ConnectionError", 502),
        ("sim-429", "upstream_rate_limited", "RateLimited", 429),
        ("sim-n9-d0-filter3", "content_filter", "ContentFilter", 422),
    ],
)
def test_a_failure_has_the_guides_name(
    start_app: StartApp, model: str, code: str, name: str, status: int
) -> None:
    api = Api(start_app(model=model, provider_retries=0), "보라")
    *before, last = said(api.post("/api/chat/stream", {"message": "안녕"}))
    assert last["type"] == "error" and last["data"]["error"] == name and last["data"]["code"] == code
    assert before[-1]["data"]["status"] == "failed" and before[-1]["data"]["stage"] == "response_generation"
    refused = api.post("/api/chat", {"message": "안녕"})
    assert refused.status_code == status
    assert refused.get_json()["success"] is False and refused.get_json()["code"] == code


def test_its_time_is_limited(start_app: StartApp) -> None:
    api = Api(start_app(model="sim-n9-d0-stall3", agent_timeout=0.7), "보라")
    last = said(api.post("/api/chat/stream", {"message": "안녕"}))[-1]
    assert last["data"]["error"] == "Timeout" and last["data"]["retryable"] is True


@pytest.mark.parametrize("path", ["/api/chat/stream", "/chat/stream", "/api/chat", "/api/chat/stream/init"])
@pytest.mark.parametrize("body", [{}, {"message": ""}, {"message": " "}, {"message": None}, {"message": 7}])
def test_without_a_message_there_is_none(bora: Api, path: str, body: dict[str, Any]) -> None:
    response = bora.post(path, body)
    assert response.status_code == 400
    answer = response.get_json()
    assert (answer["success"], answer["error"]) == (False, "메시지가 필요합니다.")
    assert answer["code"] == "invalid_request" and answer["details"][0]["field"] == "message"
    assert bora.get("/api/runs").get_json()["items"] == []


def test_what_is_set_reaches_the_model(start_app: StartApp, simulator: Simulator) -> None:
    api = Api(start_app(agent_models="sim-n3-d0"), "보라")
    llm = {"temperature": 0.25, "top_p": 0.5, "max_tokens": 77, "model": "sim-n3-d0"}
    said(api.post("/api/chat/stream", {"message": "안녕", "custom_prompt": "해적처럼.", "llm_config": llm}))
    asked = simulator.requests()[-1]
    assert asked["parameters"]["temperature"] == 0.25 and asked["parameters"]["top_p"] == 0.5
    assert 77 in asked["parameters"].values() and asked["model"] == "sim-n3-d0"
    assert asked["messages"][0]["content"] == "해적처럼."


@pytest.mark.parametrize(
    ("llm", "field"),
    [
        ({"stop": "x"}, "llm_config.stop"),
        ({"model": "gpt-77"}, "llm_config.model"),
        ({"temperature": 3}, "llm_config.temperature"),
        ({"max_tokens": 0}, "llm_config.max_tokens"),
        ("{", "llm_config"),
        ([1], "llm_config"),
    ],
)
def test_what_may_not_be_set_is_named(bora: Api, llm: Any, field: str) -> None:
    response = bora.post("/api/chat/stream", {"message": "안녕", "llm_config": llm})
    assert response.status_code == 400
    assert [one["field"] for one in response.get_json()["details"]] == [field]


@pytest.mark.parametrize("prefix", ["/api/chat/stream", "/chat/stream"])
def test_a_ticket_is_followed_by_its_url_alone(app: Flask, bora: Api, prefix: str) -> None:
    ticket = bora.post(f"{prefix}/init", {"message": "안녕"}).get_json()["id"]
    anyone = Api(app, None)
    response = anyone.get(f"{prefix}/{ticket}")
    run_id = response.headers["X-Sora-Run-Id"]
    final(said(response))
    last = frames(response)[-1].id
    assert anyone.get(f"{prefix}/{ticket}", headers={"Last-Event-ID": last}).status_code == 204
    assert [one["id"] for one in bora.get("/api/runs").get_json()["items"]] == [run_id]
    assert anyone.get(f"{prefix}/made-up").status_code == 404


def test_a_ticket_first_used_too_late_is_none(start_app: StartApp) -> None:
    app = start_app(ticket_ttl=0.0)
    ticket = Api(app, "보라").post("/api/chat/stream/init", {"message": "안녕"}).get_json()["id"]
    assert Api(app, None).get(f"/api/chat/stream/{ticket}").status_code == 404
    assert len(Api(app, "보라").get("/api/runs").get_json()["items"]) == 1


@pytest.mark.parametrize(
    ("query", "agent"),
    [
        ("message=a&user_id=u", True),
        ("message=b&conversation_id=c", True),
        ("message=c&format=agent", True),
        ("message=d&user_id=u&history=[]", False),
        ("message=e&user_id=u&format=chunks", False),
        ("message=f", False),
    ],
)
def test_an_event_source_is_the_agents_or_the_chunks(bora: Api, query: str, agent: bool) -> None:
    messages = said(bora.get(f"/api/chat/stream?{query}"))
    assert (messages[-1].get("type") == "final") is agent


def test_large_events_come_in_the_guides_form_when_asked(start_app: StartApp) -> None:
    api = Api(start_app(model="sim-n600-d0"), "보라")
    response = api.post("/api/chat/stream?gzip=1", {"message": "안녕"})
    small, *_, large = [frame.data for frame in frames(response)]
    assert json.loads(small)["type"] == "progress"
    assert json.loads(gzip.decompress(bytes.fromhex(large)))["type"] == "final"


def test_a_run_and_a_ticket_of_the_kind(bora: Api) -> None:
    run = bora.post("/api/runs", {"kind": "agent", "input": {"message": "안녕"}}).get_json()
    assert bora.ended(run["id"])["status"] == "completed"
    ticket = bora.post("/api/tickets", {"kind": "agent", "input": {"message": "안녕"}}).get_json()
    final(said(bora.get(f"{ticket['url']}?format=agent")))
    again = bora.post(f"/api/runs/{run['id']}/retry")
    assert again.status_code == 201 and bora.ended(again.get_json()["id"])["status"] == "completed"


def put(app: Flask, name: str, *texts: str) -> None:
    documents = Documents(app.extensions["sora"].engine.database)
    documents.put(SHARED, [Draft(name, name, name, "text/plain", name, texts)])


def test_confidence_follows_what_was_found(app: Flask, bora: Api, simulator: Simulator) -> None:
    put(app, "휴가 규정", "연차 이월: 남은 연차는 다음 해 3월까지 이월됩니다.", "병가는 연 60일까지입니다.")
    put(app, "주차 안내", "방문 차량은 지하 2층에 주차합니다.")

    def asked(question: str) -> dict[str, Any]:
        return final(said(bora.post("/api/chat/stream", {"message": question})))

    whole = asked("남은 연차는 다음 해로 이월되나요?")
    partly = asked("방문 차량 요금 정산 부서는?")
    nothing = asked("quantum chromodynamics lattice")
    assert whole["confidence_score"] > 0.6 > partly["confidence_score"] > nothing["confidence_score"] == 0.1
    assert [one["title"] for one in whole["sources"]] == ["휴가 규정"] and nothing["sources"] == []
    assert "남은 연차는" in json.dumps(simulator.requests()[-3]["messages"], ensure_ascii=False)


def test_the_rows_of_a_table_answer(app: Flask, bora: Api, simulator: Simulator) -> None:
    content = (ROOT / "docs/samples/재고.csv").read_bytes()
    extracted = extract("재고.csv", content, limits=Limits())
    Documents(app.extensions["sora"].engine.database).put(
        SHARED, [draft_of(extracted, source="재고.csv", digest="d")]
    )
    data = final(said(bora.post("/api/chat/stream", {"message": "ABC-12345 부품의 재고는?"})))
    [row] = data["table_data"]["rows"]
    assert row["품번"] == "ABC-12345" and row["수량"] == data["table_data"]["value"] == 128
    assert data["chart_data"] == {
        "type": "bar", "labels": ["ABC-12345"], "datasets": [{"label": "수량", "data": [128]}],
    }  # fmt: skip
    assert data["confidence_score"] == 0.95 and data["sources"][0]["title"] == "재고"
    assert "수량: 128" in simulator.requests()[-1]["messages"][-1]["content"]


def test_a_table_that_is_too_large_is_not_guessed(app: Flask, bora: Api, simulator: Simulator) -> None:
    lines = [f"QX-{number:05},{number}" for number in range(20_001)]
    extracted = extract("큰 재고.csv", "\n".join(["부품,수량", *lines]).encode(), limits=Limits())
    draft = draft_of(extracted, source="큰 재고.csv", digest="d")
    Documents(app.extensions["sora"].engine.database).put(SHARED, [draft])
    data = final(said(bora.post("/api/chat/stream", {"message": "QX-00500 부품의 수량은?"})))
    assert data["table_data"] is data["chart_data"] is None and data["confidence_score"] < 0.95
    assert data["content"].startswith("‘큰 재고’ 표는 행이 너무 많아 계산하지 못했습니다.")
    assert "계산하지 못했습니다" in simulator.requests()[-1]["messages"][-1]["content"]
