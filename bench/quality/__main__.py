"""`make quality`: retrieval and topic drift, printed."""

from __future__ import annotations

import sys

from bench.quality import drift, search

if __name__ == "__main__":
    for part in (search, drift):
        for line in part.report():
            sys.stdout.write(f"{line}\n")
