"""The README's own functions, run as they are printed in a page of another origin."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Client, OpenPage, StartSite
from tests.browser.test_chat import runs
from tests.live.test_readme import blocks
from tests.support.cutter import cutting

pytestmark = pytest.mark.timeout(120)
_CODE = "\n".join(block for name in ("From JavaScript", "Chat", "Ask") for block in blocks(name, "js")[:1])


def evaluated(client: Client, call: str, *arguments: str) -> list[str]:
    """The texts that the function was called with, and what it came to."""
    work = f"(given) => {{ const texts = []; {_CODE}\nreturn {call}.then((end) => [...texts, end]); }}"
    results: list[str] = client.page.evaluate(work, list(arguments))
    return results


def test_the_chat_survives_lost_connections(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim-n100-d20")
    with cutting(site.proxy.port, (500, 1501)) as (port, cuts):
        client = open_page("chat")
        url = f"http://localhost:{port}"
        *texts, answer = evaluated(client, "chat(...given, (text) => texts.push(text))", url, "안녕")
        client.page.close()
    [run] = runs(site)
    assert answer == run["text"] == texts[-1] and len(texts) > 50 and len(cuts) == 2


def test_a_chat_that_fails_says_so(start_site: StartSite, open_page: OpenPage) -> None:
    site = start_site("sim-d5-error5", SORA_PROVIDER_RETRIES="0")
    call = "chat(...given, (text) => texts.push(text)).catch((error) => error.code)"
    *texts, code = evaluated(open_page("chat"), call, site.url, "안녕")
    assert code == "upstream_error" and texts


@pytest.mark.parametrize(("model", "end"), [("sim-n20-d5", ""), ("sim-d5-error5", "upstream_error")])
def test_ask(start_site: StartSite, open_page: OpenPage, model: str, end: str) -> None:
    site = start_site(model, SORA_PROVIDER_RETRIES="0")
    form = """Object.entries({ question: given[1], sessionId: "a" }).reduce(
      (form, [name, value]) => (form.append(name, value), form), new FormData())"""
    call = (
        f"ask(given[0], {form}, (text) => texts.push(text))"
        ".then((answer) => answer.metadata.sessionId === 'a' && answer.text, (error) => error.code)"
    )
    *texts, came_to = evaluated(open_page("ask"), call, site.url, "안녕")
    assert texts and came_to == (end or texts[-1])
