from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import StartApp
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until
from tests.support.web import Api, frames

HELLO = "재고가 얼마나 있나요?"


def ask(api: Api, message: str, conversation: str | None = "봄 회의", **more: Any) -> dict[str, Any]:
    """A message in a conversation; its run, once that has ended."""
    content = {"message": message, **({"conversation_id": conversation} if conversation else {}), **more}
    response = api.post("/api/runs", {"kind": "chat", "input": content})
    assert response.status_code == 201, response.text
    return api.ended(response.get_json()["id"])


def messages(api: Api, name: str = "봄 회의", query: str = "") -> list[dict[str, Any]]:
    response = api.get(f"/api/conversations/{name}/messages{query}")
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.get_json()["items"]
    return items


def prompt(simulator: Simulator) -> list[tuple[str, str]]:
    """What the model was asked last."""
    return [(message["role"], message["content"]) for message in simulator.requests()[-1]["messages"]]


def test_what_was_said_is_kept_and_goes_on(bora: Api, dana: Api, simulator: Simulator) -> None:
    first = ask(bora, HELLO)
    second = ask(bora, "언제 들어오나요?")
    assert prompt(simulator)[1:] == [
        ("user", HELLO), ("assistant", first["text"]), ("user", "언제 들어오나요?"),
    ]  # fmt: skip
    assert prompt(simulator)[0][0] == "system"
    told = messages(bora)
    assert [(one["role"], one["content"], one["status"], one["runId"]) for one in told] == [
        ("user", HELLO, "completed", first["id"]), ("assistant", first["text"], "completed", first["id"]),
        ("user", "언제 들어오나요?", "completed", second["id"]),
        ("assistant", second["text"], "completed", second["id"]),
    ]  # fmt: skip
    assert set(told[0]) == {"id", "role", "content", "status", "runId", "createdAt"}
    assert len({one["id"] for one in told}) == 4
    conversation = bora.get("/api/conversations/봄 회의").get_json()
    assert conversation == {
        "id": "봄 회의",
        "title": HELLO,
        "createdAt": conversation["createdAt"],
        "updatedAt": conversation["updatedAt"],
        "runId": None,
    }
    assert conversation["createdAt"] < conversation["updatedAt"]
    assert conversation["createdAt"].endswith("+00:00")

    ask(dana, "저는 다나예요")
    assert messages(dana)[0]["content"] == "저는 다나예요"
    assert len(messages(bora)) == 4, "a name is its owner's"


def test_somebody_elses_are_not_there(bora: Api, dana: Api) -> None:
    ask(bora, HELLO)
    assert dana.get("/api/conversations").get_json()["items"] == []
    path = "/api/conversations/봄 회의"
    answers = [
        dana.get(path),
        dana.get(f"{path}/messages"),
        dana.delete(path),
        dana.call("PATCH", path, json={"title": "내 것"}),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert bora.get(path).get_json()["title"] == HELLO
    assert Api(bora.client.application, None).get("/api/conversations").status_code == 401


def test_conversations_are_made_renamed_and_listed(bora: Api) -> None:
    made = bora.post("/api/conversations", {"id": "여름", "title": "  여름\n휴가 "})
    assert (made.status_code, made.get_json()["title"]) == (201, "여름 휴가")
    assert bora.get(made.headers["Location"]).get_json() == made.get_json()
    again = bora.post("/api/conversations", {"id": "여름", "title": "다른 제목"})
    assert (again.status_code, again.get_json()) == (200, made.get_json())
    nameless = bora.post("/api/conversations", {}).get_json()
    assert len(nameless["id"]) == 22 and nameless["title"] == ""
    renamed = bora.call("PATCH", f"/api/conversations/{nameless['id']}", json={"title": "겨울"})
    assert renamed.get_json() == {**nameless, "title": "겨울"}
    ask(bora, "어디로 갈까요?", "여름")
    page = bora.get("/api/conversations").get_json()
    assert [(one["id"], one["title"]) for one in page["items"]] == [
        ("여름", "여름 휴가"),
        (nameless["id"], "겨울"),
    ]
    assert page["hasNext"] is False and page["nextCursor"] is None


def test_pages(bora: Api) -> None:
    for number in range(5):
        bora.post("/api/conversations", {"id": f"c{number}"})
    seen, query = [], "?limit=2"
    while True:
        page = bora.get(f"/api/conversations{query}").get_json()
        seen += [one["id"] for one in page["items"]]
        if not page["hasNext"]:
            break
        query = f"?limit=2&before={page['nextCursor']}"
    assert seen == ["c4", "c3", "c2", "c1", "c0"]

    for number in range(3):
        ask(bora, f"질문 {number}", "c0")
    last = bora.get("/api/conversations/c0/messages?limit=4").get_json()
    first = bora.get(f"/api/conversations/c0/messages?limit=4&before={last['nextCursor']}").get_json()
    assert last["hasNext"] and not first["hasNext"] and first["nextCursor"] is None
    assert [one["content"] for one in first["items"] + last["items"]][::2] == ["질문 0", "질문 1", "질문 2"]


def test_one_answer_at_a_time(start_app: StartApp) -> None:
    api = Api(start_app(model="sim-stall3-d0"), "보라")
    content = {"message": HELLO, "conversation_id": "c"}
    run_id = api.post("/api/runs", {"kind": "chat", "input": content}).get_json()["id"]
    assert api.get("/api/conversations/c").get_json()["runId"] == run_id
    refused = api.post("/api/runs", {"kind": "chat", "input": content}, headers={"Accept-Language": "en"})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "conversation_busy")
    assert refused.get_json()["error"] == "An answer is still under way in this conversation."
    assert api.delete("/api/conversations/c").get_json()["code"] == "run_active"

    wait_until(lambda: api.get(f"/api/runs/{run_id}").get_json()["text"], what="the first words")
    api.post(f"/api/runs/{run_id}/cancel")
    run = api.ended(run_id)
    [question, answer] = messages(api, "c")
    assert (answer["status"], answer["content"]) == ("cancelled", run["text"])
    assert question["runId"] == answer["runId"] == run_id
    assert api.delete("/api/conversations/c").status_code == 204
    assert api.get("/api/conversations/c").status_code == 404
    assert api.get(f"/api/runs/{run_id}").status_code == 404
    assert api.delete("/api/conversations/c").status_code == 404


def test_what_failed_is_kept_and_tried_again(start_app: StartApp, simulator: Simulator) -> None:
    api = Api(start_app(model="sim-cut3-d0", provider_retries=0), "보라")
    failed = ask(api, HELLO)
    assert failed["status"] == "failed"
    assert [(one["status"], one["content"]) for one in messages(api)][1] == ("failed", failed["text"])
    again = api.ended(api.post(f"/api/runs/{failed['id']}/retry").get_json()["id"])
    assert prompt(simulator)[1:] == [("user", HELLO)]
    told = messages(api)
    assert [one["role"] for one in told] == ["user", "assistant"] and told[1]["runId"] == again["id"]


def test_without_a_conversation_nothing_is_kept_but_the_run(bora: Api, simulator: Simulator) -> None:
    history = [
        {"role": "user", "content": "하나", "id": 7}, {"role": "assistant", "content": " "},
        {"role": "assistant", "content": "일"},
    ]  # fmt: skip
    ask(bora, HELLO, None, history=history)
    assert prompt(simulator)[1:] == [("user", "하나"), ("assistant", "일"), ("user", HELLO)]
    assert bora.get("/api/conversations").get_json()["items"] == []
    ask(bora, HELLO, "c", history=history)
    assert prompt(simulator)[1:] == [("user", HELLO)], "a conversation remembers by itself"


def test_only_as_much_as_the_budget_holds(start_app: StartApp, simulator: Simulator) -> None:
    api = Api(start_app(context_tokens=100, prompt_chat="짧게 답하세요."), "보라")
    history = [{"role": "user", "content": f"{number} " + "가" * 20} for number in range(10)]
    ask(api, HELLO, None, history=history)
    told = prompt(simulator)
    assert told[0] == ("system", "짧게 답하세요.") and told[-1] == ("user", HELLO)
    assert [content.split()[0] for _, content in told[1:-1]] == ["7", "8", "9"]


def test_a_key_is_one_question(bora: Api) -> None:
    order = {"kind": "chat", "input": {"message": HELLO, "conversation_id": "c"}}
    sent = [bora.post("/api/runs", order, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [one.status_code for one in sent] == [201, 200]
    bora.ended(sent[0].get_json()["id"])
    assert [one["role"] for one in messages(bora, "c")] == ["user", "assistant"]


TURN = {"role": "user", "content": "x"}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "input.message"),
    ({"message": " "}, "input.message"),
    ({"message": 7}, "input.message"),
    ({"message": "가" * 101}, "input.message"),
    ({"message": "a", "history": 7}, "input.history"),
    ({"message": "a", "history": {"role": "user"}}, "input.history"),
    ({"message": "a", "history": "no json"}, "input.history"),
    ({"message": "a", "history": '{"role": "user"}'}, "input.history"),
    ({"message": "a", "history": "[" * 3000}, "input.history"),
    ({"message": "a", "history": [TURN, 7]}, "input.history[1]"),
    ({"message": "a", "history": [TURN, {**TURN, "role": "system"}]}, "input.history[1].role"),
    ({"message": "a", "history": [{"content": "x"}]}, "input.history[0].role"),
    ({"message": "a", "history": [{**TURN, "content": ["x"]}]}, "input.history[0].content"),
    ({"message": "a", "history": [{**TURN, "content": "x" * 101}]}, "input.history[0].content"),
    ({"message": "a", "history": [{**TURN, "content": "\0"}]}, "input.history[0].content"),
    ({"message": "a", "history": [TURN] * 1001}, "input.history"),
    ({"message": "a", "conversation_id": 7}, "input.conversation_id"),
    ({"message": "a", "conversation_id": "a/b"}, "input.conversation_id"),
    ({"message": "a", "conversation_id": ".."}, "input.conversation_id"),
    ({"message": "a", "conversation_id": "a\nb"}, "input.conversation_id"),
    ({"message": "a", "conversation_id": "a" * 129}, "input.conversation_id"),
]


def test_what_cannot_be_asked(start_app: StartApp, simulator: Simulator) -> None:
    api = Api(start_app(max_message_length=100), "보라")
    for content, field in WRONG:
        for language in ("ko", "en"):
            order = {"kind": "chat", "input": content}
            answer = api.post("/api/runs", order, headers={"Accept-Language": language})
            assert answer.status_code == 400, answer.text
            [problem] = answer.get_json()["details"]
            assert problem["field"] == field
            assert problem["message"].isascii() == (language == "en")
    assert simulator.requests() == [] and api.get("/api/runs").get_json()["items"] == []


@pytest.mark.parametrize("name", ["%2e%2e", "a%0Ab", "a" * 129, "%ff"])
def test_what_is_no_name(bora: Api, name: str) -> None:
    assert bora.get(f"/api/conversations/{name}").status_code == 404


@pytest.mark.parametrize("query", ["?before=x", "?limit=0", "?limit=101"])
def test_what_is_no_page(bora: Api, query: str) -> None:
    bora.post("/api/conversations", {"id": "c"})
    assert bora.get(f"/api/conversations{query}").status_code == 400
    assert bora.get(f"/api/conversations/c/messages{query}").status_code == 400


def test_nothing_that_was_said_is_logged(bora: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    ask(bora, "아무도 모르는 비밀", "c")
    bora.post("/api/runs", {"kind": "chat", "input": {"message": 7, "history": "비밀"}})
    response = bora.get(f"/api/runs/{bora.get('/api/runs').get_json()['items'][0]['id']}/events")
    assert frames(response)[-1].event == "done"
    assert "비밀" not in caplog.text
