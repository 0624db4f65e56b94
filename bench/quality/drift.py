"""Topic drift, measured on the labelled questions of drift.jsonl: half of the conversations were tuned on, half were held out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sora.knowledge.drift import Drift

LEAST = 0.85  #: balanced accuracy on what was held out
TUNED, HELD_OUT = "tuned", "held out"

Case = dict[str, Any]


def cases(half: str, language: str | None = None) -> list[Case]:
    """The labelled questions of one half, in one language or in both."""
    lines = Path(__file__).with_name("drift.jsonl").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [case for case in found if case["half"] == half and language in (None, case["language"])]


def balanced_accuracy(drift: Drift, some: Sequence[Case]) -> float:
    """The mean of how many drifts are seen and how many questions that stay are left alone: 0.5 is chance."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    for case in some:
        recent = [(turn["question"], turn["answer"]) for turn in case["recent"]]
        right[case["drifted"]].append(drift.drifted(case["question"], recent) == case["drifted"])
    return sum(sum(answers) / len(answers) for answers in right.values()) / len(right)


def report() -> Iterator[str]:
    """Lines for people."""
    drift = Drift()
    for half in (TUNED, HELD_OUT):
        figures = [
            f"{language} {balanced_accuracy(drift, cases(half, language)):.3f}" for language in ("ko", "en")
        ]
        count, both = len(cases(half)), balanced_accuracy(drift, cases(half))
        yield f"topic drift, {half:8} ({count} questions): balanced accuracy {both:.3f} ({', '.join(figures)})"
    yield f"  at least {LEAST} on what was held out"
