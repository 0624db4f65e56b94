"""What the app looks like, on a phone and a desktop, light and dark: kept in tests/output/ for eyes to judge, and by axe."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.browser.conftest import Site, StartSite, Visit
from tests.support import process
from tests.support.client import request
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(150)
OUTPUT = process.ROOT / "tests" / "output"
AXE = process.ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
TODAY = datetime.now(UTC).date()
MARKDOWN = """밤에 읽기 좋은 순서로 **세 가지**를 골랐습니다.

| 책 | 쪽 | 한 줄 |
|---|--:|---|
| 소라게 | 112 | 집을 바꾸는 이야기 |
| 밤의 바다 | 248 | 파도 소리를 듣는 법 |

```python
def pages(evenings: int) -> int:
    return evenings * 20  # 하루에 스무 쪽
```

하루에 $p$쪽이면 $\\frac{248}{p}$일이 걸립니다. 더 알고 싶으면 [목록](https://example.com/books)을 보세요.
"""


@pytest.fixture(scope="module")
def shared(start_shared_site: StartSite) -> Site:
    """A site with something to see on every page. Its model says what it is told."""
    site = start_shared_site("sim-echo-d0")
    site.server.flask("sora", "ingest", "docs/samples")
    for ago, (kind, body) in enumerate(
        [
            ("F", "비가 와서 하루 종일 창밖을 보았다. 조금 외로웠지만, 차 한 잔이 따뜻했다."),
            ("T", "발표를 망쳤다. 준비한 것의 절반도 말하지 못했다.\n다음에는 더 천천히 말하고 싶다."),
            ("F", "오랜만에 바다에 다녀왔다. 파도 소리가 아직도 들리는 것 같다."),
        ]
    ):
        day = (TODAY - timedelta(days=2 * ago)).isoformat()
        start(site, "review", {"body": body, "type": kind, "reviewDate": day})
    start(site, "chat", {"conversation_id": "chat-books", "message": MARKDOWN})
    start(site, "ask", {"sessionId": "ask-leave", "question": "남은 연차는 이월되나요?", "isWebSearch": True})
    start(site, "agent", {"conversation_id": "agent-stock", "message": "창고별 재고 합계를 보여줘"})
    return site


def start(site: Site, kind: str, input: dict[str, Any]) -> None:
    """A run, to its end."""
    run = request(site.server.url, "/api/runs", payload={"kind": kind, "input": input}).json()
    wait_until(
        lambda: request(site.server.url, f"/api/runs/{run['id']}").json()["status"] == "completed",
        timeout=20,
        what=f"the {kind}",
    )


def document(site: Site, title: str) -> str:
    """The id of a document of the knowledge base."""
    items = request(site.server.url, "/api/documents?limit=100").json()["items"]
    return next(str(item["id"]) for item in items if item["title"] == title)


@pytest.mark.parametrize("light", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_every_page(shared: Site, visit: Visit, device: str, light: str) -> None:
    how = DESKTOP if device == "desktop" else PHONE
    visitor = visit(shared, color_scheme=light, reduced_motion="reduce", timezone_id="UTC", **how)
    OUTPUT.mkdir(exist_ok=True)
    paths = {
        "diary": "diary",
        "day": f"diary?d={TODAY.isoformat()}",
        "chat": "chat?c=chat-books",
        "chat-empty": "chat",
        "ask": "ask?c=ask-leave",
        "agent": "agent?c=agent-stock",
        "document": f"documents/{document(shared, '휴가 규정')}?q={quote('남은 연차는 이월되나요?')}",
        "table": f"documents/{document(shared, '재고')}?q={quote('ABC-12345 재고')}",
    }
    wrong = {}
    for name, path in paths.items():
        tab = visitor.open(path, ready=name not in ("day", "document", "table"))
        tab.page.wait_for_load_state("networkidle")
        if name == "agent":
            tab.button("표와 근거 보기").click()
            tab.page.locator("svg.recharts-surface").wait_for()
        tab.page.evaluate("document.fonts.ready")
        (OUTPUT / f"{name}-{device}-{light}.png").write_bytes(tab.page.screenshot())
        wide: int = tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if found := [*axe(tab.page, AXE), *(["wider than the screen"] if wide > 0 else [])]:
            wrong[name] = found
        tab.page.close()
    assert wrong == {}, json.dumps(wrong, ensure_ascii=False, indent=1)


def axe(page: Any, source: Path) -> list[str]:
    """What axe finds serious or critical."""
    page.evaluate(source.read_text("utf-8"))
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{finding['id']}: {finding['help']}: {[node['html'][:160] for node in finding['nodes'][:3]]}"
        for finding in found["violations"]
        if finding["impact"] in ("serious", "critical")
    ]
