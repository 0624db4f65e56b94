"""A request's JSON, and the pictures in it, which are encoded without holding up anybody's stream."""

from __future__ import annotations

import base64
import io
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from sora.engine.generation import Image

# A multiple of three, so that the slices' base64 joins to the whole's; a millisecond or two each.
_SLICE = 3 * 65_536


def encode(body: Mapping[str, Any]) -> bytes:
    """The body in UTF-8; a lone surrogate in a user's text becomes a question mark and fails no request."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


class Pictures:
    """The pictures of one body. It has a mark in each one's place, in the order of the calls of `url`."""

    def __init__(self) -> None:
        self._images: list[Image] = []
        self._mark = ""

    def url(self, image: Image) -> str:
        """What stands in the body for the picture's data URL (RFC 2397)."""
        self._mark = self._mark or secrets.token_hex(16)  # nothing that a text could say
        self._images.append(image)
        return self._mark

    def encode(self, body: Mapping[str, Any]) -> bytes:
        """The body with the pictures in it. Lets the other greenlets have their turn every millisecond or two."""
        content = encode(body)
        if not self._images:
            return content
        first, *rest = content.split(self._mark.encode())
        # Grows in place and is handed over as it is: to copy that many bytes takes long.
        whole = io.BytesIO()
        whole.write(first)
        for image, after in zip(self._images, rest, strict=True):
            whole.write(f"data:{image.media_type};base64,".encode())
            _write(image.content, whole)
            whole.write(after)
        return whole.getvalue()


def _write(content: bytes, whole: io.BytesIO) -> None:
    view = memoryview(content)
    for start in range(0, len(view), _SLICE):
        if start:
            time.sleep(0)
        whole.write(base64.b64encode(view[start : start + _SLICE]))
