"""The generators of openai, LangChain and LlamaIndex, with the simulator behind them, as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from llama_index.core.base.llms.types import (
    ChatMessage,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseTextDeltaEvent,
    ResponseUsage,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from sora.engine.engine import Engine
from tests.engine.own import begin_own
from tests.engine.workers import OWNER, Client, Workers, ended, read
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

Make = Callable[[str, str], Iterator[Any]]


def chat_completions(url: str, model: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        yield from client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )


def langchain(url: str, model: str) -> Iterator[Any]:
    chat = ChatOpenAI(base_url=url, model=model, api_key="k", max_retries=0, stream_usage=True)
    return chat.stream([HumanMessage("hello")])


def langchain_chain(url: str, model: str) -> Iterator[Any]:
    chat = ChatOpenAI(base_url=url, model=model, api_key="k", max_retries=0)
    chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | chat | StrOutputParser()
    return chain.stream({"question": "hello"})


class Simulated(CustomLLM):
    """A model of LlamaIndex's as their documentation makes one."""

    url: str
    model: str

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        text = ""
        for chunk in chat_completions(self.url, self.model):
            delta = (chunk.choices[0].delta.content if chunk.choices else None) or ""
            text += delta
            yield CompletionResponse(text=text, delta=delta)


def llama_completion(url: str, model: str) -> Iterator[Any]:
    return Simulated(url=url, model=model).stream_complete("hello")


def llama_chat(url: str, model: str) -> Iterator[Any]:
    return Simulated(url=url, model=model).stream_chat([ChatMessage(role="user", content="hello")])


MAKERS = [chat_completions, langchain, langchain_chain, llama_completion, llama_chat]


@pytest.fixture
def engine(sqlite_workers: Workers) -> Engine:
    return sqlite_workers()


@pytest.mark.parametrize("make", MAKERS)
def test_their_text_is_the_answer(engine: Engine, simulator: Simulator, make: Make) -> None:
    whole = "".join(
        chunk.choices[0].delta.content or ""
        for chunk in chat_completions(simulator.url, "sim-n30-d0")
        if chunk.choices
    )
    run = begin_own(engine, make(simulator.url, "sim-n30-d0"))

    client = read(engine, run)
    assert client.events[-1] == "done" and client.events.count("delta") > 10
    assert client.text == engine.text(ended(engine, run)) == whole


@pytest.mark.parametrize("make", [chat_completions, langchain])
def test_usage_model_and_reason_are_kept(engine: Engine, simulator: Simulator, make: Make) -> None:
    final = ended(engine, begin_own(engine, make(simulator.url, "sim-n30-d0-length")))
    assert final.model == "sim-n30-d0-length" and final.finish_reason == "length"
    assert final.usage is not None and final.usage.output_tokens == 30


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("model", "code"), [("sim-429", "upstream_rate_limited"), ("sim-503", "upstream_error"), ("sim-refuse", "upstream_error")]
)  # fmt: skip
def test_their_errors_are_ours(
    engine: Engine, simulator: Simulator, make: Make, model: str, code: str
) -> None:
    run = begin_own(engine, make(simulator.url, model))
    assert read(engine, run).terminals[0].json()["code"] == code


@pytest.mark.parametrize("make", [chat_completions, langchain])
def test_the_content_filter_is_an_error(engine: Engine, simulator: Simulator, make: Make) -> None:
    run = begin_own(engine, make(simulator.url, "sim-n20-d0-filter5"))
    assert read(engine, run).terminals[0].json()["code"] == "content_filter"


# A chain of LangChain's does not close its model's connection when it is closed; its model's own stream does.
@pytest.mark.parametrize("make", [make for make in MAKERS if make is not langchain_chain])
def test_a_cancel_closes_their_connection(engine: Engine, simulator: Simulator, make: Make) -> None:
    run = begin_own(engine, make(simulator.url, "sim-n2000-d10"))
    client = Client(engine, run).until(5)

    engine.cancel(run.id, owner=OWNER)

    assert client.end().events[-1] == "cancelled"
    wait_until(lambda: simulator.requests()[0]["cut_by_client"], what="the end of the upstream connection")


def test_the_responses_of_openai(engine: Engine) -> None:
    """Their events, made here: the simulator speaks Chat Completions alone."""
    done = Response.model_construct(
        model="a-model",
        incomplete_details=None,
        usage=ResponseUsage(
            input_tokens=1,
            input_tokens_details=InputTokensDetails.model_construct(cached_tokens=0),
            output_tokens=2,
            output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
            total_tokens=3,
        ),
    )
    events = [
        *(
            ResponseTextDeltaEvent.model_construct(type="response.output_text.delta", delta=text)
            for text in ("안", "녕")
        ),
        ResponseCompletedEvent.model_construct(type="response.completed", response=done),
    ]
    final = ended(engine, begin_own(engine, events))
    assert engine.text(final) == "안녕" and final.model == "a-model"
    assert final.usage is not None and final.usage.total_tokens == 3
