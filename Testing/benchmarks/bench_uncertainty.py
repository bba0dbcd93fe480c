"""How honest SDs are: shares of voxels and lesions within 68 % and 95 % intervals, and decided classes.

Run: python Testing/benchmarks/bench_uncertainty.py CASES [--methods r2star-joint closed-form]
     [--weights FILE.pt] [--wrong-r2] [--fit] [--out rows.json]

CASES: simulated cases ('qsmsep simulate'), each run through the whole chain. ``--wrong-r2`` lowers
R2 of every lesion by another half of what it lost. ``--fit`` prints the Calibration that would have
been right on these cases, for the row of the catalogue: use it on heads for settings alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.evaluation.cases import Case, find_cases
from QSMSeparationLib.evaluation.evaluate import scanned_as
from QSMSeparationLib.lesions.agreement import class_agreement
from QSMSeparationLib.lesions.classes import DIA_CLASSES, PARA_CLASSES
from QSMSeparationLib.pipeline import maps as pipeline
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.reconstruct import reconstruct
from QSMSeparationLib.report.write import analyze
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation.scanner import Truth

SMALLEST_MM = 3.0
LOST_MORE = 0.5
_SIGN = {"para": 1, "dia": -1}
_MAPS = ("chi_para", "chi_dia", "r2prime")
_CLASSES = {"para": PARA_CLASSES, "dia": DIA_CLASSES}


def inputs(case: Case, truth: Truth, wrong_r2: bool) -> tuple[dict[str, Volume], Volume]:
    """Return what a separation gets after the chain, and the mask."""
    scan = reconstruct(case.scan(), Options(method="r2star-qsm"), Progress())
    maps = {"local_field": scan.intermediate["local_field_in_mask"]}
    maps |= {name: scan.maps[name] for name in ("net", "r2star", "r2prime") if name in scan.maps}
    maps["s0"] = scan.intermediate["s0"]
    if wrong_r2:
        white = (truth.labels == 2) | (truth.labels == 41)
        usual = np.median(truth.maps["r2"][white & (truth.lesions == 0)])
        lost = np.where(truth.lesions > 0, usual - truth.maps["r2"], 0).clip(min=0)
        maps["r2star"] = (maps["r2star"] - LOST_MORE * lost).clip(min=0) * scan.mask
    volumes = {
        name: Volume(array.astype(np.float32), scan.geometry, name) for name, array in maps.items()
    }
    return volumes, Volume(scan.mask.astype(np.uint8), scan.geometry, "mask")


def voxel_ratios(result: Result, truth: Truth, name: str) -> np.ndarray:
    """Return |error| / SD of a map in every voxel of the brain."""
    inside = result.mask & truth.mask
    error = result.maps[name][inside] - truth.maps[name][inside]
    return np.abs(error) / result.maps[f"{name}_sd"][inside].clip(min=1e-6)


def factor_of(ratios: list[np.ndarray]) -> float:
    """Return what SDs are to be multiplied with: between what holds 68 and 95 %."""
    both = np.concatenate(ratios)
    return float(np.sqrt(np.quantile(both, 0.683) * np.quantile(both, 0.954) / 2))


def lesion_rows(result: Result, truth: Truth, table: Any) -> Iterator[dict[str, Any]]:
    """Yield every lesion: error and SD of its mean, and of its difference from white matter."""
    labels = Volume(truth.lesions, truth.geometry, "lesions")
    mask = result.mask & truth.mask
    true = Result(truth.geometry, mask, dict(truth.maps), facts=result.facts)
    found, wanted = (analyze(one, labels, Progress()) for one in (result, true))
    assert found is not None
    assert wanted is not None
    right = {one.id: one for one in wanted.lesions}
    law = catalogue.find(result.facts["Separation"], "separation").calibration
    for one in found.lesions:
        known = table.get(one.id)
        if known is None or float(known["diameter_mm"]) < SMALLEST_MM or one.id not in right:
            continue
        inside = (truth.lesions == one.id) & mask
        row: dict[str, Any] = {"n": int(inside.sum())}
        for source in _SIGN:
            name = f"chi_{source}"
            error = float((result.maps[name] - truth.maps[name])[inside].mean())
            sd = float(result.maps[f"{name}_sd"][inside].mean())
            interval = one.contrasts[name]["core-nawm"]
            off = interval.value - right[one.id].contrasts[name]["core-nawm"].value
            own = getattr(one, source)
            row |= {
                f"mean_{source}": abs(error) / sd,
                f"share_{source}": law.share_of_mean(inside.sum()),
                f"contrast_{source}": abs(off) / max((interval.high - interval.low) / 3.92, 1e-6),
                f"decided_{source}": own.decided,
                f"class_{source}": own.name,
                f"true_class_{source}": known[f"class_{source}"],
            }
        yield row


def within(ratios: Any, times: float) -> float:
    """Return the share of ratios below so many SD, in percent; NaN ones do not count."""
    values = np.asarray(ratios, dtype=float)
    values = values[np.isfinite(values)]
    return float(100 * (values < times).mean()) if values.size else float("nan")


def summary(
    voxels: dict[str, list[np.ndarray]], rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return a row a source: coverage, and classes of the lesions that are decided."""
    found = []
    for source, sign in (("para", "chi+"), ("dia", "chi-")):
        ratios = np.concatenate(voxels[f"chi_{source}"])
        means = [row[f"mean_{source}"] / row[f"share_{source}"] for row in rows]
        contrasts = [row[f"contrast_{source}"] for row in rows]
        told = [row for row in rows if row[f"decided_{source}"] is not None]
        sure = [row for row in told if row[f"decided_{source}"]]

        def kappa(some: list[dict[str, Any]], source: str = source) -> float:
            columns = ([r[f"{kind}class_{source}"] for r in some] for kind in ("true_", ""))
            return class_agreement(*columns, _CLASSES[source]).kappa.value

        found.append({
            "source": sign,
            "voxels_68": within(ratios, 1), "voxels_95": within(ratios, 1.96),
            "means_68": within(means, 1), "means_95": within(means, 1.96),
            "contrasts_68": within(contrasts, 1), "contrasts_95": within(contrasts, 1.96),
            "lesions": len(told), "undecided": 100 * (1 - len(sure) / max(len(told), 1)),
            "kappa": kappa(told), "kappa_decided": kappa(sure),
        })  # fmt: skip
    return found


def fitted(
    voxels: dict[str, list[np.ndarray]], rows: list[dict[str, Any]], method: str
) -> dict[str, float]:
    """Return the Calibration that is right on these cases, given the one in the catalogue."""
    now = catalogue.find(method, "separation").calibration
    factors = {source: factor_of(voxels[f"chi_{source}"]) for source in _SIGN}
    rate = {}
    if voxels["r2prime"]:
        rate["r2prime"] = round(now.r2prime * factor_of(voxels["r2prime"]), 2)
    n = np.array([row["n"] for row in rows for _ in _SIGN], dtype=float)
    ratio = np.array([row[f"mean_{s}"] / factors[s] for row in rows for s in _SIGN])
    best = (np.inf, 1.0, 0.0)
    for floor in np.arange(0.2, 1.01, 0.05):
        for power in np.arange(0, 0.5, 0.02):
            shares = np.maximum(floor, n**-power)
            z = np.minimum(ratio / shares, 3)  # a few lesions that are quite wrong do not rule
            best = min(best, (float((np.log(shares) + 0.5 * z**2).mean()), floor, power))
    share = np.median(np.maximum(best[1], n ** -best[2])) * np.mean(list(factors.values()))
    off = np.array([row[f"contrast_{s}"] for row in rows for s in _SIGN])
    off = off[np.isfinite(off)]
    scale = np.sqrt(np.quantile(off, 0.683) * np.quantile(off, 0.954) / 2)
    before = np.median([now.share_of_mean(count) for count in n])
    return {
        "contrast": round(float(now.contrast * scale * before / share), 2),
        "para": round(now.para * factors["para"], 2), "dia": round(now.dia * factors["dia"], 2),
        "floor": round(float(best[1]), 2), "power": round(float(best[2]), 2),
    } | rate  # fmt: skip


def measured(
    cases: list[Case], methods: list[str], wrong_r2: bool, fit: bool, weights: Path | None
) -> list[dict[str, Any]]:
    """Run every method on every case; return the rows of the table."""
    voxels: dict[str, dict[str, list[np.ndarray]]] = {m: {n: [] for n in _MAPS} for m in methods}
    rows: dict[str, list[dict[str, Any]]] = {m: [] for m in methods}
    for case in cases:
        truth = case.truth()
        given, mask = inputs(case, truth, wrong_r2)
        for method in methods:
            row = catalogue.find(method, "separation")
            own = {name: given[name] for name in {*row.needs, *row.uses, "local_field"}}
            options = Options(method=method, weights=weights if row.networks else None)
            result = pipeline.separate(own, mask, scanned_as(truth.protocol, options))
            for name in _MAPS:
                if f"{name}_sd" in result.maps and name in truth.maps:
                    voxels[method][name].append(voxel_ratios(result, truth, name))
            rows[method] += lesion_rows(result, truth, case.lesion_truth())
        print(f"{case.name} done", flush=True)
    for method in methods if fit else ():
        print(method, fitted(voxels[method], rows[method], method))
    return [{"method": m} | row for m in methods for row in summary(voxels[m], rows[m])]


def main() -> None:
    """Measure, print, and write rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--methods", nargs="+", default=["r2star-joint", "closed-form"])
    parser.add_argument("--wrong-r2", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--weights", type=Path, help="of a network, where others than the shipped")
    parser.add_argument("--label", default="", help="what these cases are, in the rows")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cases = [case for folder in given.cases for case in find_cases(folder)]
    rows = measured(cases, given.methods, given.wrong_r2, given.fit, given.weights)
    rows = [{"heads": given.label} | row for row in rows] if given.label else rows
    for row in rows:
        print("  ".join(f"{k} {v:.2f}" if isinstance(v, float) else str(v) for k, v in row.items()))
    if given.out:
        given.out.write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
