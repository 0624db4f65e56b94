"""The chat's pages: EventSource, as browsers have it, on both GET endpoints."""

from __future__ import annotations

import json

import pytest

from tests.browser.conftest import Client, OpenPage, Site, StartSite
from tests.support.client import make_token, request
from tests.support.cutter import cutting
from tests.support.user import User
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(150)
PAGES = ("chat", "chunks")


def runs(site: Site) -> list[dict[str, object]]:
    """All runs, newest first, each whole."""
    items = request(site.server.url, "/api/runs").json()["items"]
    return [request(site.server.url, f"/api/runs/{item['id']}").json() for item in items]


def answered(site: Site, client: Client) -> bool:
    """Whether the page shows exactly the answer of its one run."""
    [run] = runs(site)
    assert run["status"] == "completed" and len(site.simulator.requests()) == 1
    return client.text == run["text"]


@pytest.mark.parametrize("page", PAGES)
def test_the_answer_grows_on_the_screen(start_site: StartSite, open_page: OpenPage, page: str) -> None:
    site = start_site("sim-n60-d30")
    client = open_page(page, api=site.url)
    client.send('"따옴표"와 줄바꿈을 물어본다')
    beginning = client.grows()
    client.until("done")
    assert client.text.startswith(beginning) and answered(site, client)
    assert "failed" not in client.states()


@pytest.mark.parametrize(("page", "fault"), [("chat", "cut12"), ("chat", "filter12"), ("chunks", "error12")])
def test_a_failure_in_mid_answer_is_no_answer(
    start_site: StartSite, open_page: OpenPage, page: str, fault: str
) -> None:
    site = start_site(f"sim-d20-{fault}", SORA_PROVIDER_RETRIES="0")
    client = open_page(page, api=site.url)
    client.send()
    client.until("failed")
    assert client.states() == ["streaming", "failed"] and client.text and client.shown("problem")
    if page == "chat":
        problem = json.loads(client.shown("problem"))
        assert problem["code"] in ("upstream_error", "content_filter") and problem["message"]


def test_a_message_sent_again_after_a_failure_is_a_new_answer(
    start_site: StartSite, open_page: OpenPage
) -> None:
    """The page sends its last message again after 3 s: what failed is over, and is not shown once more."""
    site = start_site("sim-d5-error5", SORA_PROVIDER_RETRIES="0")
    client = open_page("chunks", api=site.url)
    client.send()
    client.until("failed")
    wait_until(lambda: len(runs(site)) == 2, timeout=10, what="a second run")
    client.page.close()
    assert {run["status"] for run in runs(site)} == {"failed"}


def test_a_killed_worker_is_no_answer(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim-n400-d30", SORA_LEASE="2")
    client = open_page("chat", api=site.url)
    client.send()
    client.grows()
    site.server.kill_worker()
    client.until("failed", timeout=40)
    assert "done" not in client.states()
    assert json.loads(client.shown("problem"))["code"] == "interrupted"
    assert len(runs(site)) == 1 and len(site.simulator.requests()) == 1


def test_after_a_killed_worker_the_page_asks_until_it_is_answered(
    start_site: StartSite, open_page: OpenPage
) -> None:
    site = start_site("sim-n200-d20", SORA_LEASE="2")
    client = open_page("chunks", api=site.url)
    client.send()
    client.grows()
    site.server.kill_worker()
    client.until("failed")
    client.until("done", timeout=60)
    newest, first = runs(site)
    assert (newest["status"], first["status"]) == ("completed", "interrupted")
    assert client.text == newest["text"]


def test_lost_connections_lose_nothing(start_site: StartSite, open_page: OpenPage) -> None:
    """EventSource comes again by itself, after what it had; nothing is missing, repeated or generated twice."""
    site = start_site("sim-n300-d20")
    with cutting(site.proxy.port, (420, 900, 1501, 2503)) as (port, cuts):
        client = open_page("chat", api=f"http://localhost:{port}")
        client.send()
        client.until("reconnecting")
        client.until("done", timeout=60)
        assert answered(site, client) and "failed" not in client.states()
        client.page.close()
    assert len(cuts) == 4


def test_a_page_that_asks_again_is_shown_the_same_answer(start_site: StartSite, open_page: OpenPage) -> None:
    """Its history of 30 turns is in the query. Each new EventSource attaches to the one run, from the start."""
    site = start_site("sim-n300-d20")
    with cutting(site.proxy.port, (420, 900)) as (port, cuts):
        client = open_page("chunks", api=f"http://localhost:{port}", turns="30")
        client.send()
        client.until("failed")
        client.until("done", timeout=60)
        assert client.states() == ["streaming", "failed", "streaming", "failed", "streaming", "done"]
        assert answered(site, client)
        client.page.close()
    assert len(cuts) == 2
    assert len(site.simulator.requests()[0]["messages"]) >= 31


def test_a_session_goes_along(start_site: StartSite, open_page: OpenPage) -> None:
    """An EventSource sends no header: the cookie of /api/session tells who asks, from an allowed origin of the same site."""
    site = start_site("sim-n12-d5", SORA_AUTH="required")
    client = open_page("chat", api=site.url, credentials="yes")
    signing_in = """([url, token]) => fetch(`${url}/api/session`, {
      method: "POST", credentials: "include", headers: { Authorization: `Bearer ${token}` },
    }).then((response) => response.status)"""
    assert client.page.evaluate(signing_in, [site.url, make_token("보라")]) == 200
    client.send()
    client.until("done")
    [run] = User(site.server.url).runs()
    assert User(site.server.url).run(str(run["id"]))["text"] == client.text
