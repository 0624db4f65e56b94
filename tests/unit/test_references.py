from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.events import Source
from sora.pipelines.references import find

LINKS = [
    ("자세한 내용은 https://example.com/guide를 보세요.", "https://example.com/guide"),
    ("https://example.com/guide에서는 이렇게 말합니다", "https://example.com/guide"),
    ("출처는 https://example.com입니다.", "https://example.com"),
    ("https://example.com은 좋다", "https://example.com"),
    ("https://example.com/docs/에서 받으세요", "https://example.com/docs/"),
    ("https://ko.wikipedia.org/wiki/서울 참고", "https://ko.wikipedia.org/wiki/서울"),
    ("(https://example.com/a_(b)).", "https://example.com/a_(b)"),
    ("(see https://example.com/a)", "https://example.com/a"),
    ("https://example.com/a, https", "https://example.com/a"),
    ("**https://example.com/a**", "https://example.com/a"),
    ("<https://example.com/a>", "https://example.com/a"),
    ("「https://example.com/a」", "https://example.com/a"),
    ("https://example.com/a?b=1&utm_source=openai#part", "https://example.com/a?b=1"),
    ("https://example.com/?utm_source=x&utm_medium=y", "https://example.com/"),
    ("https://example.com/#/inside/page", "https://example.com/#/inside/page"),
    ('[가이드](https://example.com/a_(b) "t")', "https://example.com/a_(b)"),
    ("[가이드](<https://example.com/a>)를", "https://example.com/a"),
    ("https://files.example.com/v2설명서.pdf", "https://files.example.com/v2설명서.pdf"),
    ("[1]: https://example.com/a", "https://example.com/a"),
    ("HTTPS://EXAMPLE.COM/A", "https://EXAMPLE.COM/A"),
]
UNSAFE = [
    "[x](javascript:alert(1))", "[x](data:text/html,x)", "[x](file:///etc/passwd)", "ftp://example.com/a",
    "https://user:secret@example.com/a", "https://example.com:port/a", "https://[::1/a", "http://", "https://./",
    "https://example.com/" + "a" * 3000,
]  # fmt: skip


@pytest.mark.parametrize(("text", "url"), LINKS)
def test_a_link_is_found_without_the_sentence_around_it(text: str, url: str) -> None:
    assert [source.url for source in find(text).sources] == [url]


@pytest.mark.parametrize("text", UNSAFE)
def test_what_nobody_should_be_led_to_is_left_out(text: str) -> None:
    assert find(text).sources == []
    assert find("", [Source(text, "cited")]).sources == []


def test_each_is_there_once_in_the_order_of_the_text() -> None:
    text = "먼저 https://b.example/x, 그리고 [A 문서](https://A.example:443/page/?utm_campaign=z#top). 다시 https://a.example/page."
    cited = [
        Source("https://c.example/", "C"),
        Source("https://b.example/x?utm_source=openai", "B 문서"),
        Source("https://c.example", "또 C"),
        Source("https://d.example/%EC%84%9C%EC%9A%B8", ""),
        Source("https://d.example/서울", "서울"),
    ]
    assert find(text, cited).sources == [
        Source("https://b.example/x", "B 문서"),
        Source("https://A.example:443/page/", "A 문서"),
        Source("https://c.example/", "C"),
        Source("https://d.example/%EC%84%9C%EC%9A%B8", "서울"),
    ]


def test_what_differs_stays_apart() -> None:
    text = "https://a.example/p?id=1 https://a.example/p?id=2 http://a.example/p?id=1 https://a.example/q"
    assert len(find(text).sources) == 4


def test_pictures_are_those_marked_or_named_as_such() -> None:
    text = (
        "![고양이](https://a.example/cat?size=2) https://a.example/dog.JPEG [개](https://a.example/dog.JPEG) "
        "https://a.example/png https://a.example/x.html"
    )
    assert find(text).images == [
        {"url": "https://a.example/cat?size=2", "title": "고양이"},
        {"url": "https://a.example/dog.JPEG", "title": "개"},
    ]


def test_a_video_is_known_by_its_id_and_there_once() -> None:
    video = "dQw4w9WgXcQ"
    text = (
        f"[노래](https://www.youtube.com/watch?list=1&v={video}&t=3) https://youtu.be/{video}?si=1 "
        f"https://m.youtube.com/shorts/AAAAAAAAAAA https://youtube.com/embed/BBBBBBBBBBB "
        f"https://youtube.com/watch?v=short https://notyoutube.com/watch?v={video} https://youtube.com/@channel"
    )
    found = find(text).videos
    assert [entry["videoId"] for entry in found] == [video, "A" * 11, "B" * 11]
    assert found[0] == {
        "videoId": video,
        "url": f"https://www.youtube.com/watch?list=1&v={video}&t=3",
        "title": "노래",
        "thumbnail": f"https://i.ytimg.com/vi/{video}/hqdefault.jpg",
    }


def test_a_picture_within_a_link_gives_both() -> None:
    found = find("[![그림](https://a.example/p.png)](https://b.example/page)")
    assert [source.url for source in found.sources] == ["https://a.example/p.png", "https://b.example/page"]
    assert len(found.images) == 1


words = st.text(st.sampled_from("[]()<>!?.,#&=%/:한글은를에서 \n\"'`*ab1\u3000\x00@"), max_size=40)
pieces = st.one_of(
    words, st.sampled_from(["https://", "http://a.example/", "https://b.example/x?utm_source=q&y=1", "[a]("])
)


@given(st.lists(pieces, max_size=12).map("".join), st.lists(st.builds(Source, words, words), max_size=4))
def test_whatever_the_text_what_is_found_is_safe_and_there_once(text: str, cited: list[Source]) -> None:
    found = find(text, cited)
    urls = [source.url for source in found.sources]
    assert len(set(urls)) == len(urls)
    for source in found.sources:
        parts = urlsplit(source.url)
        assert parts.scheme in ("http", "https") and parts.hostname
        assert not any(pair.startswith("utm_") for pair in parts.query.split("&"))
        assert source.url.isprintable() and source.title
    assert find("", found.sources).sources == found.sources, "a second time changes nothing"


hosts = st.from_regex(r"\A[a-z]{1,8}\.example\Z")
paths = st.from_regex(r"\A(/[a-z0-9]{1,6}){0,3}\Z")


@given(
    hosts, paths, st.sampled_from(["", ".", ",", "는", "을", "에서", "입니다.", ")", "!", "**", "」", "'"])
)
def test_a_url_is_found_whatever_follows_it(host: str, path: str, tail: str) -> None:
    url = f"https://{host}{path}"
    assert [source.url for source in find(f"보세요 {url}{tail} 그럼").sources] == [url]


HOSTILE = [
    "[" * 50_000,
    "[a](" * 20_000,
    "[a](https://a)" * 10_000,
    "https://" * 10_000,
    "](https://a" * 10_000,
    "https://a.example/" + "(" * 2000 + ")" * 2000,
    "https://a/" + ".)" * 40_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_takes_no_longer(text: str) -> None:
    start = time.process_time()
    find(text)
    assert time.process_time() - start < 2.0
