"""What a simulated web search finds: always the same three pages, which do not exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Citation(NamedTuple):
    """A page that an answer cites."""

    url: str
    title: str

    @property
    def piece(self) -> str:
        """How the text cites it: as OpenAI's models do, in one token."""
        return f" ([{self.title}]({self.url}))"


# OpenAI says in each URL that it comes from there.
_ARTICLE = "https://example.com/articles/{language}/rain?utm_source=openai"
_VIDEO = "https://www.youtube.com/watch?v=simulated01"
_PICTURE = "https://example.com/images/rain.jpg"

CITATIONS: Mapping[str, tuple[Citation, ...]] = {
    "ko": (
        Citation(_ARTICLE.format(language="ko"), "비 오는 날을 위한 안내 (시뮬레이션)"),
        Citation(_VIDEO, "빗소리 영상 (시뮬레이션)"),
        Citation(_PICTURE, "비 오는 창가 사진 (시뮬레이션)"),
    ),
    "en": (
        Citation(_ARTICLE.format(language="en"), "A guide to rainy days (simulated)"),
        Citation(_VIDEO, "The sound of rain (simulated)"),
        Citation(_PICTURE, "A window in the rain (simulated)"),
    ),
}
