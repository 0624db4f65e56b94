"""What the Makefile and the documents tell one to type, typed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import process
from tests.support.client import JWT_SECRET, request
from tests.support.server import ENCRYPTION_KEYS, Server
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)
BIN = Path(sys.executable).parent
ENV = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}


def make(*words: str, **env: str) -> str:
    """What `make` prints, with this Python, which has everything installed."""
    command = [
        "make",
        "-s",
        "-o",
        ".venv/.installed",
        f"PYTHON={sys.executable}",
        f"FLASK={BIN}/flask --app wsgi",
        *words,
    ]
    done = subprocess.run(
        command, cwd=process.ROOT, env={**ENV, **env}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def printed(name: str, beginning: str) -> str:
    """The one command line of a document that begins so, without its comment."""
    text = (process.ROOT / name).read_text("utf-8").replace("\\\n", "")
    [line] = [line for line in text.splitlines() if line.startswith(f"    {beginning}")]
    return re.sub(r"\s+#.*", "", line.strip())


@contextmanager
def running(line: str, *, log: Path, **env: str) -> Iterator[None]:
    server = process.start(
        ["bash", "-c", f"exec {line}"], log=log, env={**ENV, **env}, death_signal=signal.SIGTERM
    )
    try:
        yield
    finally:
        process.stop(server, timeout=20)


def answers(url: str, path: str) -> bool:
    try:
        return request(url, path, timeout=5).status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def site(_simulator: Simulator, module_url: str) -> Iterator[Server]:
    env = {"SORA_AUTH": "guest", "SORA_MODEL": "sim-n100-d20"}
    dify = {"SORA_DIFY_BASE_URL": _simulator.url, "SORA_DIFY_KEY_F": "app-sim-n100-d5"}
    with Server(module_url, _simulator.url, env=env | dify) as server:
        yield server


def test_help_names_every_target() -> None:
    text = (process.ROOT / "Makefile").read_text("utf-8")
    targets = set(" ".join(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)).split()) - {"servers"}
    lines = make("help").splitlines()
    assert make().splitlines() == lines
    assert {line.split()[1] for line in lines} == targets
    assert all(re.search(r"[a-z]", line.partition("  make ")[2].partition("  ")[2]) for line in lines)


def test_what_curl_shows(site: Server) -> None:
    at = f"URL={site.url}"
    shown = make("curl-review", at)
    assert shown.startswith(": open\n\n") and '{"seq":0,"value":"' in shown
    ids = re.findall(r"^id: (.*)$", shown, re.MULTILINE)
    [review] = request(site.url, "/api/reviews").json()["items"]
    assert review["feedback"] and review["type"] == "FEELING"

    rest = make("curl-resume", at, f"LAST_ID={ids[9]}")
    assert [entry for entry in re.findall(r"^id: (.*)$", rest, re.MULTILINE) if entry in ids] == ids[9:]
    assert "event: done" in rest

    shown = make("curl-dify", at)
    assert '{"seq":0,"value":"' in shown and len(request(site.url, "/api/reviews").json()["items"]) == 2

    cancelled = make("curl-cancel", at)
    assert "event: cancelled" in cancelled and '"status": "cancelled"' in cancelled
    assert '"status": "cancelled"' in make("curl-runs", at)


def test_what_curl_shows_of_the_chat(site: Server) -> None:
    at = f"URL={site.url}"
    shown = make("curl-chat", at, "QUESTION=연차는 '며칠'인가요?")
    assert re.search(r'^data: "[^"]+"$', shown, re.MULTILINE)
    shown = make("curl-chunks", at)
    assert shown.count('data: {"chunk":') > 10 and '"done"' in shown


def test_what_curl_shows_of_the_agent(site: Server, tmp_path: Path) -> None:
    at = f"URL={site.url}"
    settings = {name: value for name, value in site.env.items() if name.startswith("SORA_")}
    make("ingest", **settings)
    for shown in (make("curl-agent", at), make("curl-agent-init", at)):
        assert shown.count('{"type":"progress"') == 6
        [final] = re.findall(r'^data: (\{"type":"final".*)$', shown, re.MULTILINE)
        table = json.loads(final)["data"]["table_data"]
        assert table["value"] == 128 and table["rows"][0]["품번"] == "ABC-12345"


def test_what_curl_shows_of_files_and_documents(site: Server, tmp_path: Path) -> None:
    at, question = f"URL={site.url}", "QUESTION=ZX-9031은 '몇 개' 남았나요?"
    stock = tmp_path / "재고 현황.csv"
    stock.write_text("부품,수량\nZX-9031,17\n", "utf-8")
    shown = make("curl-ask", at, question, f"FILE={stock}", "SESSION=make의 세션")
    assert shown.count('data: {"type":"text"') > 10 and shown.endswith(
        'data: {"type":"done","content":{}}\n\n'
    )
    assert "make의 세션" in make("curl-conversations", at)

    assert "ZX-9031" not in make("curl-search", at, question)
    settings = {name: value for name, value in site.env.items() if name.startswith("SORA_")}
    make("ingest", f"DOCS={tmp_path}", **settings)
    assert "ZX-9031" in make("curl-search", at, question)


def test_a_token_is_all_that_is_printed(tmp_path: Path) -> None:
    env = {"SORA_INSTANCE_PATH": str(tmp_path), "SORA_JWT_SECRET": JWT_SECRET}
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", make("token", "USER_NAME=보라", **env))


def test_the_way_to_production(tmp_path: Path, postgres_url: str, simulator: Simulator) -> None:
    """The README's lines with its settings: a database, secrets, a model API."""
    text = (process.ROOT / "README.md").read_text("utf-8").partition("\n## Going to production\n")[2]
    names = re.findall(r"^    (SORA_\w+)=", text.partition("\n## ")[0], re.MULTILINE)
    given = {
        "SORA_DATABASE_URL": postgres_url, "SORA_JWT_SECRET": JWT_SECRET, "SORA_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
        "SORA_OPENAI_API_KEY": "any", "SORA_TRUSTED_PROXIES": "1", "SORA_INSTANCE_PATH": str(tmp_path / "instance"),
    }  # fmt: skip
    env = {name: given[name] for name in names} | {"SORA_OPENAI_BASE_URL": simulator.url}
    upgrade, serve = (
        printed("README.md", f".venv/bin/{program}").replace(".venv/bin", str(BIN))
        for program in ("flask --app wsgi db", "gunicorn")
    )
    subprocess.run(["bash", "-c", upgrade], cwd=process.ROOT, env={**ENV, **env}, timeout=60, check=True)
    assert printed("docs/operations.md", ".venv/bin/gunicorn") == printed("README.md", ".venv/bin/gunicorn")
    port = process.free_port()
    url = f"http://127.0.0.1:{port}"
    with running(serve.replace(":8000", f":{port}"), log=tmp_path / "log", **env):
        wait_until(lambda: answers(url, "/readyz"), timeout=30, what="/readyz")
        token = make("token", "USER_NAME=보라", **env).strip()
        line = printed("README.md", 'curl -H "Authorization').replace("http://127.0.0.1:8000", url)
        said = subprocess.run(
            ["bash", "-c", line],
            env={**ENV, "TOKEN": token},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert '"items":[]' in said.stdout.replace(" ", "")
        assert request(url, "/api/reviews").status == 401


@pytest.mark.parametrize("beginning", ["flask --app wsgi sora simulate", "python -m sora.simulator"])
def test_the_simulator_is_started_as_its_page_says(tmp_path: Path, beginning: str) -> None:
    port, log = process.free_port(), tmp_path / "log"
    line = re.sub(r" --port \d+", "", printed("docs/simulator.md", beginning))
    with running(f"{line} --port {port}", log=log, SORA_INSTANCE_PATH=str(tmp_path)):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}", "/healthz"), timeout=30, what="the simulator")
        assert f"http://127.0.0.1:{port}/v1" in log.read_text()
        curl = printed("docs/simulator.md", "curl -N").replace(":8100", f":{port}")
        said = subprocess.run(
            ["bash", "-c", curl], capture_output=True, text=True, timeout=20, check=True
        ).stdout
        assert said.count("data: {") >= 20 and said.endswith("data: [DONE]\n\n")


def test_the_simulator_in_a_test(tmp_path: Path) -> None:
    """The page's own example."""
    text = (process.ROOT / "docs/simulator.md").read_text("utf-8")
    [example] = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "test_example.py").write_text(example)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={tmp_path}",
        str(tmp_path),
    ]
    env = {**ENV, "PYTHONPATH": str(process.ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
