"""Files that came with a request."""

from __future__ import annotations

from typing import NamedTuple


class Attachment(NamedTuple):
    """One file, as its run needs it: what was extracted from a document (text/plain), or an image as it came."""

    name: str
    media_type: str
    content: bytes
