"""References: what an answer rests on, from its links and the model's citations (WIRE.md D)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from sora.events import Source

_LONGEST = 2048  # characters of a URL; what is longer is no address that somebody would open
_TITLE = 300  # characters of a title

# A link or an image of Markdown: [title](url "…"), ![alt](url), the URL perhaps in <>; else a bare URL.
# Of a URL that is too long more is looked at than it may have, and not all of it: there may be many in one another.
_URL = (
    r"https?://[^\s<>\"`|\\^{}\u3008-\u3011\uff08\uff09\u201c\u201d\u2026\u3001\u3002\uff0c]"
    rf"{{1,{2 * _LONGEST}}}"
)
_LINK = re.compile(
    rf"(?P<image>!?)\[(?P<title>[^\[\]\n]{{0,{_TITLE}}})\]\(\s{{0,3}}<?(?P<linked>{_URL})|(?P<bare>{_URL})",
    re.IGNORECASE,
)
_PUNCTUATION = ".,;:!?'\"*_~·…。、，！？；：’”」』》〉】"
_HANGUL = re.compile("[가-힣]+$")
# What Korean adds to a word it has just named: "https://example.com/guide에서는", "…/guide입니다".
_PARTICLE = re.compile(
    "(?:(?:에서|에게|에|으로|로|까지|부터|처럼|보다|라고|이라고|이라는|라는)?(?:는|은|도|만|의|서|나)?"
    "|은|는|이|가|을|를|와|과|의|도|만|랑|이랑|하고|이고|이며|이나|나|이다|입니다|이에요|예요|인데|인|이야|야|참고|참조)"
)
_HOST_THEN_HANGUL = re.compile(r"(https?://[a-z0-9.-]+\.[a-z]{2,}(?::[0-9]+)?)[가-힣]", re.IGNORECASE)
_TRACKING = re.compile(r"utm_\w*|gclid|fbclid|msclkid|yclid|igshid|mc_cid|mc_eid|srsltid", re.IGNORECASE)
_PORTS = {"http": ":80", "https": ":443"}
_IMAGE = re.compile(r"\.(?:png|jpe?g|gif|webp|avif|svg|bmp)", re.IGNORECASE)
_VIDEO_ID = re.compile(r"[0-9A-Za-z_-]{11}")
_VIDEO_PATH = re.compile(r"/(?:shorts|embed|live|v)/([^/]+)/?")
_VIDEO_HOSTS = ("youtube.com", "youtube-nocookie.com")


class References(NamedTuple):
    """What an answer refers to: every source once, and the pictures and videos among them."""

    sources: list[Source]
    images: list[dict[str, str]]
    videos: list[dict[str, str]]


class _Found(NamedTuple):
    url: str
    title: str
    image: bool


def find(text: str, cited: Sequence[Source] = ()) -> References:
    """The links of a text, in their order, then what else was `cited`; http and https only, and none with a password in it.

    Two URLs are one when they differ in their fragment, their tracking parameters, the spelling of host and escapes, or a
    slash at the end. Of a URL's titles the first real one counts; without any it is the host. Punctuation, brackets that
    were not opened and Korean particles behind a bare URL are none of it. Takes time in proportion to the text; never raises.
    """
    found: dict[str, _Found] = {}
    for url, title, image in (*_links(text), *((source.url, source.title, False) for source in cited)):
        parts = _parts(url)
        if parts is None:
            continue
        key, host = _key(parts), parts.hostname or ""
        title = _title(title, host)
        before = found.get(key)
        if before is None:
            found[key] = _Found(_clean(parts), title, image or bool(_IMAGE.search(parts.path[-5:])))
        elif image or before.title == host:
            found[key] = _Found(
                before.url, before.title if before.title != host else title, before.image or image
            )
    sources = [Source(one.url, one.title) for one in found.values()]
    pictures = [{"url": one.url, "title": one.title} for one in found.values() if one.image]
    return References(sources, pictures, _videos(sources))


def _links(text: str) -> Iterator[tuple[str, str, bool]]:
    at = 0
    while match := _LINK.search(text, at):
        if match["bare"]:
            yield _trimmed(match["bare"]), "", False
            at = match.end()
        else:
            url = _closed(match["linked"])
            yield url, match["title"], bool(match["image"])
            at = match.start("linked") + len(url)  # behind the bracket may stand another link


def _closed(rest: str) -> str:
    """The URL of a Markdown link: what comes before the bracket that closes it."""
    depth = 0
    for at, letter in enumerate(rest):
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth < 0:
                return rest[:at]
    return rest


def _trimmed(url: str) -> str:
    """A bare URL without what belongs to the sentence around it."""
    if at := _HOST_THEN_HANGUL.match(url):
        url = at[1]
    while True:
        before = url
        url = url.rstrip(_PUNCTUATION)
        for opening, closing in ("()", "[]"):
            while url.endswith(closing) and url.count(closing) > url.count(opening):
                url = url[:-1].rstrip(_PUNCTUATION)
        syllables = _HANGUL.search(url[-12:])
        if syllables is not None and _PARTICLE.fullmatch(syllables[0]):
            bare = url[: -len(syllables[0])]
            if bare[-1] not in "=-_%&":
                url = bare
        if url == before:
            return url


def _parts(url: str) -> SplitResult | None:
    """The URL taken apart; None for one that nobody should be led to."""
    if len(url) > _LONGEST or any(not letter.isprintable() or letter.isspace() for letter in url):
        return None
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises for none
    except ValueError:
        return None
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or not host.strip("."):
        return None
    return parts


def _key(parts: SplitResult) -> str:
    """The same text for URLs that lead to the same page."""
    host = parts.netloc.lower().removesuffix(_PORTS[parts.scheme])
    return f"{parts.scheme}://{host}{unquote(parts.path).rstrip('/')}?{unquote(_query(parts))}{_route(parts)}"


def _clean(parts: SplitResult) -> str:
    return parts._replace(query=_query(parts), fragment=_route(parts).removeprefix("#")).geturl()


def _query(parts: SplitResult) -> str:
    kept = [
        pair for pair in parts.query.split("&") if pair and not _TRACKING.fullmatch(pair.partition("=")[0])
    ]
    return "&".join(kept)


def _route(parts: SplitResult) -> str:
    """The fragment where it is a page of its own: that of an application in the browser."""
    return f"#{parts.fragment}" if parts.fragment.startswith(("/", "!")) else ""


def _title(title: str, host: str) -> str:
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in title).split())
    return shown[:_TITLE] if shown and not shown.startswith(("http://", "https://")) else host


def _videos(sources: Sequence[Source]) -> list[dict[str, str]]:
    videos: dict[str, dict[str, str]] = {}
    for source in sources:
        video = _video_id(urlsplit(source.url))
        if video:
            thumbnail = f"https://i.ytimg.com/vi/{video}/hqdefault.jpg"
            shown = {"videoId": video, "url": source.url, "title": source.title, "thumbnail": thumbnail}
            videos.setdefault(video, shown)
    return list(videos.values())


def _video_id(parts: SplitResult) -> str:
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.").removeprefix("music.")
    video = ""
    if host == "youtu.be":
        video = parts.path.strip("/")
    elif host in _VIDEO_HOSTS and parts.path.rstrip("/") == "/watch":
        video = parse_qs(parts.query).get("v", [""])[0]
    elif host in _VIDEO_HOSTS and (match := _VIDEO_PATH.fullmatch(parts.path)):
        video = match[1]
    return video if _VIDEO_ID.fullmatch(video) else ""
