"""Still pictures of maps, drawn with matplotlib (an optional dependency)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.data.quantities import MAPS, Quantity
from QSMSeparationLib.data.volume import Geometry, Volume, reorient
from QSMSeparationLib.lesions.classes import CLASSES
from QSMSeparationLib.runtime.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("net", "chi_para", "chi_dia", "r2prime")
"""Maps of the comparison figure; R2* adds little beside R2'."""

_OUTLINE = CLASSES["iso"].color
_TEXT = "#e6e6e6"


def comparison_figure(
    maps: Mapping[str, Mapping[str, NDArray[np.float32]]],
    geometry: Geometry,
    mask: NDArray[np.bool_],
    lesions: NDArray[np.int16] | None = None,
    b0_tesla: float = 3.0,
) -> Figure:
    """Draw maps of several results below each other, one axial and one coronal slice each.

    Parameters
    ----------
    maps : mapping
        For every result its maps by name, as files hold them, all on ``geometry``.
    geometry : Geometry
        The grid.
    mask : ndarray
        Brain mask, bool.
    lesions : ndarray, optional
        Lesion labels, whose outlines are drawn on all maps.
    b0_tesla : float
        Field strength, which windows of relaxation rates grow with.
    """
    pyplot = _pyplot()
    display = _Display(geometry, mask, lesions)
    columns = [name for name in COLUMNS if any(name in m for m in maps.values())]
    rows = [(title, plane) for plane in ("axial", "coronal") for title in maps]
    heights = [display.aspect(plane) for _, plane in rows]
    width = 2.6 * len(columns)
    figure, axes = pyplot.subplots(
        len(rows),
        len(columns),
        figsize=(width + 0.5, 2.6 * sum(heights) + 0.5),
        gridspec_kw={"height_ratios": heights, "wspace": 0.03, "hspace": 0.03},
        facecolor="black",
        squeeze=False,
    )
    for line, (title, plane) in zip(axes, rows, strict=True):
        for place, name in zip(line, columns, strict=True):
            if (array := maps[title].get(name)) is not None:
                _draw(place, display, array, MAPS[name], plane, b0_tesla)
            else:
                _blank(place)
        line[0].set_ylabel(f"{title}\n{plane}", color=_TEXT, fontsize=9)
    for place, name in zip(axes[0], columns, strict=True):
        row, (low, high) = MAPS[name], MAPS[name].report_window(b0_tesla)
        title = f"{row.title} [{row.unit_on_screen}]  {low:g} … {high:g}"
        place.set_title(title, color=_TEXT, fontsize=9)
    return figure


def curve_figure(lines: Mapping[str, list[tuple[int, float]]], title: str) -> Figure:
    """Draw curves of (step, value) on a logarithmic scale, one a name."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for name, points in lines.items():
        if points:
            axes.semilogy(*zip(*points, strict=True), label=name)
    axes.set(title=title, xlabel="step", ylabel="L1 / 30 ppb")
    axes.legend()
    return figure


def save_figure(figure: Figure, path: Path, dpi: int = 130) -> None:
    """Write a figure as PNG and forget it."""
    figure.savefig(path, dpi=dpi, facecolor=figure.get_facecolor(), bbox_inches="tight")
    _pyplot().close(figure)


class _Display:
    """Reorients maps to (S, P, L) and chooses slices through lesions and deep grey matter."""

    def __init__(
        self, geometry: Geometry, mask: NDArray[np.bool_], lesions: NDArray[np.int16] | None
    ) -> None:
        self.geometry = geometry
        brain = self.upright(mask.astype(np.uint8)) > 0
        self.mask = brain
        self.spacing = reorient(Volume(mask, geometry)).geometry.spacing_kji
        inside = np.argwhere(brain)
        low, high = inside.min(axis=0), inside.max(axis=0)
        self.box = [slice(max(0, a - 3), b + 4) for a, b in zip(low, high, strict=True)]
        self.lesions = None if lesions is None else self.upright(lesions)
        self.slices = [self._choose(axis, low[axis], high[axis]) for axis in range(3)]

    def upright(self, array: NDArray) -> NDArray:
        """Store an array as (S, P, L), without interpolation."""
        return reorient(Volume(array, self.geometry)).array

    def plane(self, array: NDArray, plane: str) -> NDArray:
        """Cut a slice in radiological display: patient's left on the right, superior up."""
        k, j, i = self.box
        if plane == "axial":
            return array[self.slices[0], j, i]
        return array[k, self.slices[1], i][::-1]

    def aspect(self, plane: str) -> float:
        """Return the height over width of a slice."""
        k, j, i = ((s.stop - s.start) * h for s, h in zip(self.box, self.spacing, strict=True))
        return (j if plane == "axial" else k) / i

    def _choose(self, axis: int, low: int, high: int) -> int:
        """Return the slice with most lesion in the middle third of the brain, or its middle."""
        # Deep grey matter lies a little below the middle of the brain's height.
        center = low + (high - low) * (0.47 if axis == 0 else 0.5)
        if self.lesions is None:
            return round(center)
        reach = (high - low) / 12
        near = np.arange(max(low, round(center - reach)), min(high, round(center + reach)) + 1)
        area = (np.take(self.lesions, near, axis) > 0).sum(
            axis=tuple(a for a in range(3) if a != axis)
        )
        return int(near[np.argmax(area)]) if area.any() else round(center)


def _draw(
    place: Axes,
    display: _Display,
    array: NDArray[np.float32],
    row: Quantity,
    plane: str,
    b0_tesla: float,
) -> None:
    """Draw one map in one plane."""
    _blank(place)
    inside = display.plane(display.mask, plane)
    shown = display.plane(display.upright(array), plane) * row.scale
    values = np.ma.masked_where(~inside, shown)
    low, high = row.report_window(b0_tesla)
    down, across = (1, 2) if plane == "axial" else (0, 2)
    aspect = display.spacing[down] / display.spacing[across]
    place.imshow(values, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="nearest")
    if display.lesions is not None:
        lesions = display.plane(display.lesions, plane) > 0
        if lesions.any():
            # Through the voxels around the lesions: a line on the border would hide a rim.
            around = ndimage.binary_dilation(lesions)
            place.contour(around, levels=[0.5], colors=_OUTLINE, linewidths=0.6)
    for x, letter in ((0.03, "R"), (0.97, "L")):
        place.text(x, 0.5, letter, transform=place.transAxes, color=_TEXT, fontsize=7, ha="center")


def _blank(place: Axes) -> None:
    """Leave nothing but black."""
    place.set_xticks([])
    place.set_yticks([])
    place.set_facecolor("black")
    for spine in place.spines.values():
        spine.set_visible(False)


def _pyplot():
    try:
        import matplotlib
    except ImportError:
        raise InputError(
            "pictures need matplotlib; install it with: pip install 'qsm-separation[figures]'"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
