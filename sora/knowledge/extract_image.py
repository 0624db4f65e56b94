"""Whether an image is one: whole, by its own structure. Its pixels are never unpacked here."""

from __future__ import annotations

from sora.errors import UnreadableFile
from sora.knowledge.filetype import GIF, JPEG, PNG

_PIXELS = 100_000_000
_PARTS = 20_000  # more chunks than any image has
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # of JPEG; the three are tables
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers of JPEG without a length


def check(media_type: str, content: bytes) -> None:
    """Raises UnreadableFile for an image that is broken or cut, and one of more than 100 million pixels."""
    shape = {PNG: _png, JPEG: _jpeg, GIF: _gif}.get(media_type, _webp)
    try:
        width, height = shape(content)
    except IndexError:
        raise UnreadableFile("file_broken") from None
    if not width or not height:
        raise UnreadableFile("file_broken")
    if width * height > _PIXELS:
        raise UnreadableFile("file_unpacked")


def _number(content: bytes, start: int, size: int, order: str = "big") -> int:
    part = content[start : start + size]
    if len(part) < size:
        raise IndexError
    return int.from_bytes(part, "little" if order == "little" else "big")


def _png(content: bytes) -> tuple[int, int]:
    if content[12:16] != b"IHDR":
        raise IndexError
    at = 8
    for _ in range(_PARTS):
        length, kind = _number(content, at, 4), content[at + 4 : at + 8]
        at += 12 + length
        if kind == b"IEND" and at <= len(content):
            return _number(content, 16, 4), _number(content, 20, 4)
    raise IndexError


def _jpeg(content: bytes) -> tuple[int, int]:
    at, size = 2, (0, 0)
    for _ in range(_PARTS):
        if content[at] != 0xFF:
            break
        marker = content[at + 1]
        if marker == 0xFF:  # a filling byte
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker == 0xDA:  # the picture itself; its end must be there
            if content.rfind(b"\xff\xd9") < at:
                break
            return size
        else:
            if marker in _FRAMES:
                size = _number(content, at + 7, 2), _number(content, at + 5, 2)
            at += 2 + max(2, _number(content, at + 2, 2))
    raise IndexError


def _gif(content: bytes) -> tuple[int, int]:
    if not content.rstrip(b"\0").endswith(b";"):
        raise IndexError
    return _number(content, 6, 2, "little"), _number(content, 8, 2, "little")


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if _number(content, 4, 4, "little") + 8 > len(content):
        raise IndexError
    if kind == b"VP8X":
        return _number(content, 24, 3, "little") + 1, _number(content, 27, 3, "little") + 1
    if kind == b"VP8L":
        packed = _number(content, 21, 4, "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":
        return _number(content, 26, 2, "little") & 0x3FFF, _number(content, 28, 2, "little") & 0x3FFF
    raise IndexError
