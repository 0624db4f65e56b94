"""Looks for texts in files, in every spelling in which a program may have written them down."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote


def spellings(text: str) -> set[bytes]:
    """The text as bytes: in UTF-8, UTF-16 and mistaken for Latin-1, in hex, in base64, and escaped as others do."""
    plain = text.encode()
    escaped = json.dumps(text)[1:-1]
    shown = repr(plain)[2:-1]
    octal = "".join(chr(byte) if byte < 128 else f"\\{byte:03o}" for byte in plain)
    percent = quote(text, safe="")
    texts = {
        escaped,
        escaped.upper().replace("\\U", "\\u"),
        shown,
        octal,
        percent,
        percent.lower(),
        quote(text),
    }
    found = {spelt.encode() for spelt in {*texts, plain.hex(), plain.hex().upper(), plain.decode("latin-1")}}
    found |= {plain, text.encode("utf-16-le"), text.encode("utf-16-be")}
    for shift in range(3):  # where in a longer text it stands
        # The first and the last characters also hold bits of the neighbours.
        inner = base64.b64encode(bytes(shift) + plain)[(0, 2, 3)[shift] :].rstrip(b"=")[:-1]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def files(*places: Path) -> list[Path]:
    """All files at and below these places."""
    return [
        path
        for place in places
        for path in ([place, *place.rglob("*")] if place.exists() else [])
        if path.is_file()
    ]


def leaks(texts: dict[str, Iterable[str]], places: Iterable[Path]) -> list[str]:
    """Where any of the texts stands in a file: `file: name of the texts, text`. Files that go away meanwhile do not count."""
    needles = {
        spelt: f"{name} {text!r}" for name, of in texts.items() for text in of for spelt in spellings(text)
    }
    assert needles and all(len(needle) >= 8 for needle in needles), "so short a text stands anywhere"
    found = set()
    for path in files(*places):
        try:
            data = path.read_bytes().replace(bytes(512), b"")  # a database's empty pages
        except FileNotFoundError:
            continue
        found |= {f"{path}: {name}" for needle, name in needles.items() if needle in data}
    return sorted(found)
