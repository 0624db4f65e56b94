"""Each page of the app does its job."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest
from playwright.sync_api import expect

from tests.browser.app import MESSAGE, Tab, squeezed
from tests.browser.conftest import Site, StartSite, Visit
from tests.browser.test_chat import runs
from tests.support.client import request

pytestmark = pytest.mark.timeout(120)
STOCK = "ABC-12345 부품의 재고는?"


@pytest.fixture(scope="module")
def shared(start_shared_site: StartSite) -> Site:
    """Answers of two seconds, with the samples in the knowledge base."""
    site = start_shared_site("sim-n70-d25")
    site.server.flask("sora", "ingest", "docs/samples")
    return site


@pytest.fixture
def site(shared: Site) -> Site:
    shared.simulator.clear()
    return shared


def asked(site: Site) -> list[str]:
    """The last message of each request to the model, as it was put."""
    return [json.dumps(request["messages"][-1], ensure_ascii=False) for request in site.simulator.requests()]


def confirm(tab: Tab) -> None:
    tab.page.get_by_role("alertdialog").get_by_role("button", name="지우기").click()


def test_a_day_is_written_answered_kept_and_deleted(site: Site, visit: Visit) -> None:
    tab = visit(site).open("diary")
    tab.page.get_by_role("radio", name=re.compile("조언")).click()
    tab.watch()
    tab.send()
    tab.grows()
    tab.until_told("저장했습니다")
    [review] = request(site.server.url, "/api/reviews").json()["items"]
    assert tab.text == squeezed(review["feedback"]) and tab.mistakes() == []
    assert review["type"] == "THINKING" and review["body"] == MESSAGE
    assert tab.field.input_value() == ""

    today = date.fromisoformat(review["date"])
    day = tab.page.get_by_role("button", name=re.compile(rf"{today.month}월 {today.day}일.*T 회고 있음"))
    expect(day).to_be_visible()
    expect(tab.page.get_by_role("region", name="지난 날들").get_by_text(MESSAGE)).to_be_visible()
    day.click()
    expect(tab.page.locator("article").get_by_text(MESSAGE)).to_be_visible()
    tab.button("지우기").click()
    confirm(tab)
    tab.until_told("이날은 적은 것이 없습니다")
    expect(day).to_have_count(0)
    assert request(site.server.url, "/api/reviews").json()["items"] == []


def test_a_review_is_stopped_and_written_again(site: Site, visit: Visit) -> None:
    tab = visit(site).open("diary")
    tab.send()
    tab.grows()
    tab.page.keyboard.press("Escape")
    tab.until_told("멈추었습니다")
    assert runs(site)[0]["status"] == "cancelled" and tab.text == squeezed(runs(site)[0]["text"])
    tab.button("다시 써 주세요").click()
    tab.until_told("저장했습니다")
    assert len(site.simulator.requests()) == 2


def test_a_double_click_asks_once(site: Site, visit: Visit) -> None:
    tab = visit(site).open("diary")
    tab.field.fill(MESSAGE)
    tab.button("회고 받기").dblclick()
    tab.until_told("저장했습니다")
    assert len(site.simulator.requests()) == 1


def test_a_conversation(site: Site, visit: Visit) -> None:
    tab = visit(site).open("chat")
    tab.watch()
    tab.send("내 이름은 보라야.")
    tab.grows()
    tab.until_ended()
    assert tab.text == squeezed(runs(site)[0]["text"]) and tab.mistakes() == []
    first = tab.text
    tab.field.fill("내 이름이")
    tab.page.keyboard.press("Shift+Enter")
    tab.page.keyboard.insert_text("뭐였지?")
    tab.page.keyboard.press("Enter")
    tab.until_begun(2)
    tab.grows()
    tab.stop.click()
    tab.until_told("멈추었습니다")
    assert "내 이름은 보라야." in json.dumps(site.simulator.requests()[1]["messages"], ensure_ascii=False)
    assert "내 이름이\\n뭐였지?" in asked(site)[1].replace("\\\\n", "\\n")

    tab.button("다시 쓰기").click()
    tab.grows()
    tab.until_ended()
    assert tab.text == squeezed(runs(site)[0]["text"]) != first and len(site.simulator.requests()) == 3
    tab.button("고쳐 묻기").click()
    edit = tab.page.get_by_role("textbox", name="고쳐 묻기")
    expect(edit).to_be_focused()
    assert edit.input_value() == "내 이름이\n뭐였지?"
    tab.page.keyboard.press("Escape")
    expect(edit).to_have_count(0)
    tab.button("고쳐 묻기").click()
    edit.fill("내 별명은?")
    tab.page.keyboard.press("Enter")
    expect(edit).to_have_count(0)
    tab.until_begun(3)
    tab.grows()
    tab.until_ended()
    assert tab.text == squeezed(runs(site)[0]["text"]) and "내 별명은?" in asked(site)[3]

    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.button("복사").last.click()
    tab.page.wait_for_function("async () => (await navigator.clipboard.readText()) !== ''")
    assert squeezed(tab.page.evaluate("navigator.clipboard.readText()")) == tab.text


def test_conversations_are_renamed_and_deleted(site: Site, visit: Visit) -> None:
    for conversation in request(site.server.url, "/api/conversations").json()["items"]:
        request(site.server.url, f"/api/conversations/{conversation['id']}", method="DELETE")
    tab = visit(site).open("chat")
    tab.send("휴가는 며칠인가요?")
    tab.until_ended()
    conversations = tab.page.get_by_role("navigation", name="대화").first
    conversations.get_by_role("button", name=re.compile("메뉴$")).click()
    tab.page.get_by_role("menuitem", name="이름 바꾸기").click()
    tab.page.get_by_role("textbox", name="대화 이름").fill("여름휴가")
    tab.page.keyboard.press("Enter")
    expect(conversations.get_by_role("link", name="여름휴가")).to_be_visible()
    [conversation] = request(site.server.url, "/api/conversations").json()["items"]
    assert conversation["title"] == "여름휴가"
    conversations.get_by_role("button", name="여름휴가 메뉴").click()
    tab.page.get_by_role("menuitem", name="지우기").click()
    confirm(tab)
    expect(conversations.get_by_text("아직 대화가 없습니다")).to_be_visible()
    assert request(site.server.url, "/api/conversations").json()["items"] == []


def test_a_question_with_a_file(site: Site, visit: Visit) -> None:
    tab = visit(site).open("ask")
    table = {"name": "재고.csv", "mimeType": "text/csv", "buffer": "부품,수량\nAX-4071,38\n".encode()}
    with tab.page.expect_file_chooser() as choosing:
        tab.button("파일 올리기").click()
    choosing.value.set_files([table])  # type: ignore[list-item]
    expect(tab.button("재고.csv 빼기")).to_be_visible()
    tab.send("AX-4071은 몇 개 남았나요?")
    expect(tab.page.locator("article").get_by_text("재고.csv").first).to_be_visible()
    tab.until_ended()
    assert tab.text == squeezed(runs(site)[0]["text"])
    assert "38" in asked(site)[0] or "38" in json.dumps(site.simulator.requests()[0]["messages"])


def test_a_question_to_the_web(site: Site, visit: Visit) -> None:
    tab = visit(site).open("ask")
    tab.page.get_by_role("switch", name="웹 검색").click()
    tab.send("공기청정기 필터는 언제 가나요?")
    tab.until_ended()
    for name in ("이미지", "영상"):
        expect(tab.page.get_by_role("list", name=name)).to_be_visible()
    links = tab.page.locator("article a:not([href^='/app/'])")
    assert all("noopener" in (link.get_attribute("rel") or "") for link in links.all()) and links.count() >= 3
    tab.until_told(re.compile(r"입력 [\d,]+ · 출력 [\d,]+ 토큰"))
    [run] = runs(site)[:1]
    assert run["kind"] == "ask" and site.simulator.requests()[0]["path"].endswith("responses")


def test_a_document_that_an_answer_refers_to(site: Site, visit: Visit) -> None:
    tab = visit(site).open("ask")
    tab.send("남은 연차는 다음 해로 이월되나요?")
    tab.until_ended()
    tab.page.get_by_role("link", name="휴가 규정").click()
    expect(tab.page.get_by_role("heading", name="휴가 규정", level=1)).to_be_visible()
    marked = tab.page.get_by_role("region", name="질문과 가장 가까운 곳")
    expect(marked.filter(has_text="최대 5일을 이월할 수 있다")).to_be_visible()
    tab.button("돌아가기").click()
    tab.wait_ready()
    expect(tab.page.get_by_role("link", name="휴가 규정")).to_be_visible()

    tab.page.goto(f"{site.url}/app/agent")
    tab.send(STOCK)
    tab.until_ended()
    tab.page.locator("article").get_by_role("link", name="재고").first.click()
    expect(tab.page.locator("tr[data-marked=true]").filter(has_text="ABC-12345")).to_be_visible()


def test_the_agent(site: Site, visit: Visit) -> None:
    tab = visit(site).open("agent")
    tab.send(STOCK)
    steps = tab.page.get_by_role("list", name="진행 단계").get_by_role("listitem")
    expect(steps.first).to_be_visible()
    tab.until_ended()
    assert steps.count() == 3 and tab.text == squeezed(runs(site)[0]["text"])
    expect(tab.page.get_by_role("cell", name="128")).to_be_visible()
    expect(tab.page.get_by_text("신뢰도")).to_be_visible()
    tab.page.reload()
    tab.button("표와 근거 보기").click()
    expect(tab.page.get_by_role("cell", name="128")).to_be_visible()


def paper(tab: Tab) -> str:
    """The colour of the page."""
    colour: str = tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return colour


def test_language_and_light_are_chosen(site: Site, visit: Visit) -> None:
    tab = visit(site, color_scheme="light").open("chat")
    light = paper(tab)
    tab.button("설정").click()
    tab.page.get_by_role("menuitemradio", name="어둡게").click()
    assert paper(tab) != light
    tab.page.keyboard.press("Escape")
    tab.button("설정").click()
    tab.page.get_by_role("menuitemradio", name="English").click()
    tab.page.keyboard.press("Escape")
    expect(tab.page.get_by_role("link", name="Diary")).to_be_visible()
    assert tab.page.evaluate("document.documentElement.lang") == "en"
    tab.page.reload()
    expect(tab.page.get_by_role("link", name="Diary")).to_be_visible()
    assert paper(tab) != light
