"""The diary review's page: a fetch with a token, and a parser of its own."""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenPage, StartSite
from tests.support.client import make_token, request

pytestmark = pytest.mark.timeout(120)
TOKEN = make_token("보라")


def test_the_review_grows_on_the_screen_and_is_saved(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim-n40-d30", SORA_AUTH="required")
    client = open_page("review", api=site.url, token=TOKEN)
    client.send()
    beginning = client.grows()
    client.until("done")
    assert client.states() == ["streaming", "done"]
    [saved] = request(site.server.url, "/api/reviews", token=TOKEN).json()["items"]
    assert client.text == saved["feedback"] and client.text.startswith(beginning)


@pytest.mark.parametrize("fault", ["cut12", "error12"])
def test_a_failure_in_mid_answer_is_no_review(start_site: StartSite, open_page: OpenPage, fault: str) -> None:
    site = start_site(f"sim-d20-{fault}", SORA_PROVIDER_RETRIES="0", SORA_AUTH="required")
    client = open_page("review", api=site.url, token=TOKEN)
    client.send()
    client.until("failed")
    assert client.states() == ["streaming", "failed"] and client.text
    assert "undefined" not in client.text


def test_a_killed_worker_is_no_review(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim-n400-d30", SORA_AUTH="required")
    client = open_page("review", api=site.url, token=TOKEN)
    client.send()
    client.grows()
    site.server.kill_worker()
    client.until("failed")
    assert client.states() == ["streaming", "failed"]


def test_what_is_refused_is_read_across_origins(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim", SORA_AUTH="required")
    client = open_page("review", api=site.url, token="bad")
    client.send()
    client.until("failed")
    assert client.shown("problem").startswith("401 ") and "토큰" in client.shown("problem")


def test_a_page_that_is_not_on_the_list_gets_nothing(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim", SORA_ALLOWED_ORIGINS="http://localhost:1", SORA_AUTH="required")
    client = open_page("review", api=site.url, token=TOKEN)
    client.send()
    client.until("failed")
    assert client.shown("problem") == "Failed to fetch"
    assert site.simulator.requests() == []
