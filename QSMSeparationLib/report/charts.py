"""Charts of the report as SVG text: they show without scripts and print sharply.

Every class has its own shape beside its color.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from QSMSeparationLib.data.quantities import Quantity
from QSMSeparationLib.lesions.classes import CLASSES, class_words
from QSMSeparationLib.lesions.results import LesionReport, LesionResult

_WIDTH, _HEIGHT = 380, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 14, 46


class _Axes:
    """Maps values to points of one chart."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the point of a value."""
        width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        u = (x - self.x[0]) / (self.x[1] - self.x[0])
        v = (y - self.y[0]) / (self.y[1] - self.y[0])
        return _LEFT + u * width, _TOP + (1 - v) * height


def scatter(report: LesionReport) -> Markup:
    """Return core chi+ against core |chi-| of every lesion, with NAWM and its limits."""
    points = [
        (one, one.statistics["chi_para"]["core"].mean, one.statistics["chi_dia"]["core"].mean)
        for one in report.lesions
    ]
    nawm, thresholds = report.nawm, report.thresholds
    axes = _Axes(
        (0.0, _ceiling([p for _, p, _ in points] + [nawm.para_ppb * 2])),
        (0.0, _ceiling([d for _, _, d in points] + [nawm.dia_ppb * 1.5])),
    )
    body = [
        _band(axes, nawm.para_ppb, nawm.para_limit_ppb(thresholds), vertical=True),
        _band(axes, nawm.dia_ppb, nawm.dia_limit_ppb(thresholds), vertical=False),
        _frame(axes, "χ+ of the core [ppb]", "|χ−| of the core [ppb]"),
    ]
    for one, para, dia in points:
        if np.isfinite(para) and np.isfinite(dia):
            body.append(_point(one, *axes.at(para, dia)))
    label = (
        f"Scatter of {len(points)} lesions: chi plus against chi minus of the core; grey bands "
        "are normal-appearing white matter of this patient"
    )
    return _svg(label, body)


def swatch(name: str) -> Markup:
    """Return the shape of a class in its color."""
    return Markup(
        f'<svg class="swatch" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">'
        f"{_marker(name, 8, 8)}</svg>"
    )


def histogram(values: NDArray[np.floating], row: Quantity, title: str, b0_tesla: float) -> Markup:
    """Return the histogram of a map within the brain, its values as they are shown."""
    span, unit = row.span_at(b0_tesla), row.unit_on_screen
    counts, edges = np.histogram(values, bins=80, range=span)
    share = 100 * counts / max(1, values.size)
    axes = _Axes(span, (0.0, _ceiling(share.tolist())))
    x0, y0 = axes.at(span[0], 0.0)
    path = [f"M{x0:.1f},{y0:.1f}"]
    for n, height in enumerate(share):
        for edge in (edges[n], edges[n + 1]):
            x, y = axes.at(float(edge), float(height))
            path.append(f"L{x:.1f},{y:.1f}")
    x1, y1 = axes.at(span[1], 0.0)
    median = float(np.median(values)) if values.size else 0.0
    top, low = axes.at(median, axes.y[1]), axes.at(median, 0.0)
    body = [
        f'<path class="area" d="{"".join(path)}L{x1:.1f},{y1:.1f}Z"/>',
        f'<line class="mark" x1="{top[0]:.1f}" y1="{top[1]:.1f}" x2="{low[0]:.1f}" y2="{low[1]:.1f}"/>',
        _frame(axes, f"{title} [{unit}]", "share of brain voxels [%]"),
    ]
    return _svg(f"Histogram of {title}, median {median:.1f} {unit}", body)


def _point(lesion: LesionResult, x: float, y: float) -> str:
    para, dia = class_words(lesion.para.name, "para"), class_words(lesion.dia.name, "dia")
    words = f"lesion {lesion.id}: {para}, {dia}"
    return (
        f'<g class="point" data-lesion="{lesion.id}" tabindex="0" role="button" '
        f'aria-label="{escape(words)}"><title>{escape(words)}</title>'
        f"{_marker(lesion.para.name, x, y)}</g>"
    )


def _marker(name: str, x: float, y: float) -> str:
    color = CLASSES[name].color
    if name == "rim":
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="none" stroke="{color}" '
            f'stroke-width="2.4"/><circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="{color}"/>'
        )
    if name in ("hyper", "hypo"):
        up = 1 if name == "hyper" else -1
        points = f"{x:.1f},{y - 6 * up:.1f} {x + 5.5:.1f},{y + 4 * up:.1f} {x - 5.5:.1f},{y + 4 * up:.1f}"
        return f'<polygon class="edge" points="{points}" fill="{color}"/>'
    radius, fill = (4.5, color) if name == "iso" else (3.0, "none")
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" '
        f'stroke="{color}" stroke-width="1.2"/>'
    )


def _band(axes: _Axes, value: float, limit: float, vertical: bool) -> str:
    if vertical:
        x0, y0 = axes.at(max(axes.x[0], value - limit), axes.y[1])
        x1, y1 = axes.at(min(axes.x[1], value + limit), axes.y[0])
    else:
        x0, y0 = axes.at(axes.x[0], min(axes.y[1], value + limit))
        x1, y1 = axes.at(axes.x[1], max(axes.y[0], value - limit))
    return (
        f'<rect class="band" x="{x0:.1f}" y="{y0:.1f}" width="{max(0.0, x1 - x0):.1f}" '
        f'height="{max(0.0, y1 - y0):.1f}"/>'
    )


def _frame(axes: _Axes, x_title: str, y_title: str) -> str:
    left, top = axes.at(axes.x[0], axes.y[1])
    right, bottom = axes.at(axes.x[1], axes.y[0])
    parts = [
        f'<path class="axis" d="M{left:.1f},{top:.1f}V{bottom:.1f}H{right:.1f}"/>',
        f'<text x="{(left + right) / 2:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_title)}</text>',
        f'<text transform="translate(14 {(top + bottom) / 2:.1f}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_title)}</text>',
    ]
    for value in _ticks(axes.x):
        x, _ = axes.at(value, axes.y[0])
        parts.append(f'<path class="axis" d="M{x:.1f},{bottom:.1f}v4"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 17:.1f}" text-anchor="middle">{value:g}</text>'
        )
    for value in _ticks(axes.y):
        _, y = axes.at(axes.x[0], value)
        parts.append(f'<path class="axis" d="M{left:.1f},{y:.1f}h-4"/>')
        parts.append(f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    return "".join(parts)


def _ticks(span: tuple[float, float]) -> list[float]:
    raw = (span[1] - span[0]) / 5
    step = 10 ** np.floor(np.log10(raw))
    step *= next(m for m in (1, 2, 5, 10) if m * step >= raw)
    first = np.ceil(span[0] / step - 1e-9)
    return [float(round(n * step, 10)) + 0.0 for n in np.arange(first, span[1] / step + 1e-9)]


def _ceiling(values: Sequence[float]) -> float:
    top = max([v for v in values if np.isfinite(v)], default=0.0)
    return max(1e-3, 1.08 * top)


def _svg(label: str, body: Sequence[str]) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="group" '
        f'aria-label="{escape(label)}">{"".join(body)}</svg>'
    )
