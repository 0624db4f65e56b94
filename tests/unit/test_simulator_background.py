"""The simulator's background responses, against the openai SDK and as raw bytes on a socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.client import Stream, request
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

QUESTION = "비 오는 날 어디에 갈까"
KEY = {"Authorization": "Bearer any"}


@pytest.fixture
def client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=simulator.url, api_key="any", max_retries=0) as made:
        yield made


def begin(client: openai.OpenAI, model: str, **more: Any) -> str:
    """A response that nobody listens to; its id."""
    made = client.responses.create(model=model, input=QUESTION, background=True, **more)
    assert (made.status, made.background, made.output) == ("queued", True, [])
    return made.id


def over(client: openai.OpenAI, response_id: str) -> Any:
    def final() -> Any:
        response = client.responses.retrieve(response_id)
        return None if response.status in ("queued", "in_progress") else response

    return wait_until(final, what="the response's end")


def raw(simulator: Simulator, response_id: str, *, after: int | None = None) -> list[dict[str, Any]]:
    """Its events, asked for again and read to their end."""
    query = "?stream=true" + (f"&starting_after={after}" if after is not None else "")
    with Stream(simulator.url, f"/v1/responses/{response_id}{query}", headers=KEY) as answer:
        answer.rest()
        assert answer.ended == "clean"
        return [frame.json() for frame in answer.frames]


def begun(simulator: Simulator, model: str) -> tuple[str, Stream]:
    """A response and the stream of the one that asked for it, which has its first event."""
    payload = {"model": model, "input": QUESTION, "stream": True, "background": True}
    answer = Stream(simulator.url, "/v1/responses", payload=payload, headers=KEY)
    answer.take(1)
    return answer.frames[0].json()["response"]["id"], answer


def test_it_is_made_without_anybody(client: openai.OpenAI, simulator: Simulator) -> None:
    usual = client.responses.create(model="sim-n12-d5", input=QUESTION)
    response_id = begin(client, "sim-n12-d5")
    done = over(client, response_id)

    assert (done.status, done.output_text, done.usage) == ("completed", usual.output_text, usual.usage)
    entries = [entry["response"] for entry in simulator.requests()]
    assert set(entries) == {usual.id, response_id}


@pytest.mark.parametrize("options", ["", "-crlf-utf8", "-b5", "-comments-null", "-reasoning"])
def test_its_stream_goes_on_after_any_number(
    client: openai.OpenAI, simulator: Simulator, options: str
) -> None:
    tools: Any = [{"type": "web_search"}]
    response_id = begin(client, f"sim-n9-d1{options}", tools=tools)
    whole = raw(simulator, response_id)

    assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
    assert whole[-1]["type"] == "response.completed"
    for after in (0, 1, 7, len(whole) - 2, len(whole) - 1, 999):
        assert raw(simulator, response_id, after=after) == whole[after + 1 :]
    text = "".join(event["delta"] or "" for event in whole if event["type"].endswith("output_text.delta"))
    assert client.responses.retrieve(response_id).output_text == text


def test_it_outlives_the_connection_that_began_it(client: openai.OpenAI, simulator: Simulator) -> None:
    response_id, answer = begun(simulator, "sim-n40-d10")
    answer.close()
    said = list(client.responses.retrieve(response_id, stream=True, starting_after=0))

    assert said[0].sequence_number == 1 and said[-1].type == "response.completed"
    text = "".join(event.delta for event in said if event.type == "response.output_text.delta")
    assert text == client.responses.retrieve(response_id).output_text
    assert simulator.requests()[0]["cut_by_client"]


@pytest.mark.parametrize("script", ["cut3", "reset3", "cut0", "cut9-utf8"])
def test_a_cut_ends_one_connection(client: openai.OpenAI, simulator: Simulator, script: str) -> None:
    response_id, answer = begun(simulator, f"sim-n9-d1-{script}")
    with answer:
        answer.rest()
        assert answer.ended == "cut"
        said = [frame.json() for frame in answer.frames]
    rest = raw(simulator, response_id, after=said[-1]["sequence_number"])

    assert said[-1]["type"] != "response.completed"
    assert said + rest == raw(simulator, response_id)
    assert over(client, response_id).status == "completed"


def test_two_may_follow_it(simulator: Simulator) -> None:
    response_id, answer = begun(simulator, "sim-n30-d10")
    with answer:
        other = raw(simulator, response_id)
        answer.rest()
    assert [frame.json() for frame in answer.frames] == other


def test_it_is_cancelled(client: openai.OpenAI, simulator: Simulator) -> None:
    response_id, answer = begun(simulator, "sim-n9-d5-stall3")
    with answer:
        assert client.responses.cancel(response_id).status == "cancelled"
        answer.rest()
        assert answer.ended == "clean"
    assert client.responses.retrieve(response_id).status == "cancelled"
    done = begin(client, "sim-n1-d0")
    over(client, done)
    assert client.responses.cancel(done).status == "completed"


def test_it_is_forgotten(client: openai.OpenAI) -> None:
    response_id = begin(client, "sim-n9-d5-stall3")
    client.responses.delete(response_id)
    for asked in (client.responses.retrieve, client.responses.cancel, client.responses.delete):
        with pytest.raises(openai.NotFoundError):
            asked(response_id)


def test_it_may_not_be_streamed_again(client: openai.OpenAI) -> None:
    response_id = begin(client, "sim-n9-d0-nostream")
    with pytest.raises(openai.BadRequestError):
        client.responses.retrieve(response_id, stream=True)
    assert over(client, response_id).status == "completed"


def test_a_number_is_a_number(simulator: Simulator, client: openai.OpenAI) -> None:
    path = f"/v1/responses/{begin(client, 'sim-n1-d0')}?stream=true&starting_after=x"
    assert request(simulator.url, path, headers=KEY).status == 400


@pytest.mark.parametrize(
    ("script", "status"),
    [("failed3", "failed"), ("error3", "failed"), ("filter3", "incomplete"), ("length", "incomplete")],
)
def test_ends_of_all_kinds(client: openai.OpenAI, script: str, status: str) -> None:
    assert over(client, begin(client, f"sim-n9-d0-{script}")).status == status
