"""The look for leaks finds what it is made to find."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.leaks import leaks

TEXT = "아무에게도 말하지 않은 일?"
LONGER = f"앞에 {TEXT} 뒤에"


@pytest.mark.parametrize(
    "written",
    [
        *(LONGER.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")),
        *(base64.b64encode(b"x" * ahead + LONGER.encode()) for ahead in range(3)),
        *(base64.urlsafe_b64encode(b"x" * ahead + LONGER.encode()) for ahead in range(3)),
        LONGER.encode().decode("latin-1").encode(),
        json.dumps(LONGER).encode(),
        repr(LONGER.encode()).encode(),
        quote(LONGER).encode(),
        LONGER.encode().hex().encode(),
    ],
)
def test_every_spelling_is_found(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "log").write_bytes(b"\0" * 5000 + b"x" + written + b"y")
    assert leaks({"diary": [TEXT]}, [tmp_path]) == [f"{tmp_path}/folder/log: diary {TEXT!r}"]
    assert leaks({"diary": ["어디에도 없는 말"]}, [tmp_path]) == []
