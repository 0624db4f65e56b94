"""The page that asks with files: a fetch reader that knows no failure but one of the connection."""

from __future__ import annotations

import json

import pytest

from tests.browser.conftest import OpenPage, StartSite
from tests.browser.test_chat import answered, runs

pytestmark = pytest.mark.timeout(120)


def test_the_answer_grows_on_the_screen(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim-n60-d30")
    client = open_page("ask", api=site.url)
    client.send("연차는 며칠인가요?")
    beginning = client.grows()
    client.until("done")
    assert client.text.startswith(beginning) and answered(site, client)
    assert json.loads(client.shown("metadata")) == {"images": 0, "session": True}
    assert client.states() == ["streaming", "done"]


def test_a_file_goes_along(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim-n12-d5")
    client = open_page("ask", api=site.url)
    table = {"name": "재고.csv", "mimeType": "text/csv", "buffer": "부품,수량\nAX-4071,38\n".encode()}
    client.page.set_input_files("#files", [table])  # type: ignore[list-item]
    client.send("AX-4071은 몇 개 남았나요?")
    client.until("done")
    [asked] = site.simulator.requests()
    assert "AX-4071" in json.dumps(asked["messages"], ensure_ascii=False).replace("AX-4071은", "")


@pytest.mark.parametrize("fault", ["cut12", "error12"])
def test_a_failure_in_mid_answer_is_no_answer(start_site: StartSite, open_page: OpenPage, fault: str) -> None:
    site = start_site(f"sim-d20-{fault}", SORA_PROVIDER_RETRIES="0")
    client = open_page("ask", api=site.url)
    client.send()
    client.until("failed")
    assert client.states() == ["streaming", "failed"] and client.text
    assert runs(site)[0]["status"] == "failed"


def test_a_killed_worker_is_no_answer(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim-n400-d30")
    client = open_page("ask", api=site.url)
    client.send()
    client.grows()
    site.server.kill_worker()
    client.until("failed")
    assert client.states() == ["streaming", "failed"]


def test_what_is_refused_says_so_in_words(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim")
    client = open_page("ask", api=site.url)
    broken = {"name": "보고서.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 and no more"}
    client.page.set_input_files("#files", [broken])  # type: ignore[list-item]
    client.send("무슨 내용인가요?")
    client.until("failed")
    assert client.shown("problem")[:4] in ("400 ", "415 ") and site.simulator.requests() == []
