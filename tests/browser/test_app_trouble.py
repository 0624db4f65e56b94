"""The app while things go wrong: what was answered stays on the screen, comes whole, and the person is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.browser.app import Tab, squeezed
from tests.browser.conftest import Site, StartSite, Visit
from tests.browser.test_chat import runs
from tests.support.client import request

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def shared(start_shared_site: StartSite) -> Site:
    """Answers of about five seconds. Two workers, and what they leave is found soon."""
    return start_shared_site("sim-n180-d25", SORA_LEASE="2")


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """The module's site; the run of a test is its newest."""
    shared.simulator.clear()
    yield shared
    for run in request(shared.server.url, "/api/runs?status=running").json()["items"]:
        request(shared.server.url, f"/api/runs/{run['id']}/cancel", method="POST")


def saved(site: Site, *, status: str = "completed") -> str:
    """The answer of the newest run, for which the model was asked once."""
    run = runs(site)[0]
    generated = [
        asked for asked in site.simulator.requests() if asked["path"].endswith(("completions", "responses"))
    ]
    assert run["status"] == status and len(generated) == 1, "one generation"
    return squeezed(run["text"])


def whole(tab: Tab, site: Site) -> bool:
    """Whether the answer that is shown is the one that was saved, and never was anything else than its beginning."""
    assert tab.mistakes() == []
    return tab.text == saved(site)


@pytest.mark.parametrize("page", ["diary", "chat", "ask", "agent"])
def test_a_reload_in_mid_answer(site: Site, visit: Visit, page: str) -> None:
    tab = visit(site).open(page)
    tab.send()
    beginning = tab.grows("." * 50)
    tab.page.reload()
    tab.wait_ready()
    again = tab.grows(beginning)
    assert again.startswith(beginning)
    tab.watch()
    tab.until_ended()
    assert whole(tab, site)


@pytest.mark.parametrize("page", ["diary", "chat"])
def test_three_tabs_show_one_answer_and_stop_together(start_site: StartSite, visit: Visit, page: str) -> None:
    site = start_site("sim-n2000-d25")
    visitor = visit(site)
    first = visitor.open(page)
    first.send()
    beginning = first.grows()
    others = [visitor.open(first.page.url.partition("/app/")[2]) for _ in range(2)]
    tabs = [first, *others]
    for tab in tabs:
        tab.watch()
    assert all(tab.grows(beginning).startswith(beginning) for tab in others)
    others[0].stop.click()
    shown = {tab.until_ended(timeout=10) for tab in tabs}
    assert shown == {saved(site, status="cancelled")} and all(tab.mistakes() == [] for tab in tabs)


@pytest.mark.parametrize("page", ["diary", "chat"])
def test_five_seconds_without_a_network(site: Site, visit: Visit, page: str) -> None:
    visitor = visit(site)
    tab = visitor.open(page)
    tab.send()
    tab.grows("." * 20)
    tab.watch()
    visitor.context.set_offline(True)
    tab.until_told("오프라인")
    kept = tab.text
    tab.page.wait_for_timeout(5000)
    assert tab.text == kept
    visitor.context.set_offline(False)
    assert tab.until_ended().startswith(kept)
    assert whole(tab, site)


def test_nginx_is_reloaded(site: Site, visit: Visit) -> None:
    tab = visit(site).open("chat")
    tab.send()
    tab.grows()
    tab.watch()
    before = site.proxy.worker_pids()
    site.proxy.reload()
    tab.grows(tab.grows())
    for pid in before:  # as when their worker_shutdown_timeout is over
        os.kill(pid, signal.SIGKILL)
    tab.until_ended()
    assert whole(tab, site)


def test_a_slow_network(site: Site, visit: Visit) -> None:
    visitor = visit(site)
    page = visitor.context.new_page()
    slow = {"offline": False, "latency": 400, "downloadThroughput": 100_000, "uploadThroughput": 20_000}
    visitor.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    tab = visitor.open("diary", page=page)
    tab.watch()
    tab.send()
    tab.grows(tab.grows())
    tab.until_ended()
    assert whole(tab, site)


def test_a_deploy(site: Site, visit: Visit) -> None:
    """The old workers let their answers end, new ones take the next question."""
    tab = visit(site).open("chat")
    tab.send()
    tab.grows()
    tab.watch()
    os.kill(site.server.pid, signal.SIGHUP)
    tab.until_ended()
    assert whole(tab, site)


def test_workers_that_are_killed(site: Site, visit: Visit) -> None:
    tab = visit(site).open("diary")
    tab.send()
    seen = tab.grows("." * 200)
    tab.watch()
    for pid in site.server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    tab.until_told("다시 잇고")
    assert tab.text.startswith(seen), "what is shown stays"
    tab.until_told("답이 중간에 끊겼습니다", timeout=30)
    # A crash may take back what was not yet kept, at most SORA_JOURNAL_INTERVAL and the write of it, and nothing but that.
    assert tab.text == saved(site, status="interrupted") and tab.text.startswith(seen[:150])
    for change in tab.mistakes():
        assert change["before"].startswith(change["now"])
    tab.button("다시 시도").click()
    tab.grows(tab.text)


def test_another_worker_goes_on_with_the_answer(start_site: StartSite, visit: Visit) -> None:
    """Where the model's API keeps answers itself (SORA_BACKGROUND) none is cut short, and no character taken back."""
    background = {"SORA_OPENAI_API": "responses", "SORA_BACKGROUND": "1"}
    site = start_site("sim-n300-d25", SORA_LEASE="2", **background)
    tab = visit(site).open("diary")
    tab.send()
    tab.grows("." * 200)
    tab.watch()
    site.server.kill_worker()
    tab.until_told("다시 잇고")
    tab.until_told("저장했습니다", timeout=60)
    assert whole(tab, site)


def test_a_model_that_is_down(start_site: StartSite, visit: Visit) -> None:
    site = start_site("sim-500", SORA_PROVIDER_RETRIES="0")
    tab = visit(site).open("chat")
    tab.send()
    tab.until_told("모델이 지금 답하지 못하고 있어요")
    tab.button("다시 시도").click()
    tab.until_told("모델이 지금 답하지 못하고 있어요")


def test_too_many_questions(start_site: StartSite, visit: Visit) -> None:
    site = start_site("sim-stall5", SORA_MAX_RUNS_PER_PRINCIPAL="1")
    visitor = visit(site)
    first = visitor.open("diary")
    first.send()
    first.grows()
    tab = visitor.open("chat")
    tab.send()
    tab.until_told("요청이 많아")
    tab.until_told("초 뒤 다시 시도")
    first.stop.click()
    tab.button("다시 시도").click(timeout=20_000)
    tab.grows()


def test_who_is_signed_out_is_led_to_the_login(start_site: StartSite, visit: Visit) -> None:
    site = start_site("sim", SORA_AUTH="required", SORA_LOGIN_URL="https://login.example/")
    tab = visit(site).open("diary", ready=False)
    link = tab.page.get_by_role("link", name="로그인")
    link.wait_for()
    assert link.get_attribute("href") == "https://login.example/"
