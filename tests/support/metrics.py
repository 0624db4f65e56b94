"""What a server counts."""

from __future__ import annotations

import re

from tests.support.client import request

_SAMPLE = re.compile(r"^(?P<name>[^#\s]\S*?)(?P<labels>\{.*\})? (?P<value>\S+)$", re.MULTILINE)


def metrics(url: str) -> dict[str, float]:
    """The samples of /metrics, over all workers of the server: `name{label="value"}` -> value."""
    answer = request(url, "/metrics")
    assert answer.status == 200, answer.text
    return {
        match["name"] + (match["labels"] or ""): float(match["value"])
        for match in _SAMPLE.finditer(answer.text)
    }
