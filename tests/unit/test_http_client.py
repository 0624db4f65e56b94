"""The shorter way of a request is the same request."""

from __future__ import annotations

import httpx2
import openai
import pytest

from sora.providers.http_client import HttpClient

BODY = b'{"model":"m"}'


class Recording(httpx2.BaseTransport):
    """Answers everything alike, and keeps what it was asked."""

    def __init__(self, status: int = 200) -> None:
        self.asked: list[httpx2.Request] = []
        self._status = status

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        return httpx2.Response(self._status, content=b'{"error":{"message":"no"}}')


def post(http: httpx2.Client, *, url: str = "http://model.test:8/v1") -> openai.Stream[object]:
    client = openai.OpenAI(api_key="k", base_url=url, max_retries=0, http_client=http)
    return client.post(
        "/chat/completions", content=BODY, cast_to=object, stream=True, stream_cls=openai.Stream[object]
    )


@pytest.mark.parametrize(
    "url", ["http://model.test:8/v1", "https://model.test", "http://name:word@model.test/v1/"]
)
def test_it_asks_what_httpx_would_ask(url: str) -> None:
    shorter, usual = Recording(), Recording()
    post(HttpClient(shorter), url=url)
    post(httpx2.Client(transport=usual, timeout=None), url=url)

    (ours,), (theirs,) = shorter.asked, usual.asked
    assert (ours.method, ours.url, ours.read()) == (theirs.method, theirs.url, theirs.read())
    left_out = {"connection", "accept-encoding"} - set(
        ours.headers
    )  # httpx's own defaults, which say nothing new
    assert dict(ours.headers) == {
        name: value for name, value in theirs.headers.items() if name not in left_out
    }


def test_an_error_has_its_status_and_its_body() -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        post(HttpClient(Recording(status=400)))

    assert caught.value.status_code == 400
    assert caught.value.body == {"message": "no"}


def test_what_is_not_streamed_is_read() -> None:
    transport = Recording()
    answer = HttpClient(transport).send(httpx2.Request("GET", "http://model.test/v1/models"))

    assert answer.is_closed
    assert answer.content == b'{"error":{"message":"no"}}'


def test_a_form_goes_the_usual_way() -> None:
    request = HttpClient(Recording()).build_request("POST", "http://model.test/", data={"a": "b"})

    assert request.read() == b"a=b"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
