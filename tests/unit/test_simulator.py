"""The simulator: its scripts as text, and each of them over real HTTP."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.simulator.embeddings import embed
from sora.simulator.scripts import MILLION, OPTIONS, Script, UnknownScript, parse
from sora.simulator.text import Answer, pieces, plain_text
from tests.support import process
from tests.support.client import Stream, request
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

DIARY = "오늘 팀장님께 칭찬을 들어서 기분이 정말 좋았다."
KEY = {"Authorization": "Bearer any"}
COMPLETIONS = "/v1/chat/completions"


def prompt(text: str = DIARY, system: str | None = None) -> list[dict[str, Any]]:
    turns = [{"role": "user", "content": text}]
    return turns if system is None else [{"role": "system", "content": system}, *turns]


def stream(simulator: Simulator, model: str, *, text: str = DIARY, usage: bool = True) -> Stream:
    payload = {"model": model, "messages": prompt(text), "stream": True}
    if usage:
        payload["stream_options"] = {"include_usage": True}
    return Stream(simulator.url, COMPLETIONS, payload=payload, headers=KEY)


def played(simulator: Simulator, model: str, **how: Any) -> Stream:
    """A streamed answer, read to its end."""
    with stream(simulator, model, **how) as answer:
        answer.rest()
        return answer


def chunks(answer: Stream) -> list[dict[str, Any]]:
    return [frame.json() for frame in answer.frames if frame.data != "[DONE]"]


def deltas(answer: Stream, field: str = "content") -> list[str]:
    """The non-empty pieces of the text."""
    shown = (c["choices"][0]["delta"].get(field) for c in chunks(answer) if c.get("choices"))
    return [piece for piece in shown if piece]


def finish_reasons(answer: Stream) -> list[str]:
    reasons = (c["choices"][0]["finish_reason"] for c in chunks(answer) if c.get("choices"))
    return [reason for reason in reasons if reason]


def said(text: str, *, model: str = "sim", system: str = "") -> str:
    return "".join(Answer(prompt(text, system), parse(model)).text())


@pytest.fixture
def client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=simulator.url, api_key="any", max_retries=0) as made:
        yield made


# Scripts


@given(st.lists(st.sampled_from(OPTIONS)))
def test_any_combination_of_options_is_a_script(options: Sequence[Any]) -> None:
    assert isinstance(parse("-".join(["sim", *(option.example for option in options)])), Script)


@given(st.integers(0, 9_999_999), st.integers(0, 600_000), st.integers(1, 1000), st.booleans())
def test_numbers_arrive_in_their_units(tokens: int, delay: int, burst: int, crlf: bool) -> None:
    script = parse(f"sim-n{tokens}-d{delay}-b{burst}" + "-crlf" * crlf)
    assert (script.tokens, script.burst, script.crlf) == (tokens, burst, crlf)
    assert script.delay == pytest.approx(delay / 1000)


@given(st.text())
def test_any_other_name_is_the_default_script_or_an_unknown_one(name: str) -> None:
    assert parse(f"my{name}") == Script()
    with contextlib.suppress(UnknownScript):
        assert isinstance(parse(f"sim-{name}"), Script)


def test_statuses_and_failures() -> None:
    assert parse("sim-429r7") == Script(status=429, retry_after=7)
    assert parse("sim-fail3x503r1") == Script(status=503, failures=3, retry_after=1)
    assert parse("simple-500") == parse("gpt-4.1-mini") == Script()
    for wrong in ("sim-200", "sim-fail0x500", "sim-", "sim-b0", "sim-n", "sim-n٣", "sim-CRLF"):
        with pytest.raises(UnknownScript):
            parse(wrong)


# Words


@given(st.text())
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert all(1 <= len(piece) <= 6 for piece in pieces(text))


@given(st.text(), st.text(), st.sampled_from(["sim", "sim-n40", "sim-reasoning-surrogate", "sim-refusal"]))
def test_answers_are_the_same_for_the_same_prompt(text: str, system: str, model: str) -> None:
    first, second = (Answer(prompt(text, system), parse(model)) for _ in range(2))
    assert (first.reasoning(), list(first.text())) == (second.reasoning(), list(second.text()))


@given(st.text(alphabet="가나다라 마바사.", min_size=1, max_size=60), st.sampled_from(["", "공감", "솔직"]))
def test_a_usual_answer_says_that_it_is_simulated(text: str, system: str) -> None:
    words = list(Answer(prompt(f"하루 {text}", system), parse("sim")).text())
    assert "".join(words).startswith("(시뮬레이션 응답) ")
    assert 50 <= len(words) <= 120


def test_an_answer_follows_the_language_the_words_and_the_persona() -> None:
    assert said("I walked along the river").startswith("(simulated answer) ")
    assert "river" in said("river")
    warm = said(DIARY, system="따뜻하게 공감해 주세요. thinking")
    frank = said(DIARY, system="Be frank and logical.")
    assert len({warm, frank, said(DIARY)}) == 3
    assert any(word in warm for word in ("팀장님께", "칭찬을", "기분이"))
    assert "솔직하게" in frank
    assert "고마워요" in warm


@pytest.mark.parametrize(
    "text", ["요즘은 그냥 죽고 싶다는 생각만 든다", "자해를 했다", "I want to kill myself"]
)
@pytest.mark.parametrize("system", ["공감", "솔직한 분석"])
def test_self_harm_gets_care_and_a_helpline_from_every_persona(text: str, system: str) -> None:
    answer = said(text, system=system)
    assert "109" in answer
    assert answer.startswith(("(시뮬레이션 응답)", "(simulated answer)"))
    assert "109" in said(text, system=system, model="sim-n300")


def test_guidance_about_self_harm_in_the_system_prompt_is_not_distress() -> None:
    assert "109" not in said(DIARY, system="자살을 말하면 109를 안내하세요.")


def test_contents_may_be_parts() -> None:
    assert plain_text([{"type": "text", "text": "a"}, {"type": "image_url"}, {"text": "b"}]) == "a\nb"
    assert plain_text(None) == plain_text(7) == ""


# Embeddings


@given(st.text(max_size=200), st.integers(1, 300))
def test_embeddings_have_length_one(text: str, dimensions: int) -> None:
    vector = embed(text, dimensions)
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1)
    assert vector == embed(text, dimensions)


def test_similar_texts_have_similar_vectors() -> None:
    def nearness(one: str, other: str) -> float:
        return sum(a * b for a, b in zip(embed(one), embed(other), strict=True))

    question = "연차 휴가는 며칠인가요?"
    assert nearness(question, "연차 휴가 일수는 며칠인지요") > 0.5 > nearness(question, "구내식당 점심 메뉴")
    assert nearness("How to reset my password", "password reset") > nearness(
        "How to reset my password", "점심"
    )


# Over HTTP, as the openai package sees it


def test_a_streamed_answer(client: openai.OpenAI, simulator: Simulator) -> None:
    answer = list(
        client.chat.completions.create(
            model="sim-n12-d0",
            messages=prompt(),  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
            temperature=0.7,
        )
    )
    *text, last, usage = answer
    assert [len(chunk.choices) for chunk in text] == [1] * 13
    assert last.choices[0].finish_reason == "stop"
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.completion_tokens == 12
    [entry] = simulator.requests()
    assert entry["model"] == "sim-n12-d0"
    assert entry["messages"] == prompt()
    assert entry["parameters"]["temperature"] == 0.7
    assert (entry["stream"], entry["status"], entry["tokens"], entry["finished"]) == (True, 200, 12, True)
    assert "any" not in json.dumps(entry["headers"])


def test_streamed_and_whole_answers_are_the_same(client: openai.OpenAI) -> None:
    ask: Callable[..., Any] = client.chat.completions.create
    whole = ask(model="sim-d0", messages=prompt())
    parts = ask(model="sim-d0", messages=prompt(), stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in parts) == whole.choices[0].message.content
    assert whole.usage.completion_tokens >= 50


def test_whole_answers_of_the_scripts(client: openai.OpenAI) -> None:
    def ask(model: str) -> Any:
        return client.chat.completions.create(model=model, messages=prompt())  # type: ignore[arg-type]

    assert ask("sim-d0-length").choices[0].finish_reason == "length"
    assert ask("sim-d0-filter3").choices[0].finish_reason == "content_filter"
    assert ask("sim-d0-refusal").choices[0].message.refusal
    assert ask("sim-d0-reasoning").choices[0].message.reasoning_content
    assert ask("sim-d0-echo").choices[0].message.content == DIARY
    assert ask("sim-d0-nousage").usage is None
    assert ask("sim-empty").choices[0].message.content == ""
    assert ask("sim-d0-utf8").choices[0].message.content
    assert len(ask("sim-million").choices[0].message.content) == MILLION
    with pytest.raises(openai.APIConnectionError):
        ask("sim-d0-cut3")
    with pytest.raises(openai.APIConnectionError):
        ask("sim-d0-reset3")
    with pytest.raises(json.JSONDecodeError):
        ask("sim-d0-badjson3")


def test_a_whole_answer_can_stall(client: openai.OpenAI, simulator: Simulator) -> None:
    for model in ("sim-d0-stall3", "sim-drip"):
        simulator.clear()
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.2).chat.completions.create(
                model=model,
                messages=prompt(),  # type: ignore[arg-type]
            )
        wait_until(lambda: simulator.requests()[0]["cut_by_client"], what="the client's leaving")


def test_embeddings_and_models(client: openai.OpenAI, simulator: Simulator) -> None:
    made = client.embeddings.create(model="sim", input=["안녕", "잘 가"])
    assert [len(item.embedding) for item in made.data] == [256, 256]
    assert made.data[0].embedding == pytest.approx(embed("안녕"), abs=1e-6)
    plain = client.embeddings.create(model="sim", input="안녕", encoding_format="float", dimensions=64)
    assert plain.data[0].embedding == pytest.approx(embed("안녕", 64))
    assert client.embeddings.create(model="sim", input=[[1, 2], [3]]).data[1].index == 1
    wrong_inputs: tuple[Any, ...] = ("", [], [""], {"a": 1}, [["a"]], 7)
    for wrong in wrong_inputs:
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model="sim", input=wrong)
    with pytest.raises(openai.InternalServerError):
        client.embeddings.create(model="sim-500", input="a")

    listed = [model.id for model in client.models.list()]
    assert len(listed) == len(OPTIONS) + 1
    assert all(isinstance(parse(name), Script) for name in listed)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("sim-400", openai.BadRequestError),
        ("sim-401", openai.AuthenticationError),
        ("sim-429", openai.RateLimitError),
        ("sim-500", openai.InternalServerError),
        ("sim-503", openai.InternalServerError),
        ("sim-nonsense", openai.NotFoundError),
        ("sim-headers10-429", openai.RateLimitError),
        ("sim-refuse", openai.APIConnectionError),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_failures_before_the_answer(
    client: openai.OpenAI, simulator: Simulator, model: str, error: type[openai.OpenAIError], streaming: bool
) -> None:
    with pytest.raises(error) as caught:
        client.chat.completions.create(model=model, messages=prompt(), stream=streaming)  # type: ignore[call-overload]
    [entry] = simulator.requests()
    assert entry["finished"]
    assert not entry["cut_by_client"]
    assert entry["status"] == getattr(caught.value, "status_code", None)
    if isinstance(caught.value, openai.NotFoundError):
        assert caught.value.code == "model_not_found"
        assert "nonsense" in caught.value.message


def test_retry_after_and_failures_that_pass(simulator: Simulator) -> None:
    limited = played(simulator, "sim-429r7")
    assert (limited.status, limited.headers["Retry-After"]) == (429, "7")
    model = "sim-fail2x500-n1-d0"
    assert [played(simulator, model).status for _ in range(4)] == [500, 500, 200, 200]
    assert played(simulator, model, text="something else").status == 500
    simulator.clear()
    assert played(simulator, model).status == 500


def test_wrong_requests_get_openais_error_body(simulator: Simulator) -> None:
    for payload in ([], {}, {"model": 1}, {"model": "sim"}, {"model": "sim", "messages": ["a"]}):
        answer = request(simulator.url, COMPLETIONS, payload=payload, headers=KEY)
        assert answer.status == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"
    unknown = request(simulator.url, COMPLETIONS, payload={"model": "sim", "messages": prompt()})
    assert unknown.status == 401
    assert set(unknown.json()["error"]) == {"message", "type", "param", "code"}


# Over HTTP, byte by byte


def test_pace_burst_and_lateness(simulator: Simulator) -> None:
    with stream(simulator, "sim-n9-d20-b3-first300") as answer:
        headers = time.monotonic() - answer.started
        answer.rest()
    first, *rest = answer.frames
    assert headers < 0.3 <= first.at - answer.started
    text = [frame for frame in rest if '"content"' in frame.data]
    assert len(text) == 9
    assert text[-1].at - text[0].at >= 0.12 - 0.01
    assert text[0].at == text[2].at

    with stream(simulator, "sim-n1-headers300") as late:
        assert time.monotonic() - late.started >= 0.3


def test_cut_reset_and_refuse(simulator: Simulator) -> None:
    cut = played(simulator, "sim-d0-cut3")
    assert (cut.ended, len(deltas(cut))) == ("cut", 3)

    ends: dict[str, object] = {}
    for model in ("sim-d0-cut0", "sim-d0-reset2", "sim-refuse"):
        body = json.dumps({"model": model, "stream": True, "messages": prompt()}).encode()
        host, port = "127.0.0.1", simulator.port
        with socket.create_connection((host, port), timeout=5) as raw:
            fields = {"Host": "a", **KEY, "Content-Length": str(len(body))}
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            raw.sendall(f"POST {COMPLETIONS} HTTP/1.1\r\n{head}\r\n".encode() + body)
            received = b""
            try:
                while data := raw.recv(65536):
                    received += data
                ends[model] = "closed", bool(received)
            except ConnectionResetError:
                ends[model] = "reset", True
        assert b"\r\n0\r\n\r\n" not in received
    assert ends == {
        "sim-d0-cut0": ("closed", True),
        "sim-d0-reset2": ("reset", True),
        "sim-refuse": ("closed", False),
    }
    assert all(entry["finished"] and not entry["cut_by_client"] for entry in simulator.requests())


@pytest.mark.parametrize("model", ["sim-d0-stall2", "sim-drip-d5", "sim-n100000", "sim-first60000"])
def test_a_client_that_leaves_is_noticed(simulator: Simulator, model: str) -> None:
    with stream(simulator, model) as answer:
        if "stall" in model:
            assert len(deltas(answer)) == 0
            answer.take(3)
        elif "drip" in model:
            wait_until(lambda: answer.read() and len(answer.parser.comments) > 3)
            assert answer.frames == []
        [entry] = simulator.requests()
        assert not entry["finished"]
        assert not entry["cut_by_client"]
    wait_until(lambda: simulator.requests()[0]["cut_by_client"], timeout=2, what="the client's leaving")
    assert not simulator.requests()[0]["finished"]


def test_connections_are_kept_and_can_be_told_apart(simulator: Simulator) -> None:
    body = json.dumps({"model": "sim-n3-d0", "stream": True, "messages": prompt()}).encode()
    with Stream(simulator.url, COMPLETIONS, body=body, headers=KEY) as first:
        first.rest()
        first._connection.request("POST", COMPLETIONS, body, KEY)
        assert first._connection.getresponse().read().endswith(b"data: [DONE]\n\n")
    played(simulator, "sim-n3-d0")
    one, two, three = (entry["connection"] for entry in simulator.requests())
    assert one == two != three


def test_frames_that_are_wrong(simulator: Simulator) -> None:
    broken = played(simulator, "sim-n6-d0-badjson2")
    wrong = [frame for frame in broken.frames if frame.data != "[DONE]" and not _is_json(frame.data)]
    assert len(wrong) == 1
    assert broken.frames.index(wrong[0]) == 3
    assert len(broken.frames) == 1 + 6 + 1 + 3
    assert not _is_json(played(simulator, "sim-n2-d0-badjson9").frames[3].data)

    failed = played(simulator, "sim-d0-error2")
    assert failed.ended == "clean"
    assert failed.frames[-1].json()["error"]["type"] == "server_error"
    assert len(deltas(failed)) == 2


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_ends_of_all_kinds(simulator: Simulator) -> None:
    usual = played(simulator, "sim-n2-d0")
    assert usual.frames[-1].data == "[DONE]"
    assert [len(c["choices"]) for c in chunks(usual)] == [1, 1, 1, 1, 0]
    assert [c.get("usage", "absent") for c in chunks(usual)[:2]] == [None, None]
    assert finish_reasons(usual) == ["stop"]

    assert all(c["choices"] for c in chunks(played(simulator, "sim-n2-d0", usage=False)))
    assert all(c["choices"] for c in chunks(played(simulator, "sim-n2-d0-nousage")))
    without_done = played(simulator, "sim-n2-d0-nodone")
    assert without_done.ended == "clean"
    assert without_done.frames[-1].data != "[DONE]"
    without_finish = played(simulator, "sim-n2-d0-nofinish")
    assert finish_reasons(without_finish) == []
    assert without_finish.frames[-1].data == "[DONE]"
    assert finish_reasons(played(simulator, "sim-n2-d0-length")) == ["length"]
    filtered = played(simulator, "sim-d0-filter4")
    assert finish_reasons(filtered) == ["content_filter"]
    assert len(deltas(filtered)) == 4
    empty = played(simulator, "sim-empty")
    assert deltas(empty) == []
    assert finish_reasons(empty) == ["stop"]


def test_texts_of_all_kinds(simulator: Simulator) -> None:
    usual = "".join(deltas(played(simulator, "sim-d0")))
    assert "".join(deltas(played(simulator, "gpt-4.1-mini"))) == usual
    assert "".join(deltas(played(simulator, "sim-d0-b7-comments-null-crlf-utf8"))) == usual
    assert "".join(deltas(played(simulator, "sim-d0-echo"))) == DIARY
    assert len("".join(deltas(played(simulator, "sim-million")))) == MILLION
    refused = played(simulator, "sim-d0-refusal")
    assert deltas(refused) == []
    assert deltas(refused, "refusal")
    reasoned = played(simulator, "sim-d0-reasoning")
    assert deltas(reasoned)
    assert "추론" in "".join(deltas(reasoned, "reasoning_content"))
    assert chunks(reasoned)[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


def test_bytes_of_all_kinds(simulator: Simulator) -> None:
    crlf = played(simulator, "sim-n3-d0-crlf").raw
    assert crlf.count(b"\n") == crlf.count(b"\r\n") == 14

    commented = played(simulator, "sim-n3-d0-comments")
    assert commented.parser.comments == ["between", "inside"] * 3

    nulls = chunks(played(simulator, "sim-n6-d0-null", usage=False))
    assert [] in [c["choices"] for c in nulls]
    assert None in [c["choices"][0]["delta"].get("content", "") for c in nulls if c["choices"]]

    awkward = played(simulator, "sim-n8-d0-surrogate")
    text = deltas(awkward)
    assert text[2:7] == ["\ud83d", "\ude0a", " nul\x00", " \ud800lone", " \udfff."]
    assert b"\\ud83d" in awkward.raw
    assert b"\\u0000" in awkward.raw


def test_split_utf8_arrives_in_halves(simulator: Simulator) -> None:
    with stream(simulator, "sim-n20-d5-utf8") as answer:
        reads = []
        while data := answer.read():
            reads.append(data)

    def whole(data: bytes) -> bool:
        return data.decode(errors="replace").encode() == data

    assert sum(not whole(data) for data in reads) >= 10
    assert "\ufffd" not in "".join(deltas(answer))


def test_it_remembers_a_thousand_requests(simulator: Simulator) -> None:
    with openai.OpenAI(base_url=simulator.url, api_key="any") as client:
        for number in range(1001):
            client.embeddings.create(model="sim", input=f"n{number}", dimensions=1)
    entries = simulator.requests()
    assert len(entries) == 1000
    assert entries[0]["parameters"]["input"] == "n1"
    simulator.clear()
    assert simulator.requests() == []


# As a process


def test_it_prints_its_url_and_ends_with_its_parent(tmp_path: Path) -> None:
    parent = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-m', 'sora.simulator', '--port', '0', "
        "'--with-parent']); sys.stdin.read()"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=process.ROOT,
    )
    with running:
        assert running.stdout
        url = running.stdout.readline().split()[-1]
        assert url.startswith("http://127.0.0.1:")
        [child] = process.children(running.pid)
        answer = request(url, "/healthz")
        assert answer.status == 200
        running.kill()
    wait_until(lambda: not process.alive(child), timeout=5, what="the simulator's end")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quietly(number: signal.Signals) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "sora.simulator", "--port", "0", "--with-parent"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=process.ROOT,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    assert running.stdout
    url = running.stdout.readline().split()[-1]
    with Stream(
        url, COMPLETIONS, payload={"model": "sim-n9999", "stream": True, "messages": prompt()}, headers=KEY
    ):
        running.send_signal(number)
        _, errors = running.communicate(timeout=5)
    assert (running.returncode, errors) == (0, "")


# The documentation


def test_the_documentation_lists_every_option() -> None:
    page = (process.ROOT / "docs" / "simulator.md").read_text()
    for option in OPTIONS:
        assert f"| `{option.form}` | {option.summary} |" in page
