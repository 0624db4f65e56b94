"""A small bar chart as SVG: what a token costs in each relay."""

from __future__ import annotations

from html import escape
from math import log10

from bench.relays import FASTAPI, NGINX, SORA, TUTORIAL
from bench.results import Results

_COLOURS = {SORA: "#3b6fd4", NGINX: "#8a8f98", TUTORIAL: "#c9a13b", FASTAPI: "#b5654a"}
_LEFT, _WIDTH, _BAR, _TOP = 120, 420, 18, 40
_LOW, _HIGH = 1.0, 1000.0  # µs per token, the axis' ends


def cost(results: Results) -> str:
    """CPU per token under both loads on a logarithmic axis; bars are medians, lines the spread."""
    parts, y = [], _TOP
    for scenario, title in (
        ("saturated", "saturated, 32 streams"),
        ("paced200", "200 streams × 20 tokens/s"),
    ):
        parts.append(f'<text x="{_LEFT}" y="{y - 8}" class="title">CPU µs per token: {title}</text>')
        for relay, colour in _COLOURS.items():
            series = results.get(scenario, relay, "cpu_us")
            if not series:
                continue
            end, middle = _x(series.middle), y + _BAR / 2
            parts.append(f'<text x="{_LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(relay)}</text>')
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{end - _LEFT:.1f}" height="{_BAR - 4}" fill="{colour}"/>'
            )
            parts.append(
                f'<path d="M{_x(min(series)):.1f} {middle - 2}H{_x(max(series)):.1f}" class="spread"/>'
            )
            parts.append(f'<text x="{_x(max(series)) + 6:.1f}" y="{middle + 3}">{series.middle:.3g}</text>')
            y += _BAR + 2
        y += 34
    width, height = _LEFT + _WIDTH + 60, y - 20
    style = (
        "text{font:12px sans-serif;fill:#444}.title{font-weight:bold}.spread{stroke:#111;stroke-width:1.5}"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}.spread{stroke:#eee}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<style>{style}</style>{''.join(parts)}</svg>\n"
    )


def _x(value: float) -> float:
    share = log10(min(max(value, _LOW), _HIGH) / _LOW) / log10(_HIGH / _LOW)
    return _LEFT + _WIDTH * share
