"""Maps measured in regions: one row a label, left and right compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.anatomy.published import range_of
from QSMSeparationLib.data.quantities import IN_LESIONS, QUANTITIES
from QSMSeparationLib.data.structures import label_table
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.tables import csv_text
from QSMSeparationLib.runtime.errors import InputError

_LEAST_VOXELS = 10
"""A region with fewer voxels off its edge is measured whole."""
_NUMBERS = ("mean", "median", "sd", "p5", "p95")


@dataclass(frozen=True)
class Numbers:
    """Statistics of a map in a region, in the unit of screens (ppb, |chi-|; Hz)."""

    mean: float
    median: float
    sd: float
    p5: float
    p95: float


@dataclass(frozen=True)
class Region:
    """One labeled region.

    Parameters
    ----------
    label : int
        Its number.
    name : str
        With its side ("left putamen").
    volume_mm3 : float
        All of it.
    measured : int
        Voxels that were measured: those off the edge, or all of a small region.
    edge_left_out : bool
        Whether voxels at the edge were left out.
    values : dict of str to Numbers
        By map.
    difference : dict of str to float
        Mean of the left minus that of the right, by map; empty for what has no other side.
    z : dict of str to float
        Distance from the published mean in its SD, for ``chi_para`` and ``chi_dia``.
    """

    label: int
    name: str
    volume_mm3: float
    measured: int
    edge_left_out: bool
    values: dict[str, Numbers]
    difference: dict[str, float]
    z: dict[str, float]


def measure_regions(
    maps: Mapping[str, Volume],
    labels: Volume,
    names: Sequence[tuple[int, str]] | None = None,
    without: NDArray[np.bool_] | None = None,
) -> tuple[Region, ...]:
    """Measure maps in every region of a label map.

    Parameters
    ----------
    maps : mapping of str to Volume
        By the names of :mod:`QSMSeparationLib.data.quantities`, on the grid of the labels.
    labels : Volume
        Label numbers, 0 outside.
    names : sequence of (int, str), optional
        Names of labels; those of :func:`~QSMSeparationLib.data.structures.label_table` without.
    without : ndarray of bool, optional
        Voxels to leave out: lesions, what lies outside the mask.
    """
    shown = [name for name in IN_LESIONS if name in maps]
    if not shown:
        raise InputError("regions: no map to measure; give chi+, chi-, net chi, R2* or R2'")
    for name in shown:
        labels.require_same_grid(maps[name])
    called = dict(label_table() if names is None else names)
    boxes = ndimage.find_objects(labels.array)
    rows = []
    for number, box in enumerate(boxes, start=1):
        if box is None or (names is not None and number not in called):
            continue
        inside = labels.array[box] == number
        used, off_edge = _off_edge(inside, None if without is None else without[box])
        if not used.any():
            continue
        values = {name: _numbers(maps[name].array[box][used], name) for name in shown}
        name = called.get(number, f"label {number}")
        rows.append((number, name, inside, int(used.sum()), off_edge, values))
    by_name = {name: values for _, name, _, _, _, values in rows}
    return tuple(
        Region(
            number,
            name,
            float(inside.sum()) * labels.geometry.voxel_volume_mm3,
            measured,
            off_edge,
            values,
            _difference(name, by_name),
            _z_scores(name, values),
        )
        for number, name, inside, measured, off_edge, values in rows
    )


def region_table(regions: Sequence[Region]) -> str:
    """Return the text of ``regions.csv``: one row a region, susceptibility in ppb."""
    maps = [name for name in IN_LESIONS if regions and name in regions[0].values]
    columns = ["label", "region", "volume_mm3", "measured_voxels", "edge_left_out"]
    for name in maps:
        start, unit = _column(name), _unit(name)
        columns += [f"{start}_{number}_{unit}" for number in _NUMBERS]
        columns.append(f"{start}_left_minus_right_{unit}")
    columns += ["para_z", "dia_z"]
    return csv_text(columns, (_row(one, maps) for one in regions))


def _row(region: Region, maps: Sequence[str]) -> list[object]:
    row: list[object] = [region.label, region.name, region.volume_mm3, region.measured]
    row.append(int(region.edge_left_out))
    for name in maps:
        row += [getattr(region.values[name], number) for number in _NUMBERS]
        row.append(region.difference.get(name))
    return [*row, region.z.get("chi_para"), region.z.get("chi_dia")]


def _off_edge(
    inside: NDArray[np.bool_], without: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_], bool]:
    """Return the voxels of a region that have no neighbor of another, or all of a small one."""
    inner = ndimage.binary_erosion(np.pad(inside, 1))[1:-1, 1:-1, 1:-1]
    usable = np.ones_like(inside) if without is None else ~without
    if (inner & usable).sum() >= _LEAST_VOXELS:
        return inner & usable, True
    return inside & usable, False


def _numbers(values: NDArray[np.floating], name: str) -> Numbers:
    shown = values.astype(np.float64) * QUANTITIES[name].scale
    low, middle, high = np.percentile(shown, (5, 50, 95))
    spread = float(shown.std(ddof=1)) if shown.size > 1 else float("nan")
    return Numbers(float(shown.mean()), float(middle), spread, float(low), float(high))


def _difference(name: str, by_name: Mapping[str, dict[str, Numbers]]) -> dict[str, float]:
    """Return left minus right of the means of a region and its counterpart."""
    side, _, rest = name.partition(" ")
    if side.lower() not in ("left", "right"):
        return {}
    left = by_name.get(f"{'left' if side.islower() else 'Left'} {rest}")
    right = by_name.get(f"{'right' if side.islower() else 'Right'} {rest}")
    if left is None or right is None:
        return {}
    return {key: left[key].mean - right[key].mean for key in left}


def _z_scores(name: str, values: Mapping[str, Numbers]) -> dict[str, float]:
    """Return how far chi+ and |chi-| lie from the published mean, in its SD over people."""
    published = range_of(name)
    if published is None:
        return {}
    z = {}
    if "chi_para" in values:
        z["chi_para"] = (values["chi_para"].mean - published.para) / published.para_sd
    if "chi_dia" in values:
        z["chi_dia"] = (values["chi_dia"].mean - published.dia) / published.dia_sd
    return z


def _column(name: str) -> str:
    return QUANTITIES[name].column


def _unit(name: str) -> str:
    return QUANTITIES[name].unit_on_screen.lower()
