"""Draws docs/terminal.svg: runs the commands below against a Sora and shows what they print, when they print it.

make run, and in another shell:  python docs/picture.py http://127.0.0.1:8000 > docs/terminal.svg
"""

from __future__ import annotations

import html
import re
import subprocess
import sys
import time
import unicodedata
from typing import NamedTuple

DIARY = (
    '{"body": "비가 와서 창밖을 오래 보았다. 차 한 잔이 따뜻했다.", "type": "F", "reviewDate": "2026-01-20"}'
)
COMMANDS = (
    ("a diary goes in, the answer arrives word by word … and the client leaves in the middle",
     "curl -sN '{url}/stream/review?ids=1' -H 'Content-Type: application/json' \\\n  -d '" + DIARY + "' | head -n 16"),
    ("the answer went on without it: here is the rest, from the last id on",
     "curl -sN '{url}/api/runs/{run}/events?format=review' \\\n  -H 'Last-Event-ID: {last}' | grep -m 5 data"),
    ("and the whole of it is saved",
     "curl -s '{url}/api/reviews' | python3 -m json.tool --no-ensure-ascii"),
)  # fmt: skip
COLUMNS, LINE, TOP = 104, 19, 24
STYLE = (
    "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'D2Coding','Noto Sans Mono CJK KR',monospace;"
    "white-space:pre;fill:#d8dee9}.c{fill:#7f8a9e}.p{fill:#a3be8c}.i{fill:#6b7689}"
    "@keyframes wait{from,to{opacity:0}}"
)


class Line(NamedTuple):
    at: float  # seconds from the beginning
    kind: str
    text: str


def main(url: str) -> None:
    lines: list[Line] = []
    begun, paused, known = time.monotonic(), 0.0, {"url": url}

    def now() -> float:
        return time.monotonic() - begun + paused

    for comment, template in COMMANDS:
        command = template.format(**known) if "{run}" in template else template.replace("{url}", url)
        shown = command.replace(url, "http://127.0.0.1:8000")
        lines += [Line(now(), "c", f"# {comment}")]
        lines += [
            Line(now(), "p", ("$ " if not n else "  ") + part) for n, part in enumerate(shown.split("\n"))
        ]
        process = subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for text in process.stdout:
            if found := re.match(r"id: ((\w+):\S+)", text):
                known |= {"last": found[1], "run": found[2]}
            kind = "i" if text.startswith(("id:", ":")) else ""
            lines += [Line(now(), kind, part) for part in wrapped(text.rstrip("\n"))]
        process.wait()
        lines.append(Line(now(), "", ""))
        paused += 1.0  # to read by
        time.sleep(2.0)
        paused -= 2.0
    sys.stdout.write(drawn(lines) + "\n")


def wrapped(text: str) -> list[str]:
    """The text in lines of COLUMNS columns; a Korean letter takes two."""
    parts, used = [""], 0
    for letter in text:
        width = 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if used + width > COLUMNS:
            parts.append("")
            used = 0
        parts[-1] += letter
        used += width
    return parts


def drawn(lines: list[Line]) -> str:
    height = TOP + LINE * len(lines)
    texts = [
        f'<text x="16" y="{TOP + LINE * number}" class="{kind}" style="animation:wait {at:.2f}s">{html.escape(text)}</text>'
        for number, (at, kind, text) in enumerate(lines)
        if text
    ]
    size = f'width="880" height="{height}" viewBox="0 0 880 {height}"'
    return "\n".join(
        (f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">', f"<style>{STYLE}</style>",
         '<rect width="100%" height="100%" rx="8" fill="#20242c"/>', *texts, "</svg>")
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
