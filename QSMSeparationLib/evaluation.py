"""Methods over cases with truth: scores as rows, a table and a figure.

``oracle`` inputs are the true local field and R2' with white noise: they tell what a method
itself is worth. ``pipeline`` inputs all come from the raw scan, with its own mask: they tell
what a user gets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from QSMSeparationLib import catalogue, pipeline
from QSMSeparationLib.errors import InputError
from QSMSeparationLib.io.cases import Case
from QSMSeparationLib.io.dataset import rows_to_csv
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.metrics import correlation, demeaned_nrmse, score_qsm, score_separation
from QSMSeparationLib.options import Options
from QSMSeparationLib.progress import Progress
from QSMSeparationLib.result import Result
from QSMSeparationLib.simulation.scanner import Truth
from QSMSeparationLib.volume import Volume

_TABLE = {
    "para_nrmse_percent": ("chi+ NRMSE %", ".1f"),
    "para_xsim": ("chi+ XSIM", ".3f"),
    "para_deep_grey_slope": ("chi+ deep-grey slope", ".2f"),
    "dia_nrmse_percent": ("chi- NRMSE %", ".1f"),
    "dia_xsim": ("chi- XSIM", ".3f"),
    "net_demeaned_nrmse_percent": ("net NRMSE %", ".1f"),
    "net_xsim": ("net XSIM", ".3f"),
    "seconds": ("s", ".1f"),
}


@dataclass(frozen=True)
class Plan:
    """What to evaluate.

    Parameters
    ----------
    methods, inversions : tuple of str
        Names from the catalogue; every pair is run.
    inputs : {"oracle", "pipeline"}
        Where the inputs come from.
    r2prime_sd_hz, field_sd_ppm : float
        SD of the noise of oracle inputs.
    seed : int
        Of that noise.
    """

    methods: tuple[str, ...]
    inversions: tuple[str, ...]
    inputs: str = "oracle"
    r2prime_sd_hz: float = 2.0
    field_sd_ppm: float = 0.002
    seed: int = 0

    def __post_init__(self) -> None:
        for stage, names in (("separation", self.methods), ("inversion", self.inversions)):
            for name in names:
                catalogue.find(name, stage)
        if min(self.r2prime_sd_hz, self.field_sd_ppm) < 0:
            raise InputError("a noise SD can't be negative")


def evaluate(
    cases: Sequence[Case], plan: Plan, options: Options, progress: Progress
) -> tuple[list[dict[str, Any]], dict[str, Result | Truth]]:
    """Run and score every method on every case.

    Returns
    -------
    rows : list of dict
        One row a case, inversion and method.
    example : dict
        Results of the last case by method, and its ``truth``, for the figure.
    """
    rows: list[dict[str, Any]] = []
    example: dict[str, Result | Truth] = {}
    for number, case in enumerate(cases):
        truth = case.truth()
        example = {"truth": truth}
        for inversion in plan.inversions:
            for method in plan.methods:
                chosen = replace(
                    options, method=method, inversion=inversion, b0_tesla=truth.protocol.b0_tesla
                )
                result = _run(case, truth, plan, chosen, [plan.seed, number], progress)
                label = f"{method} on {inversion}"
                row = {"case": case.name, "inputs": plan.inputs, "method": method}
                rows.append(row | {"inversion": inversion} | score(result, truth))
                example[label] = result
    return rows, example


def oracle_inputs(truth: Truth, plan: Plan, seed: list[int]) -> dict[str, Volume]:
    """Return the true local field, R2' and R2* with noise, as a scan would have it."""
    rng = np.random.default_rng([*seed, 11])
    brain = truth.mask.astype(np.float32)

    def noisy(name: str, sd: float) -> np.ndarray:
        noise = np.float32(sd) * rng.standard_normal(brain.shape, dtype=np.float32)
        return (truth.maps[name] + noise) * brain

    arrays = {
        "field": noisy("local_field", plan.field_sd_ppm),
        "r2prime": noisy("r2prime", plan.r2prime_sd_hz).clip(min=0),
        "r2star": noisy("r2star", plan.r2prime_sd_hz).clip(min=0),
    }
    return {name: Volume(array, truth.geometry, f"oracle {name}") for name, array in arrays.items()}


def score(result: Result, truth: Truth) -> dict[str, float]:
    """Return all measures of a result, over the part of its mask that is brain in truth."""
    difference = truth.geometry.difference(result.geometry)
    if difference:
        raise InputError(f"the result does not lie on the grid of the truth: {difference}")
    mask = result.mask & truth.mask
    maps, true = result.maps, truth.maps
    scores = score_separation(
        maps["chi_para"], maps["chi_dia"], true["chi_para"], true["chi_dia"], mask, truth.labels
    )
    scores |= {
        f"net_{k}": v for k, v in score_qsm(maps["net"], true["net"], mask, truth.labels).items()
    }
    if "local_field" in maps:
        field = (maps["local_field"], true["local_field"], mask)
        scores["local_field_demeaned_nrmse_percent"] = demeaned_nrmse(*field)
        scores["local_field_correlation"] = correlation(*field)
    scores["mask_share_percent"] = 100.0 * float(mask.sum() / truth.mask.sum())
    scores["seconds"] = sum(result.facts.get("SecondsPerStage", {}).values())
    return scores


def write_scores(rows: list[dict[str, Any]], example: dict[str, Any], outputs: Outputs) -> None:
    """Write scores.csv, scores.md and scores.png."""
    from QSMSeparationLib.report.figures import comparison_figure, save_figure

    outputs.text("scores.csv", rows_to_csv(rows), what="scores.csv")
    outputs.text("scores.md", markdown_table(rows), what="scores.md")
    truth = example["truth"]
    maps = {name: item.maps for name, item in example.items()}
    figure = comparison_figure(maps, truth.geometry, truth.mask, truth.lesions)
    save_figure(figure, outputs.path("scores.png", "scores.png"))


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """Return the mean (SD) over cases of the main scores, a line a method, as Markdown."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["inversion"]), []).append(row)
    head = ["method", "inversion", "cases", *(title for title, _ in _TABLE.values())]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for (method, inversion), group in groups.items():
        cells = [method, inversion, str(len(group))]
        for name, (_, fmt) in _TABLE.items():
            values = [row[name] for row in group if not math.isnan(row[name])]
            if not values:
                cells.append("-")
                continue
            spread = f" ({np.std(values):{fmt}})" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):{fmt}}{spread}")
        lines.append("| " + " | ".join(cells) + " |")
    note = f"\nInputs: {rows[0]['inputs']}. Mean (SD) over cases; NRMSE of net chi is demeaned.\n"
    return "\n".join(lines) + "\n" + note


def _run(
    case: Case, truth: Truth, plan: Plan, options: Options, seed: list[int], progress: Progress
) -> Result:
    """Run one method on one case."""
    timed = progress.part()
    if plan.inputs == "oracle":
        mask = case.volume(truth.mask.astype(np.uint8), truth, "mask")
        given = oracle_inputs(truth, plan, seed)
        return pipeline.separate(given, mask, options, timed)
    return pipeline.reconstruct(case.scan(), options, timed)
