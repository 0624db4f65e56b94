"""The guide's client of the agent, by a ticket and by its query: progress, one final, and an end of its own when it wants one."""

from __future__ import annotations

import json

import pytest

from tests.browser.conftest import Client, OpenPage, Site, StartSite
from tests.browser.test_chat import runs
from tests.support.cutter import cutting
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(150)
WAYS = ("ticket", "query")
STAGES = ["query_analysis", "data_retrieval", "response_generation"]
STOCK = "ABC-12345 부품의 재고는?"


def progress(client: Client) -> list[str]:
    """The list of what is told: `✓ ` before a stage that is completed."""
    items: list[str] = client.page.locator("#progress li").all_text_contents()
    return [item.partition(":")[0] for item in items]


def until_generating(site: Site, client: Client) -> None:
    """Waits until some of the answer is there."""
    wait_until(lambda: progress(client)[-1:] == STAGES[-1:], timeout=15, what="the last stage")
    wait_until(lambda: len(str(runs(site)[0]["text"])) > 20, timeout=15, what="some text")
    assert client.shown("state") == "streaming", "the answer came at once"


def ended(site: Site) -> dict[str, object]:
    """The one run there is, once it has ended, and it has asked the model once."""
    [run] = wait_until(
        lambda: found if (found := runs(site)) and found[0]["status"] != "running" else None,
        timeout=30,
        what="the run's end",
    )
    assert len(site.simulator.requests()) == 1
    return run


def opened(client: Client) -> int:
    return int(client.shown("opened"))


@pytest.mark.parametrize("by", WAYS)
def test_stages_are_ticked_and_the_rows_shown(start_site: StartSite, open_page: OpenPage, by: str) -> None:
    site = start_site("sim-n100-d25")
    site.server.flask("sora", "ingest", "docs/samples")
    client = open_page("agent", api=site.url, by=by)
    client.send(STOCK)
    until_generating(site, client)
    assert progress(client) == [
        *(name for stage in STAGES[:2] for name in (stage, f"✓ {stage}")),
        STAGES[2],
    ]
    client.until("done")
    assert progress(client)[-1] == f"✓ {STAGES[2]}"
    assert client.text == ended(site)["text"] and client.states() == ["streaming", "done"]
    table = json.loads(client.shown("table"))
    assert table["value"] == 128, table
    assert [row["품번"] for row in table["rows"]] == ["ABC-12345"]
    assert opened(client) == 1, "it closed at the final, and did not come again"


@pytest.mark.parametrize("by", WAYS)
def test_a_lost_connection_is_one_answer(start_site: StartSite, open_page: OpenPage, by: str) -> None:
    """It comes again 2 s later by a new EventSource, which remembers nothing: it is told all, by the same run."""
    site = start_site("sim-n200-d20")
    with cutting(site.proxy.port, (600,)) as (port, cuts):
        client = open_page("agent", api=site.url, streams=f"http://localhost:{port}", by=by)
        client.send()
        client.until("reconnecting")
        client.until("done", timeout=30)
        assert client.states() == ["streaming", "reconnecting", "streaming", "done"]
        assert client.text == ended(site)["text"] and opened(client) == 2
        assert [step for step in progress(client) if step.startswith("✓")][-3:] == [
            f"✓ {stage}" for stage in STAGES
        ]
        client.page.close()
    assert cuts == [600]


def test_three_further_tries_are_the_last(start_site: StartSite, open_page: OpenPage) -> None:
    """After 2, 4 and 8 s. The run that nobody comes back to ends as cancelled, with what it had."""
    site = start_site("sim-n3000-d20", SORA_ORPHAN_GRACE="10")
    with cutting(site.proxy.port, (600, 600, 600, 600)) as (port, cuts):
        client = open_page("agent", api=f"http://localhost:{port}", by="query")
        client.send()
        client.until("failed", timeout=40)
        assert client.states() == ["streaming", "reconnecting"] * 3 + ["streaming", "failed"]
        assert opened(client) == 4 and client.shown("problem")
        client.page.close()
    run = ended(site)
    assert run["status"] == "cancelled" and run["text"] and len(cuts) == 4


@pytest.mark.parametrize("by", WAYS)
def test_who_cancels_ends_the_run(start_site: StartSite, open_page: OpenPage, by: str) -> None:
    site = start_site("sim-n1000-d20", SORA_ORPHAN_GRACE="1")
    client = open_page("agent", api=site.url, by=by)
    client.send()
    until_generating(site, client)
    client.page.click("#cancel")
    client.until("cancelled")
    run = ended(site)
    assert run["status"] == "cancelled" and len(str(run["text"])) > 20, "what there was is kept"
    assert site.simulator.requests()[0]["cut_by_client"]
    assert client.states() == ["streaming", "cancelled"] and opened(client) == 1


def test_its_own_timeout_ends_it(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim-n1000-d20", SORA_ORPHAN_GRACE="1")
    client = open_page("agent", api=site.url, timeout="1.5")
    client.send()
    client.until("failed")
    assert client.shown("problem") == "시간이 초과되었습니다." and client.text == ""
    assert ended(site)["status"] == "cancelled"


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("fault", ["cut12", "error12", "filter12"])
def test_a_failure_is_shown_and_closed(
    start_site: StartSite, open_page: OpenPage, by: str, fault: str
) -> None:
    site = start_site(f"sim-d20-{fault}", SORA_PROVIDER_RETRIES="0")
    client = open_page("agent", api=site.url, by=by)
    client.send()
    client.until("failed")
    assert client.states() == ["streaming", "failed"] and client.shown("problem") and client.text == ""
    assert ended(site)["status"] == "failed" and opened(client) == 1


def test_a_killed_worker_is_an_error(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim-n400-d30", SORA_LEASE="2")
    client = open_page("agent", api=site.url)
    client.send()
    until_generating(site, client)
    site.server.kill_worker()
    client.until("reconnecting")
    client.until("failed", timeout=40)
    assert ended(site)["status"] == "interrupted" and client.shown("problem")


def test_what_is_refused_is_shown(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim")
    client = open_page("agent", api=site.url)
    client.send("")
    client.until("failed")
    assert client.shown("problem") == "메시지가 필요합니다." and opened(client) == 0
    assert site.simulator.requests() == []
