"""Fences: somebody else's words in a prompt, marked as such."""

from __future__ import annotations

from itertools import count


def fenced(name: str, text: str) -> str:
    """The text between two tags that it does not contain: nothing in it can pass for its end."""
    tag = next(tag for number in count() if (tag := f"{name}{number or ''}") not in text)
    return f"<{tag}>\n{text}\n</{tag}>"
