"""The README's own lines, run as they are printed against a server like the one of `make run`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support import process
from tests.support.client import request
from tests.support.cutter import cutting
from tests.support.server import Server
from tests.support.simulator import Simulator
from tests.support.tables import README

PRINTED = "http://127.0.0.1:8000"


@pytest.fixture
def server(sqlite_url: str, simulator: Simulator) -> Iterator[Server]:
    with Server(sqlite_url, simulator.url, workers=2, env={"SORA_AUTH": "guest"}) as server:
        yield server


def section(name: str) -> str:
    return README.read_text("utf-8").partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def blocks(name: str, language: str) -> list[str]:
    """The code blocks of a section of the README."""
    return re.findall(rf"^```{language}\n(.*?)^```", section(name), re.MULTILINE | re.DOTALL)


def typed(name: str, server: Server) -> str:
    """What the section's lines for a shell print."""
    # Leaving after a second (28) is what one of them shows; any other failure ends the script.
    head = 'set -u; curl() { command curl -sS --fail-with-body "$@" || [ $? -eq 28 ] || exit 1; }\n'
    script = head + "\n".join(blocks(name, "sh")).replace(PRINTED, server.url)
    done = subprocess.run(
        ["bash", "-c", script], cwd=process.ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-1000:]}\n{done.stderr}"
    return done.stdout


def test_every_line_for_curl_runs(server: Server) -> None:
    shown = typed("From curl", server)

    assert 'data: {"seq":0,"value":"' in shown
    assert '[{"day":20,"feedbackType":"FEELING"}]' in shown.replace(" ", "")
    (run,) = set(re.findall(r"id: (\w+):1-\d+", shown))
    read, resumed = shown.split(f": open\nid: {run}:1-0\n")[1].split(f": open\nid: {run}:1-5\n")
    assert "event: done" not in read
    assert re.findall(r"id: \w+:1-(\d+)", resumed)[0] == "6"
    assert "event: done" in resumed
    assert '"status":"completed"' in resumed.replace(" ", "")


def test_every_line_of_the_chat_runs(server: Server, simulator: Simulator) -> None:
    shown = typed("Chat", server)

    assert re.search(r'^data: "[^"]+"$', shown, re.MULTILINE)
    assert '{"done": true}' in shown.replace('":true', '": true')
    assert '"내 이름은 보라야."' in shown and '"휴가"' in shown
    _, asked, _, remembered = [request["messages"] for request in simulator.requests()]
    assert [message["role"] for message in asked[-3:]] == ["user", "assistant", "user"]
    assert "내 이름은 보라야." in json.dumps(remembered, ensure_ascii=False)
    assert request(server.url, "/api/conversations").json()["items"] == []


def test_every_line_of_ask_and_of_the_knowledge_base_runs(server: Server, simulator: Simulator) -> None:
    commands = re.findall(
        r"^    \.venv/bin/flask --app wsgi (sora .*?)(?:  .*)?$", section("Knowledge base"), re.MULTILINE
    )
    ingest, search, documents = (server.flask(*command.split()) for command in commands)
    assert "0 not read" in ingest and "이월" in search and "휴가" in documents
    shown = typed("Knowledge base", server)
    assert '"score":' in shown and "이월" in shown and '"mediaType":' in shown

    shown = typed("Ask", server)
    assert shown.count('data: {"type":"done","content":{}}') == 2
    assert "AP300" in json.dumps(simulator.requests()[0]["messages"], ensure_ascii=False)
    assert [request["path"].rpartition("/")[2] for request in simulator.requests()] == [
        "completions",
        "responses",
    ]


def test_the_javascript_reader_survives_lost_connections(server: Server) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed · apt-get install nodejs")
    program = "\n".join(blocks("From JavaScript", "js")) + "\nconsole.log(JSON.stringify({ answer }));"

    with cutting(server.port, (40, 300, 700, 1501, 2503)) as (port, cuts):
        code = program.replace(PRINTED, f"http://127.0.0.1:{port}")
        command = [node, "--input-type=module", "-e", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)

    assert done.returncode == 0, done.stderr
    *texts, last = done.stdout.splitlines()
    answer = json.loads(last)["answer"]
    (saved,) = request(server.url, "/api/reviews").json()["items"]
    assert answer == saved["feedback"] == texts[-1]
    assert all(answer.startswith(text) for text in texts)
    assert len(cuts) >= 4
