"""Strip charts of the cohort page: one point a scan, by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

_WIDTH, _ROW, _LEFT, _RIGHT, _TOP = 460, 34, 130, 14, 8
_LONGEST = 18
_MOST_GROUPS = 14


def strip_chart(groups: Mapping[str, Sequence[float]], unit: str) -> Markup:
    """Return a chart with a line a group, its points spread a little, and its median."""
    shown = {name: np.asarray(v, float) for name, v in list(groups.items())[:_MOST_GROUPS]}
    everything = np.concatenate(list(shown.values()))
    low, high = float(everything.min()), float(everything.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin
    height = _TOP + _ROW * len(shown) + 34

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    parts = [f'<svg class="strip" viewBox="0 0 {_WIDTH} {height}" role="img">']
    rng = np.random.default_rng(0)  # only spreads the points
    for n, (name, values) in enumerate(shown.items()):
        y = _TOP + _ROW * (n + 0.5)
        label = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
        spread = rng.uniform(-9, 9, len(values)) if len(values) > 3 else np.zeros(len(values))
        parts.append(_text(_LEFT - 8, y + 4, f"{label} ({len(values)})", "end"))
        parts.append(_line(_LEFT, _WIDTH - _RIGHT, y, y))
        parts += [
            f'<circle cx="{x(value):.1f}" cy="{y + shift:.1f}" r="3"/>'
            for value, shift in zip(values, spread, strict=True)
        ]
        middle = x(float(np.median(values)))
        parts.append(_line(middle, middle, y - 12, y + 12, "median"))
    foot = _TOP + _ROW * len(shown) + 18
    for value, anchor in ((low + margin, "start"), (high - margin, "end")):
        parts.append(_text(x(value), foot, f"{value:.4g} {unit}", anchor))
    return Markup("".join(parts) + "</svg>")


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(x1: float, x2: float, y1: float, y2: float, kind: str = "") -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'
