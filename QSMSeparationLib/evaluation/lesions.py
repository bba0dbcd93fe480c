"""Score the values and classes of lesions against their truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.evaluation.metrics import line_through
from QSMSeparationLib.lesions.agreement import class_agreement
from QSMSeparationLib.lesions.classes import DIA_CLASSES, PARA_CLASSES
from QSMSeparationLib.lesions.compartments import depth_mm
from QSMSeparationLib.report.write import analyze
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation.scanner import Truth

SMALLEST_MM = 3.0
"""Lesions below this diameter do not count."""

_MARGIN = 3


def score_lesions(
    result: Result, truth: Truth, table: Mapping[int, Mapping[str, str]], progress: Progress
) -> list[dict[str, Any]]:
    """Return measured and true values and classes of every lesion, in ppb, and which are decided.

    Parameters
    ----------
    result : Result
        Maps of a method.
    truth : Truth
        The same of the simulation.
    table : mapping of int to mapping
        Truth rows of the lesions by number (``class_para``, ``rim_mm``, ...).
    progress : Progress
        Receives the analysis.
    """
    segmentation = Volume(truth.lesions, truth.geometry, "lesions of the simulation")
    report = analyze(result, segmentation, progress)
    rows = []
    for lesion in report.lesions if report else ():
        known = table.get(lesion.id)
        if known is None or float(known["diameter_mm"]) < SMALLEST_MM:
            continue
        row: dict[str, Any] = {"id": lesion.id, "diameter_mm": float(known["diameter_mm"])}
        for source, found in (("para", lesion.para), ("dia", lesion.dia)):
            row[f"true_class_{source}"] = known[f"class_{source}"]
            row[f"class_{source}"] = found.name
            row[f"decided_{source}"] = found.decided
        rows.append(row | _means(result, truth, lesion.id, float(known["rim_mm"])))
    return rows


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return slopes, correlations, rim contrast and class agreement over lesions.

    Slopes are those of least squares, measured = a true + b, over lesions of all cases.
    """
    summary: dict[str, float] = {"lesions": len(rows)}
    for source, classes in (("para", PARA_CLASSES), ("dia", DIA_CLASSES)):
        summary |= _line(rows, source, f"lesion_{source}")
        agreed = class_agreement(
            [row[f"true_class_{source}"] for row in rows],
            [row[f"class_{source}"] for row in rows],
            classes,
        )
        summary[f"class_{source}_percent"] = 100 * agreed.share.value
        summary[f"class_{source}_kappa"] = agreed.kappa.value
    rims = [row for row in rows if not math.isnan(row["true_rim_contrast"])]
    summary |= {f"rim_{k}": v for k, v in _line(rims, "rim_contrast", "contrast").items()}
    return summary


def agreement_between(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Return how often two methods give the same lesions the same class."""
    seconds = {(row["case"], row["id"]): row for row in second}
    pairs = [
        (row, seconds[row["case"], row["id"]])
        for row in first
        if (row["case"], row["id"]) in seconds
    ]
    found: dict[str, float] = {"lesions": len(pairs)}
    for source, classes in (("para", PARA_CLASSES), ("dia", DIA_CLASSES)):
        one, two = ([pair[n][f"class_{source}"] for pair in pairs] for n in (0, 1))
        agreed = class_agreement(one, two, classes)
        found |= {
            f"{source}_percent": 100 * agreed.share.value,
            f"{source}_low_percent": 100 * agreed.share.low,
            f"{source}_high_percent": 100 * agreed.share.high,
            f"{source}_kappa": agreed.kappa.value,
            f"{source}_kappa_low": agreed.kappa.low,
            f"{source}_kappa_high": agreed.kappa.high,
        }
    return found


def _means(result: Result, truth: Truth, number: int, rim_mm: float) -> dict[str, float]:
    """Return the means of a lesion in both, and rim minus core of chi+ where it has a rim."""
    where = np.argwhere(truth.lesions == number)
    box = tuple(
        slice(max(0, low - _MARGIN), high + _MARGIN + 1)
        for low, high in zip(where.min(0), where.max(0), strict=True)
    )
    inside = (truth.lesions[box] == number) & result.mask[box]
    found: dict[str, float] = {}
    maps = {"": result.maps, "true_": truth.maps}
    for prefix, source in maps.items():
        for name in ("para", "dia"):
            values = 1000 * np.abs(source[f"chi_{name}"][box])
            found[prefix + name] = float(values[inside].mean()) if inside.any() else math.nan
    depth = depth_mm(truth.lesions[box] == number, truth.geometry.spacing_kji)
    rim = inside & (depth <= rim_mm)
    core = inside & (depth > rim_mm)
    has_rim = rim_mm > 0 and rim.any() and core.any()
    for prefix, source in maps.items():
        para = 1000 * source["chi_para"][box]
        contrast = float(para[rim].mean() - para[core].mean()) if has_rim else math.nan
        found[f"{prefix}rim_contrast"] = contrast
    return found


def _line(rows: Sequence[Mapping[str, Any]], name: str, label: str) -> dict[str, float]:
    """Return the slope and correlation of measured on true values."""
    pairs = np.array([(row[f"true_{name}"], row[name]) for row in rows], dtype=float).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    if len(pairs) < 3:
        return {f"{label}_slope": math.nan, f"{label}_r": math.nan}
    slope, r = line_through(*pairs.T)
    return {f"{label}_slope": slope, f"{label}_r": r}
