"""Five hundred agents at once on one worker, beside streams of others: whatever there is of it arrives, in bounded memory.

The model is the test's own, and answers the agents when all of them have asked: how fast the machine is does not matter.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server

pytestmark = pytest.mark.timeout(240)
AGENTS, BESIDE = 500, 20
WORDS = [f"{number}번째 낱말 " for number in range(40)]
MEMORY = 200  #: KiB that a run may take, its request and its connections included
ENV = {
    "SORA_AUTH": "guest",
    "SORA_MODEL": "beside",
    "SORA_AGENT_MODELS": "agent",
    "SORA_AGENT_TIMEOUT": "200",
    "SORA_FIRST_TOKEN_TIMEOUT": "200",
}


@dataclass(eq=False)
class Peer:
    """One connection, of a client to Sora or of Sora to the model."""

    socket: socket.socket
    of: str
    data: bytearray = field(default_factory=bytearray)
    model: str = ""
    said: int = 0


class Crowd:
    """Clients and model in one loop. The model says nothing by itself."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        self.ended: list[Peer] = []
        self.asked: list[Peer] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.listener, selectors.EVENT_READ, None)

    def ask(self, port: int, path: str, body: dict[str, Any] | None, *, of: str) -> None:
        """Sends a request to Sora; its answer is read to its end."""
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        )
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(head.encode() + content)
        self._selector.register(connection, selectors.EVENT_READ, Peer(connection, of))

    def until(self, asked: int = 0, ended: int = 0) -> None:
        """Plays on until so many have asked the model, and so many clients have been answered."""
        give_up = time.monotonic() + 150
        while len(self.asked) < asked or len(self.ended) < ended:
            assert time.monotonic() < give_up, f"{len(self.asked)} asked, {len(self.ended)} ended"
            for key, _ in self._selector.select(0.05):
                if key.data is None:
                    connection = self.listener.accept()[0]
                    self._selector.register(connection, selectors.EVENT_READ, Peer(connection, "model"))
                else:
                    self._read(key.data)

    def say(self, model: str, count: int) -> None:
        """The next words to all who asked this model."""
        for peer in self.asked:
            if peer.model == model and peer.said < len(WORDS):
                words = WORDS[peer.said : peer.said + count]
                peer.said += len(words)
                frames = [self._frame({"delta": {"content": word}, "finish_reason": None}) for word in words]
                if peer.said == len(WORDS):
                    frames += [self._frame({"delta": {}, "finish_reason": "stop"}), b"data: [DONE]\n\n"]
                peer.socket.sendall(b"".join(frames))
                if peer.said == len(WORDS):
                    peer.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            if key.data is not None:
                key.data.socket.close()
        self.listener.close()
        self._selector.close()

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.socket.recv(1 << 18)
        except ConnectionError:
            data = b""
        peer.data += data
        if not data:
            self._selector.unregister(peer.socket)
            peer.socket.close()
            if peer.of != "model":
                self.ended.append(peer)
        elif peer.of == "model" and not peer.model:
            head, _, body = bytes(peer.data).partition(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if lengths and len(body) >= int(lengths[0].partition(b":")[2]):
                peer.model = json.loads(body)["model"]
                self.asked.append(peer)
                answer = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
                peer.socket.sendall(answer.encode())

    def _frame(self, choice: dict[str, Any]) -> bytes:
        chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}
        return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def resident(pid: int) -> int:
    """The most that a process ever had in memory, in KiB."""
    [line] = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1])


def messages(peer: Peer) -> list[Any]:
    """What a client was told."""
    lines = [line for line in peer.data.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line[6:]) for line in lines]


def test_five_hundred_agents_at_once(sqlite_url: str) -> None:
    crowd = Crowd()
    try:
        with Server(sqlite_url, crowd.url, env=ENV) as server:
            agent = {"user_id": "u", "llm_config": {"model": "agent"}}
            crowd.ask(server.port, "/api/chat/stream", {"message": "하나", **agent}, of="first")
            crowd.until(asked=1)
            crowd.say("agent", len(WORDS))
            crowd.until(ended=1)
            [worker] = server.worker_pids()
            before = resident(worker)

            for number in range(BESIDE):
                crowd.ask(server.port, f"/chat?query=beside-{number}", None, of="beside")
            crowd.until(asked=1 + BESIDE)
            for number in range(AGENTS):
                crowd.ask(server.port, "/api/chat/stream", {"message": f"질문 {number}", **agent}, of="agent")
                if number % 25 == 0:
                    crowd.say("beside", 1)
            crowd.until(asked=1 + BESIDE + AGENTS)
            for _ in WORDS:
                crowd.say("agent", 1)
                crowd.say("beside", 1)
            crowd.until(asked=1 + BESIDE + AGENTS, ended=1 + BESIDE + AGENTS)
            took = resident(worker) - before
    finally:
        crowd.close()
    for peer in crowd.ended:
        told = messages(peer)
        if peer.of == "beside":
            assert told == WORDS
            continue
        assert [one["type"] for one in told] == ["progress"] * 6 + ["final"]
        assert told[-1]["data"]["content"] == "".join(WORDS)
    assert took < (AGENTS + BESIDE) * MEMORY, f"{took / AGENTS:.0f} KiB a run"
