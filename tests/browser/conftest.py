"""A real Chromium, and pages on an origin of their own that were written from the descriptions of the original clients alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.app import Tab
from tests.support import process
from tests.support.nginx import Nginx, binary, nginx
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

PAGES = Path(__file__).parent / "pages"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed · apt-get install chromium")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the pages are served. The API is on another port, thus of another origin."""
    port = process.free_port()
    log = tmp_path_factory.mktemp("pages") / "log"
    command = ["python3", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", PAGES]
    server = process.start(command, log=log)
    try:
        wait_until(lambda: process.listening(port), what="the pages")
        yield f"http://localhost:{port}"
    finally:
        process.stop(server)


class Site:
    """Sora behind the real nginx, and what it asked the model."""

    def __init__(self, server: Server, proxy: Nginx, simulator: Simulator) -> None:
        self.server = server
        self.proxy = proxy
        self.simulator = simulator
        self.url = (
            f"https://localhost:{proxy.tls_port}" if proxy.tls_port else f"http://localhost:{proxy.port}"
        )


StartSite = Callable[..., Site]


@pytest.fixture
def start_site(origin: str, sqlite_url: str, simulator: Simulator) -> Iterator[StartSite]:
    """Starts Sora with a model and further settings, behind TLS when there is a `certificate` (chain, key)."""
    if binary() is None:
        pytest.skip("nginx is not installed · apt-get install nginx-light")
    with ExitStack() as stack:

        def start(model: str, *, certificate: tuple[Path, Path] | None = None, **env: str) -> Site:
            settings = {"SORA_MODEL": model, "SORA_AUTH": "guest", "SORA_ALLOWED_ORIGINS": origin, **env}
            server = stack.enter_context(Server(sqlite_url, simulator.url, env=settings))
            return Site(server, stack.enter_context(nginx(server.port, certificate=certificate)), simulator)

        yield start


@pytest.fixture(scope="module")
def start_shared_site(_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartSite]:
    """`start_site` for all the tests of a module, with two workers."""
    if binary() is None:
        pytest.skip("nginx is not installed · apt-get install nginx-light")
    with ExitStack() as stack:

        def start(model: str, *, certificate: tuple[Path, Path] | None = None, **env: str) -> Site:
            url = f"sqlite:///{tmp_path_factory.mktemp('site') / 'sora.sqlite3'}"
            settings = {"SORA_MODEL": model, "SORA_AUTH": "guest", "SORA_TRUSTED_PROXIES": "1", **env}
            server = stack.enter_context(Server(url, _simulator.url, workers=2, env=settings))
            return Site(server, stack.enter_context(nginx(server.port, certificate=certificate)), _simulator)

        yield start


class Client:
    """One of the pages in a tab: what it shows. Its states are idle, streaming, reconnecting, done and failed."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.broken: list[str] = []
        page.on("pageerror", lambda error: self.broken.append(str(error)))

    def send(self, message: str = "오늘은 비가 와서 창밖을 오래 보았다.") -> None:
        self.page.fill("#message", message)
        self.page.click("#send")

    def shown(self, name: str) -> str:
        return self.page.text_content(f"#{name}") or ""

    @property
    def text(self) -> str:
        return self.shown("answer")

    def until(self, state: str, *, timeout: float = 15.0) -> None:
        """Waits for the state, `timeout` seconds at most."""
        self._until("([state]) => shown('state') === state", [state], timeout)

    def until_text_grows(self, beyond: str = "") -> str:
        """The text once there is more than `beyond`, while the answer is still on its way."""
        self._until("([old]) => shown('answer').length > old.length", [beyond], 15.0)
        assert self.shown("state") == "streaming", "the answer came at once"
        return self.text

    def grows(self) -> str:
        """Sees the text grow twice; what it was then."""
        first = self.until_text_grows()
        second = self.until_text_grows(first)
        assert second.startswith(first)
        return second

    def states(self) -> list[str]:
        """Every state it was in, each once for as long as it lasted."""
        states: list[str] = self.page.evaluate("states")
        return states

    def _until(self, condition: str, argument: list[Any], timeout: float) -> None:
        shown = "const shown = (id) => document.getElementById(id).textContent;"
        function = f"(given) => {{ {shown} return ({condition})(given); }}"
        self.page.wait_for_function(function, arg=argument, timeout=timeout * 1000, polling=10)


OpenPage = Callable[..., Client]


@pytest.fixture
def open_page(browser: Browser, origin: str) -> Iterator[OpenPage]:
    """Opens a page by its name, with its settings in the query, in a browser that knows nothing yet."""
    with ExitStack() as stack:
        clients = []

        def open(name: str, **query: str) -> Client:
            context = browser.new_context(locale="ko-KR", ignore_https_errors=True)
            stack.callback(context.close)
            client = Client(context.new_page())
            clients.append(client)
            client.page.goto(f"{origin}/{name}.html?{urlencode(query)}")
            client.page.evaluate(_RECORD)
            return client

        yield open
        assert [client.broken for client in clients] == [[] for _ in clients]


@pytest.fixture(scope="session")
def built() -> None:
    """The app, built from the sources as they are."""
    if subprocess.run([".ci/npm"], cwd=process.ROOT, capture_output=True, check=False).returncode != 0:
        pytest.skip("npm and Node.js 20.19 or newer are not installed · apt-get install nodejs npm")
    subprocess.run(["make", "-s", "app"], cwd=process.ROOT, check=True, timeout=300)


class Visitor:
    """A browser that knows nothing yet, and its tabs."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.context = context
        self.site = site
        self.tabs: list[Tab] = []

    def open(self, path: str = "diary", *, page: Page | None = None, ready: bool = True) -> Tab:
        """A page of the app in a new tab, or in one that is open; with `ready`, once it can be used."""
        tab = Tab(page or self.context.new_page())
        self.tabs.append(tab)
        tab.page.goto(f"{self.site.url}/app/{path}", wait_until="commit")
        if ready:
            tab.wait_ready()
        return tab


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(browser: Browser, built: None) -> Iterator[Visit]:
    """Opens a browser on a site; what it is asked for goes to Playwright's `new_context`."""
    with ExitStack() as stack:
        visitors: list[Visitor] = []

        def start(site: Site, **how: Any) -> Visitor:
            context = browser.new_context(**{"locale": "ko-KR", "ignore_https_errors": True, **how})
            stack.callback(context.close)
            visitors.append(Visitor(context, site))
            return visitors[-1]

        yield start
        broken = [tab.broken for visitor in visitors for tab in visitor.tabs]
        assert not any(broken), broken


_RECORD = """
() => {
  window.states = [];
  const state = document.getElementById("state");
  const note = () => {
    if (states.at(-1) !== state.textContent) states.push(state.textContent);
  };
  new MutationObserver(note).observe(state, { childList: true, characterData: true, subtree: true });
}
"""
