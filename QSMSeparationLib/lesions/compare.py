"""Two results of one patient side by side: per lesion, per voxel, and over two visits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from QSMSeparationLib.data.quantities import MAPS, SOURCES
from QSMSeparationLib.data.volume import Volume, resample
from QSMSeparationLib.io.tables import csv_text
from QSMSeparationLib.lesions.agreement import (
    BlandAltman,
    ClassAgreement,
    bland_altman,
    class_agreement,
    correlation,
    deming,
    deming_slope,
    smallest_detectable_change,
)
from QSMSeparationLib.lesions.classes import DIA_CLASSES, PARA_CLASSES
from QSMSeparationLib.lesions.results import LesionReport, LesionResult
from QSMSeparationLib.lesions.statistics import Interval
from QSMSeparationLib.runtime.errors import InputError

REPEATABILITY_PPB: Mapping[str, float] = {"chi_para": 5.0, "chi_dia": 5.0, "net": 5.0}
"""Change that repeated scans show anyway; used where it cannot be measured here."""


@dataclass(frozen=True)
class ValueAgreement:
    """Agreement of one number of all lesions, in ppb.

    Parameters
    ----------
    differences : BlandAltman
        Second - first.
    slope : Interval
        Deming slope, errors equal on both axes.
    intercept : float
        Its intercept.
    correlation : float
        Pearson's r.
    """

    differences: BlandAltman
    slope: Interval
    intercept: float
    correlation: float


@dataclass(frozen=True)
class VoxelAgreement:
    """Agreement of two maps within a mask; the unit is that of the maps."""

    n: int
    correlation: float
    concordance: float
    rmse: float
    bias: float
    slope: float


@dataclass(frozen=True)
class LesionPair:
    """One lesion in both results.

    Parameters
    ----------
    first, second : LesionResult
        The lesion in either result.
    overlap : float
        Dice of the two outlines; 1 for the same segmentation.
    difference_ppb : dict
        Second - first of the core mean, by map.
    changed : dict
        Whether that is beyond the smallest detectable change, by map (two visits only).
    """

    first: LesionResult
    second: LesionResult
    overlap: float
    difference_ppb: dict[str, float]
    changed: dict[str, bool]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two results compared.

    Parameters
    ----------
    pairs : tuple of LesionPair
        Lesions found in both.
    only_first, only_second : tuple of int
        Ids of lesions in one result only (for visits: gone, new).
    para, dia : ClassAgreement
        Agreement of the classes; lesions that are ``small`` in both are left out.
    values : dict
        Agreement of core means by map.
    contrasts : dict
        Agreement of the contrasts core - NAWM by map, in which offsets drop out.
    voxels : dict
        Agreement of voxels by map, where voxels were compared.
    detectable_ppb : dict
        Smallest detectable change by map (two visits).
    notes : tuple of str
        What the reader should know.
    """

    pairs: tuple[LesionPair, ...]
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]
    para: ClassAgreement
    dia: ClassAgreement
    values: dict[str, ValueAgreement]
    contrasts: dict[str, ValueAgreement]
    voxels: dict[str, VoxelAgreement]
    detectable_ppb: dict[str, float]
    notes: tuple[str, ...] = ()


_CLUSTERED = "lesions of one patient are not independent: the intervals are optimistic"


def compare_results(
    first: LesionReport,
    second: LesionReport,
    maps: Mapping[str, tuple[Volume, Volume]] | None = None,
    mask: Volume | None = None,
) -> Comparison:
    """Compare two results from the same scan and the same segmentation.

    Parameters
    ----------
    first, second : LesionReport
        For example with measured and with estimated R2', or ours and an imported one.
    maps : mapping of str to pair of Volume, optional
        Maps to compare voxel by voxel, within ``mask``.
    mask : Volume, optional
        Needed with ``maps``.
    """
    by_id = {one.id: one for one in second.lesions}
    pairs = tuple(
        _pair(one, by_id[one.id], _dice(one.id, one.id, first.labels, second.labels), {})
        for one in first.lesions
        if one.id in by_id
    )
    notes = [_CLUSTERED]
    if any(pair.overlap < 0.99 for pair in pairs):
        notes.append("the segmentations of the two results differ: part of any difference is that")
    voxels = {name: compare_voxels(a, b, _needed(mask)) for name, (a, b) in (maps or {}).items()}
    return _comparison(first, second, pairs, voxels, {}, tuple(notes))


def compare_visits(
    first: LesionReport, second: LesionReport, repeatability_ppb: Mapping[str, float] | None = None
) -> Comparison:
    """Compare two visits that were aligned to one another.

    Lesions are matched by overlap. Without measured repeatability the published one is
    used (5 ppb); the spread of the differences seen here serves only where it is larger,
    since it holds true change as well.

    Parameters
    ----------
    first, second : LesionReport
        The earlier and the later visit, registered to the same world.
    repeatability_ppb : mapping, optional
        Smallest detectable change by map, from a test-retest study.
    """
    matches = match_lesions(first.labels, second.labels)
    one, two = ({r.id: r for r in report.lesions} for report in (first, second))
    matched = [(a, b, dice) for a, b, dice in matches if a in one and b in two]
    detectable = {}
    for name in SOURCES:
        values = [(_core(one[a], name), _core(two[b], name)) for a, b, _ in matched]
        detectable[name] = _detectable(name, values, repeatability_ppb)
    pairs = tuple(_pair(one[a], two[b], dice, detectable) for a, b, dice in matched)
    notes = (_CLUSTERED, "the visits must be registered: lesions are matched by overlap")
    return _comparison(first, second, pairs, {}, detectable, notes)


def match_lesions(
    first: Volume, second: Volume, least_overlap: float = 0.1
) -> list[tuple[int, int, float]]:
    """Match the lesions of two label maps one to one, the best overlap first.

    Returns
    -------
    list of (int, int, float)
        Id in the first map, id in the second, Dice.
    """
    other = resample(second, first.geometry, order=0).array
    both = (first.array > 0) & (other > 0)
    size_a = np.bincount(first.array[first.array > 0].astype(np.int64))
    size_b = np.bincount(other[other > 0].astype(np.int64))
    pairs, shared = np.unique(
        np.stack((first.array[both], other[both]), axis=1), axis=0, return_counts=True
    )
    dice = [2 * n / (size_a[a] + size_b[b]) for (a, b), n in zip(pairs, shared, strict=True)]
    found, used_a, used_b = [], set(), set()
    for n in np.argsort(dice)[::-1]:
        a, b = (int(v) for v in pairs[n])
        if dice[n] >= least_overlap and a not in used_a and b not in used_b:
            found.append((a, b, float(dice[n])))
            used_a.add(a)
            used_b.add(b)
    return sorted(found)


def compare_voxels(first: Volume, second: Volume, mask: Volume) -> VoxelAgreement:
    """Compare two maps within a mask."""
    first.require_same_grid(second)
    first.require_same_grid(mask)
    inside = (mask.array > 0) & np.isfinite(first.array) & np.isfinite(second.array)
    x, y = first.array[inside].astype(np.float64), second.array[inside].astype(np.float64)
    if x.size < 3:
        raise InputError(f"{mask.source}: fewer than three voxels to compare")
    difference = y - x
    spread = x.var() + y.var() + (y.mean() - x.mean()) ** 2
    covariance = float(np.mean((x - x.mean()) * (y - y.mean())))
    return VoxelAgreement(
        n=int(x.size),
        correlation=correlation(x, y),
        concordance=2 * covariance / spread if spread > 0 else float("nan"),
        rmse=float(np.sqrt(np.mean(difference**2))),
        bias=float(difference.mean()),
        slope=deming(x, y)[0],
    )


def comparison_table(comparison: Comparison) -> str:
    """Return the pairs of lesions as CSV: classes, core means and differences."""
    columns = ["id_first", "id_second", "overlap_dice"]
    for kind in ("para", "dia"):
        columns += [f"class_{kind}_first", f"class_{kind}_second"]
    for name in SOURCES:
        short = MAPS[name].column
        columns += [f"{short}_core_{part}_ppb" for part in ("first", "second", "difference")]
        columns.append(f"{short}_changed")
    return csv_text(columns, (_pair_row(pair) for pair in comparison.pairs))


def _pair_row(pair: LesionPair) -> list[object]:
    row: list[object] = [pair.first.id, pair.second.id, round(pair.overlap, 4)]
    row += [pair.first.para.name, pair.second.para.name]
    row += [pair.first.dia.name, pair.second.dia.name]
    for name in SOURCES:
        row += [_core(pair.first, name), _core(pair.second, name), pair.difference_ppb[name]]
        row.append(pair.changed.get(name))
    return row


def comparison_summary(comparison: Comparison) -> dict[str, Any]:
    """Return the agreement as plain data, ready for JSON (NaN as None)."""
    return _plain(
        {
            "lesions_in_both": len(comparison.pairs),
            "only_first": list(comparison.only_first),
            "only_second": list(comparison.only_second),
            "class_para": comparison.para,
            "class_dia": comparison.dia,
            "core_mean_ppb": comparison.values,
            "core_minus_nawm_ppb": comparison.contrasts,
            "voxels": comparison.voxels,
            "smallest_detectable_change_ppb": comparison.detectable_ppb,
            "notes": list(comparison.notes),
        }
    )


def _comparison(
    first: LesionReport,
    second: LesionReport,
    pairs: tuple[LesionPair, ...],
    voxels: dict[str, VoxelAgreement],
    detectable: dict[str, float],
    notes: tuple[str, ...],
) -> Comparison:
    in_first = {pair.first.id for pair in pairs}
    in_second = {pair.second.id for pair in pairs}
    judged = [p for p in pairs if not p.first.para.name == p.second.para.name == "small"]
    if first.thresholds != second.thresholds:
        notes += ("the two results were classified with different thresholds",)
    return Comparison(
        pairs=pairs,
        only_first=tuple(one.id for one in first.lesions if one.id not in in_first),
        only_second=tuple(one.id for one in second.lesions if one.id not in in_second),
        para=class_agreement(
            [p.first.para.name for p in judged], [p.second.para.name for p in judged], PARA_CLASSES
        ),
        dia=class_agreement(
            [p.first.dia.name for p in judged], [p.second.dia.name for p in judged], DIA_CLASSES
        ),
        values={name: _value_agreement(pairs, lambda r, n=name: _core(r, n)) for name in SOURCES},
        contrasts={
            name: _value_agreement(pairs, lambda r, n=name: r.contrasts[n]["core-nawm"].value)
            for name in SOURCES
        },
        voxels=voxels,
        detectable_ppb=detectable,
        notes=notes,
    )


def _pair(
    first: LesionResult, second: LesionResult, overlap: float, detectable: Mapping[str, float]
) -> LesionPair:
    difference = {name: _core(second, name) - _core(first, name) for name in SOURCES}
    changed = {name: abs(difference[name]) > limit for name, limit in detectable.items()}
    return LesionPair(first, second, overlap, difference, changed)


def _core(lesion: LesionResult, name: str) -> float:
    return lesion.statistics[name]["core"].mean


def _value_agreement(
    pairs: Sequence[LesionPair], value: Callable[[LesionResult], float]
) -> ValueAgreement:
    x = np.array([value(pair.first) for pair in pairs], dtype=np.float64)
    y = np.array([value(pair.second) for pair in pairs], dtype=np.float64)
    slope, intercept = deming_slope(x, y)
    return ValueAgreement(bland_altman(x, y), slope, intercept, correlation(x, y))


def _detectable(
    name: str, values: list[tuple[float, float]], given: Mapping[str, float] | None
) -> float:
    if given is not None and name in given:
        return float(given[name])
    published = REPEATABILITY_PPB[name]
    if len(values) < 10:
        return published
    x, y = np.asarray(values).T
    return max(published, smallest_detectable_change(x, y))


def _dice(a: int, b: int, first: Volume, second: Volume) -> float:
    if first.geometry.difference(second.geometry):
        return float("nan")
    one, two = first.array == a, second.array == b
    return float(2 * (one & two).sum() / max(1, one.sum() + two.sum()))


def _needed(mask: Volume | None) -> Volume:
    if mask is None:
        raise InputError("comparing voxels needs a mask")
    return mask


def _plain(value: Any) -> Any:
    """Return the dataclasses and arrays as plain data; NaN as None."""
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
