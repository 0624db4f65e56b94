"""The same pages over TLS and HTTP/2, as in production."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import OpenPage, StartSite
from tests.browser.test_chat import answered
from tests.live.test_nginx import self_signed

pytestmark = pytest.mark.timeout(120)


def test_a_history_of_30_turns_in_the_query(
    start_site: StartSite, open_page: OpenPage, tmp_path: Path
) -> None:
    site = start_site("sim-n60-d30", certificate=self_signed(tmp_path))
    client = open_page("chunks", api=site.url, turns="30")
    client.send()
    client.grows()
    client.until("done")
    assert answered(site, client) and len(site.simulator.requests()[0]["messages"]) >= 31
    assert "GET /api/chat/stream HTTP/2.0 200" in site.proxy.log_text()


@pytest.mark.parametrize("killed", [False, True])
def test_a_failure_is_no_answer(
    start_site: StartSite, open_page: OpenPage, tmp_path: Path, killed: bool
) -> None:
    model = "sim-n400-d30" if killed else "sim-d20-error12"
    site = start_site(model, certificate=self_signed(tmp_path), SORA_PROVIDER_RETRIES="0")
    client = open_page("ask", api=site.url)
    client.send()
    if killed:
        client.grows()
        site.server.kill_worker()
    client.until("failed")
    assert client.states() == ["streaming", "failed"] and client.text
