"""The pages, with a built app and without one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from sora import Principal, Sora
from tests.api.conftest import StartApp, running
from tests.support.web import Api

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
INDEX = """<!doctype html><html><head>
<meta name="sora-prefix" content="" /><meta name="sora-login" content="" />
<script type="module" crossorigin src="./assets/index-a1.js"></script>
<link rel="stylesheet" crossorigin href="./assets/index-b2.css">
</head><body></body></html>
"""


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """An app as Vite builds one."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / ".vite").mkdir()
    (folder / "index.html").write_text(INDEX)
    (folder / ".vite" / "manifest.json").write_text("{}")
    (folder / "icon.svg").write_text("<svg/>")
    for name in ("index-a1.js", "index-b2.css", "font-c3.woff2"):
        (folder / "assets" / name).write_text(name)
    (tmp_path / "secret.js").write_text("secret")
    return folder


@pytest.mark.parametrize("path", ["/app/", "/app/api"])
def test_a_page_needs_nothing_from_elsewhere(start_app: StartApp, tmp_path: Path, path: str) -> None:
    page = Api(start_app(frontend=str(tmp_path)), None).get(path)
    assert page.status_code == 200 and page.mimetype == "text/html"
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page.text)
    assert "'unsafe" not in page.headers["Content-Security-Policy"]
    assert page.headers["Content-Security-Policy"].count("'sha256-") == 2


def test_the_root_leads_to_the_page(app: Flask) -> None:
    response = Api(app, None).get("/")
    assert response.status_code == 302 and response.headers["Location"] == "/app/"


def test_without_a_built_app_a_simple_page_stands_in(start_app: StartApp, tmp_path: Path) -> None:
    nobody = Api(start_app(frontend=str(tmp_path / "nowhere")), None)
    assert "npm" in nobody.get("/app/").text
    assert nobody.get("/app/chat").get_json()["code"] == "not_found"


@pytest.mark.parametrize("path", ["/app/", "/app/diary", "/app/chat/a%20conversation"])
def test_the_app_knows_its_pages_itself(start_app: StartApp, dist: Path, path: str) -> None:
    page = Api(start_app(frontend=str(dist)), None).get(path)
    assert page.status_code == 200 and page.mimetype == "text/html"
    assert page.headers["Cache-Control"] == "no-cache"
    policy = page.headers["Content-Security-Policy"]
    assert (
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; " in policy
    )
    assert policy.count("unsafe") == 1
    assert 'src="/app/assets/index-a1.js"' in page.text and 'href="/app/assets/index-b2.css"' in page.text


@pytest.mark.parametrize(
    ("name", "media_type", "cached"),
    [
        ("assets/index-a1.js", "text/javascript", "public, max-age=31536000, immutable"),
        ("assets/index-b2.css", "text/css", "public, max-age=31536000, immutable"),
        ("assets/font-c3.woff2", "font/woff2", "public, max-age=31536000, immutable"),
        ("icon.svg", "image/svg+xml", "no-cache"),
    ],
)
def test_its_files_are_kept_by_browsers(
    start_app: StartApp, dist: Path, name: str, media_type: str, cached: str
) -> None:
    nobody = Api(start_app(frontend=str(dist)), None)
    file = nobody.get(f"/app/{name}")
    assert file.status_code == 200 and file.text == (dist / name).read_text()
    assert file.mimetype == media_type and file.headers["X-Content-Type-Options"] == "nosniff"
    assert file.headers["Cache-Control"] == cached
    same = nobody.get(f"/app/{name}", headers={"If-None-Match": file.headers["ETag"]})
    assert same.status_code == 304


@pytest.mark.parametrize(
    "name",
    ["assets/index-old.js", "../secret.js", "assets/..%2f..%2fsecret.js", ".vite/manifest.json", "assets/../../secret.js"],
)  # fmt: skip
def test_nothing_else_is_served(start_app: StartApp, dist: Path, name: str) -> None:
    response = Api(start_app(frontend=str(dist)), None).get(f"/app/{name}")
    assert response.status_code == 404 and response.get_json()["code"] == "not_found"


def test_the_app_is_told_where_it_is(start_app: StartApp, dist: Path) -> None:
    login = 'https://login.example/?from=sora&a="b"'
    settings = start_app(frontend=str(dist), login_url=login).config
    told = Api(start_app(frontend=str(dist), login_url=login), None).get("/app/").text
    assert '<meta name="sora-prefix" content=""' in told
    assert '<meta name="sora-login" content="https://login.example/?from=sora&amp;a=&quot;b&quot;"' in told
    host = Flask("host")
    host.config.update({name: value for name, value in settings.items() if name.startswith("SORA_")})
    Sora(host, url_prefix="/ai", principal_loader=lambda request: Principal("somebody"))
    with running(host) as app:
        page = Api(app, None).get("/ai/app/diary").text
        assert '<meta name="sora-prefix" content="/ai"' in page and 'src="/ai/app/assets/index-a1.js"' in page
        assert Api(app, None).get("/ai/app/assets/index-a1.js").text == "index-a1.js"
