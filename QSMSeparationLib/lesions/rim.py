"""The paramagnetic rim sign: how much of a lesion's edge is brighter in chi+ than its core.

The edge is divided into sectors, in three dimensions and on every slice. A sector is
positive when its chi+ stands above both the core and normal-appearing white matter. A
sector whose surroundings are as bright (cortex, a deep nucleus) cannot be judged; it
counts neither way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.lesions.compartments import Compartments

SLICE_SECTORS = 12
"""Sectors on a slice, 30 degrees each."""

MOST_SECTORS_3D = 26
LEAST_JUDGED = 0.3
"""Share of the sectors that must be free of bright surroundings to speak of coverage."""

_VOXELS_A_SECTOR = 6


@dataclass(frozen=True)
class RimCoverage:
    """How far a rim runs around a lesion.

    Parameters
    ----------
    coverage : float
        Share of the sectors in three dimensions that are positive (of those that can be
        judged); NaN when fewer than three in ten can be judged.
    judged : float
        Share of the sectors that can be judged.
    longest_arc_deg : float
        Longest run of positive sectors on one slice.
    slices : int
        Longest run of consecutive slices with an arc of ``arc_deg`` or more; where part of
        the edge cannot be judged, that share of ``arc_deg`` does.
    core_slices : int
        Slices that show the core, on which a rim can be seen at all.
    contrast_ppb : float
        Median over the judged sectors of rim minus the brighter of core and white matter.
    sectors : str
        The sectors of the slice with the longest arc, by angle: ``+`` positive, ``-`` negative,
        ``.`` not judged; empty where no slice could be judged. A sector's angle in the plane of
        the slice is that of :func:`sector_angles`.
    sectors_at : tuple of float
        Index (k, j, i) of the middle of the lesion on that slice, in the array given.
    """

    coverage: float
    judged: float
    longest_arc_deg: float
    slices: int
    core_slices: int
    contrast_ppb: float
    sectors: str = ""
    sectors_at: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class RimReference:
    """What a rim is compared with, in ppb."""

    core_ppb: float
    white_ppb: float
    step_ppb: float

    @property
    def base_ppb(self) -> float:
        """The brighter of core and white matter."""
        return float(np.nanmax((self.core_ppb, self.white_ppb)))


def slice_axis(b0_kji: tuple[float, ...]) -> int:
    """Return the array axis nearest to B0: slices across it are the ones read for rims."""
    return int(np.argmax(np.abs(b0_kji)))


def rim_coverage(
    para_ppb: NDArray[np.floating],
    parts: Compartments,
    usable: NDArray[np.bool_],
    spacing_kji: tuple[float, ...],
    axis: int,
    reference: RimReference,
    arc_deg: float,
) -> RimCoverage:
    """Measure the rim of one lesion.

    Parameters
    ----------
    para_ppb : ndarray
        chi+ in ppb, in the box of the lesion.
    parts : Compartments
        Its compartments.
    usable : ndarray of bool
        Voxels that are no vein and lie within the mask.
    spacing_kji : tuple of float
        Voxel size in mm.
    axis : int
        Array axis across which slices are counted.
    reference : RimReference
        Values of core and white matter, and the step that counts.
    arc_deg : float
        Arc that a slice needs to be counted.
    """
    edge = np.argwhere(parts.rim & usable)
    around = np.argwhere(parts.beyond)
    nan = float("nan")
    if len(edge) < 8:
        return RimCoverage(nan, 0.0, 0.0, 0, 0, nan)
    center = np.argwhere(parts.lesion).mean(axis=0)
    scale = np.asarray(spacing_kji)
    n_sectors = int(np.clip(len(edge) // _VOXELS_A_SECTOR, 8, MOST_SECTORS_3D))
    directions = _sphere(n_sectors)
    deep = _second_layer(parts, edge)
    positive, judged, height = _judge(
        _values(para_ppb, edge), _nearest(edge, center, scale, directions), deep,
        _values(para_ppb, around), _nearest(around, center, scale, directions),
        n_sectors, reference,
    )  # fmt: skip
    slices, core_slices = _slice_arcs(para_ppb, parts, usable, scale, axis, reference)
    best = max(slices, key=lambda one: (one.arc_deg, -abs(one.number - center[axis])), default=None)
    enough = judged.mean() >= LEAST_JUDGED
    return RimCoverage(
        coverage=float(positive.sum() / judged.sum()) if enough else nan,
        judged=float(judged.mean()),
        longest_arc_deg=0.0 if best is None else best.arc_deg,
        slices=_longest_run([s.number for s in slices if s.arc_deg >= arc_deg * s.judged.mean()]),
        core_slices=core_slices,
        contrast_ppb=float(np.median(height[judged])) if judged.any() else nan,
        sectors="" if best is None else best.signs(),
        sectors_at=None if best is None else best.middle,
    )


@dataclass(frozen=True, eq=False)
class _SliceArc:
    """The sectors of one slice that shows the core."""

    number: int
    middle: tuple[float, float, float]
    positive: NDArray[np.bool_]
    judged: NDArray[np.bool_]

    @property
    def arc_deg(self) -> float:
        """Longest run of positive sectors."""
        return _longest_arc(self.positive, self.judged) * 360.0 / SLICE_SECTORS

    def signs(self) -> str:
        """Return a sign a sector."""
        pairs = zip(self.positive, self.judged, strict=True)
        return "".join("." if not known else "+" if high else "-" for high, known in pairs)


def sector_angles() -> NDArray[np.float64]:
    """Return the angles of the middle of the sectors on a slice, in rad.

    The angle of an offset (a, b) in mm along the two axes of the array that span the slice, in
    their order, is atan2(a, b).
    """
    return ((np.arange(SLICE_SECTORS) + 0.5) / SLICE_SECTORS - 0.5) * 2 * np.pi


def _slice_arcs(
    para_ppb: NDArray[np.floating],
    parts: Compartments,
    usable: NDArray[np.bool_],
    scale: NDArray[np.float64],
    axis: int,
    reference: RimReference,
) -> tuple[list[_SliceArc], int]:
    """Return the slices that show the core and can be judged, and how many show it."""
    found = []
    across = tuple(a for a in range(3) if a != axis)
    core_slices = np.flatnonzero(parts.core.any(axis=across))
    plane = [a for a in range(3) if a != axis]
    for number in core_slices:
        here = np.zeros_like(parts.lesion)
        window = [slice(None)] * 3
        window[axis] = slice(number, number + 1)
        here[tuple(window)] = True
        edge = np.argwhere(parts.rim & usable & here)
        if len(edge) < SLICE_SECTORS // 2:
            continue
        around = np.argwhere(parts.beyond & here)
        center = np.argwhere(parts.lesion & here).mean(axis=0)
        positive, judged, _ = _judge(
            _values(para_ppb, edge), _angle_sector(edge, center, scale, plane),
            _second_layer(parts, edge),
            _values(para_ppb, around), _angle_sector(around, center, scale, plane),
            SLICE_SECTORS, reference,
        )  # fmt: skip
        if judged.mean() >= LEAST_JUDGED:
            k, j, i = (float(v) for v in center)
            found.append(_SliceArc(int(number), (k, j, i), positive, judged))
    return found, len(core_slices)


def _judge(
    edge: NDArray[np.float64],
    edge_sector: NDArray[np.intp],
    deep: NDArray[np.bool_],
    around: NDArray[np.float64],
    around_sector: NDArray[np.intp],
    n_sectors: int,
    reference: RimReference,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """Say of every sector whether it is positive, whether it can be judged, and its height.

    The rim of a sector is the brighter of the outer and the inner layer of the edge, so
    that an outline drawn a voxel too wide does not hide it.
    """
    layers = [_mean(edge[which], edge_sector[which], n_sectors) for which in (~deep, deep)]
    value = np.fmax(*layers)
    outside = np.nan_to_num(_mean(around, around_sector, n_sectors), nan=-np.inf)
    height = value - reference.base_ppb
    bright_outside = outside > reference.white_ppb + reference.step_ppb
    distinct = value > outside + reference.step_ppb
    seen = np.isfinite(value)
    judged = seen & (~bright_outside | distinct)
    above = np.nan_to_num(height, nan=-np.inf) > reference.step_ppb
    return judged & above, judged, height


def _mean(
    values: NDArray[np.float64], sector: NDArray[np.intp], n_sectors: int
) -> NDArray[np.float64]:
    count = np.bincount(sector, minlength=n_sectors)
    total = np.bincount(sector, weights=values, minlength=n_sectors)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _values(array: NDArray[np.floating], index: NDArray[np.intp]) -> NDArray[np.float64]:
    return array[tuple(index.T)].astype(np.float64)


def _second_layer(parts: Compartments, edge: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which voxels of the edge lie in its inner half."""
    depth = _values(parts.depth_mm, edge)
    return depth > 0.5 * (depth.min() + depth.max())


def _sphere(count: int) -> NDArray[np.float64]:
    """Return ``count`` directions spread evenly over the sphere (Fibonacci lattice)."""
    n = np.arange(count) + 0.5
    z = 1 - 2 * n / count
    angle = np.pi * (1 + np.sqrt(5)) * n
    radius = np.sqrt(1 - z * z)
    return np.stack((z, radius * np.sin(angle), radius * np.cos(angle)), axis=1)


def _nearest(
    index: NDArray[np.intp],
    center: NDArray[np.float64],
    scale: NDArray[np.float64],
    directions: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Return the sector in three dimensions of every voxel."""
    return np.argmax(((index - center) * scale) @ directions.T, axis=1)


def _angle_sector(
    index: NDArray[np.intp],
    center: NDArray[np.float64],
    scale: NDArray[np.float64],
    plane: list[int],
) -> NDArray[np.intp]:
    """Return the sector on a slice of every voxel."""
    offset = ((index - center) * scale)[:, plane]
    turn = np.arctan2(offset[:, 0], offset[:, 1]) / (2 * np.pi) + 0.5
    return (turn * SLICE_SECTORS).astype(np.intp) % SLICE_SECTORS


def _longest_arc(positive: NDArray[np.bool_], judged: NDArray[np.bool_]) -> int:
    """Return the longest circular run of positive sectors.

    Sectors not judged neither add nor break; nor does a single negative sector between
    two positive ones, which is 30 degrees and a few noisy voxels.
    """
    ring = positive[judged]
    lone_gap = ~ring & np.roll(ring, 1) & np.roll(ring, -1)
    run = np.where(lone_gap, 0, np.where(ring, 1, -1)).tolist()
    if -1 not in run:
        return int(ring.sum())
    longest = current = 0
    for one in run + run:
        current = 0 if one < 0 else current + one
        longest = max(longest, current)
    return longest


def _longest_run(numbers: list[int]) -> int:
    """Return the length of the longest run of consecutive numbers."""
    longest = current = 0
    last = None
    for number in sorted(numbers):
        current = current + 1 if last is not None and number == last + 1 else 1
        longest, last = max(longest, current), number
    return longest
