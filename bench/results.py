"""What has been measured so far: every figure of every round, and the ratios between them."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from bench.loads import Figures


class Series(list[float]):
    """A figure over the rounds. Arithmetic is round by round, so that what a round had in common cancels out."""

    @property
    def middle(self) -> float:
        return median(self)

    def over(self, other: Series) -> Series:
        """The ratio, round by round; a figure too small to be counted makes none of itself."""
        return Series(mine / yours for mine, yours in zip(self, other, strict=True) if yours > 0)

    def less(self, other: Series) -> Series:
        """The difference, round by round."""
        return Series(mine - yours for mine, yours in zip(self, other, strict=True))

    def least(self, other: Series) -> Series:
        """The smaller of the two, round by round."""
        return Series(min(pair) for pair in zip(self, other, strict=True))

    def text(self, digits: int = 3) -> str:
        """The median, and the spread when there was more than one round."""
        if not self:
            return "-"
        shown = _text(self.middle, digits)
        return shown if len(self) == 1 else f"{shown} ({_text(min(self), digits)}–{_text(max(self), digits)})"


class Results:
    """Figures by scenario and case."""

    def __init__(self) -> None:
        self._series: defaultdict[tuple[str, str, str], Series] = defaultdict(Series)
        self.rounds = 0

    def add(self, scenario: str, case: str, figures: Figures) -> None:
        for name, value in figures.items():
            self._series[scenario, case, name].append(value)

    def get(self, scenario: str, case: str, figure: str) -> Series:
        """Empty for what was not measured."""
        return self._series.get((scenario, case, figure), Series())


def _text(value: float, digits: int) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if value else "0"
