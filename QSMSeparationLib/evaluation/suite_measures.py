"""What the suite measures on a case: separations and inversions from its raw scan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.evaluation.cases import Case
from QSMSeparationLib.evaluation.evaluate import Plan, prepared_inputs, score
from QSMSeparationLib.evaluation.lesions import SMALLEST_MM, score_lesions
from QSMSeparationLib.evaluation.metrics import demeaned_nrmse, hfen, xsim
from QSMSeparationLib.pipeline import maps as pipeline
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation.scanner import Truth

Measured = dict[str, dict[str, dict[str, Any]]]


def measure(
    case: Case,
    truth: Truth,
    separations: Sequence[str],
    inversions: Sequence[str],
    options: Options,
    progress: Progress,
) -> Measured:
    """Run the chain once, and every method on its maps.

    Returns
    -------
    dict
        ``separations`` and ``inversions``: by method ``scores``, and ``lesions``, a row each.
    """
    plan = Plan(tuple(separations), tuple(inversions), "pipeline")
    inversion = catalogue.find(options.inversion, "inversion")
    before = options.restricted_to(inversion)
    given, mask, prepared = prepared_inputs(case, truth, plan, before, 0, progress)
    table = case.lesion_truth()
    found: Measured = {"separations": {}, "inversions": {}}
    for name in separations:
        own = options.restricted_to(catalogue.find(name, "separation"))
        result = pipeline.separate(given, mask, replace(own, method=name), progress.part())
        found["separations"][name] = {
            "scores": _plain(score(result, truth) | prepared),
            "lesions": [_plain(r) for r in score_lesions(result, truth, table, progress.part())],
        }
    for name in inversions:
        own = options.restricted_to(catalogue.find(name, "inversion"))
        result = pipeline.invert(
            given["local_field"],
            mask,
            replace(own, inversion=name),
            progress.part(),
            given["r2star"],
        )
        found["inversions"][name] = {
            "scores": _plain(_net_scores(result, truth)),
            "lesions": [_plain(row) for row in _net_of_lesions(result, truth, table)],
        }
    return found


def _net_scores(result: Result, truth: Truth) -> dict[str, float]:
    """Return the measures of net chi, each without its mean."""
    mask = result.mask & truth.mask
    maps = (result.maps["net"], truth.maps["net"], mask)
    return {
        "net_demeaned_nrmse_percent": demeaned_nrmse(*maps),
        "net_xsim": xsim(*maps),
        "net_hfen_percent": hfen(*maps),
        "seconds": sum(result.facts.get("SecondsPerStage", {}).values()),
    }


def _net_of_lesions(
    result: Result, truth: Truth, table: Mapping[int, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Return net chi of every lesion in ppb over that of all white matter, measured and true."""
    mask = result.mask & truth.mask
    white = np.isin(truth.labels, (2, 41)) & (truth.lesions == 0) & mask
    net, true = 1000 * result.maps["net"], 1000 * truth.maps["net"]
    around = float(net[white].mean()), float(true[white].mean())
    rows = []
    for number, known in table.items():
        inside = (truth.lesions == number) & mask
        if float(known["diameter_mm"]) >= SMALLEST_MM and inside.any():
            values = (float(m[inside].mean()) - a for m, a in zip((net, true), around, strict=True))
            rows.append({"id": number} | dict(zip(("net", "true_net"), values, strict=True)))
    return rows


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for JSON, which knows no NaN."""
    plain = {}
    for name, value in row.items():
        if isinstance(value, float | np.floating):
            value = None if math.isnan(value) else round(float(value), 4)
        plain[name] = int(value) if isinstance(value, np.integer) else value
    return plain
