"""Two results of a patient compared by region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from QSMSeparationLib.anatomy.regions import Region
from QSMSeparationLib.data.quantities import IN_LESIONS, QUANTITIES


def compare_regions(first: Sequence[Region], second: Sequence[Region]) -> list[dict[str, Any]]:
    """Return one row for every region and map that both have: means, and second - first."""
    others = {one.label: one for one in second}
    rows = []
    for one in first:
        other = others.get(one.label)
        if other is None:
            continue
        for name in IN_LESIONS:
            if name not in one.values or name not in other.values:
                continue
            a, b = one.values[name].mean, other.values[name].mean
            rows.append(
                {
                    "label": one.label,
                    "region": one.name,
                    "map": name,
                    "unit": QUANTITIES[name].unit_on_screen,
                    "first": round(a, 4),
                    "second": round(b, 4),
                    "difference": round(b - a, 4),
                }
            )
    return rows


def region_agreement(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Return bias, limits of agreement (95 %) and correlation of region means, by map."""
    found: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(row["map"] for row in rows):
        pairs = np.array([(r["first"], r["second"]) for r in rows if r["map"] == name])
        if len(pairs) < 3:
            continue
        differences = pairs[:, 1] - pairs[:, 0]
        bias, spread = float(differences.mean()), float(differences.std(ddof=1))
        constant = pairs.std(axis=0).min() == 0
        found[name] = {
            "regions": len(pairs),
            "bias": bias,
            "limits_low": bias - 1.96 * spread,
            "limits_high": bias + 1.96 * spread,
            "correlation": None if constant else float(np.corrcoef(pairs.T)[0, 1]),
        }
    return found
