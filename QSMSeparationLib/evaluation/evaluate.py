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
import torch
from numpy.typing import NDArray

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.evaluation.cases import Case
from QSMSeparationLib.evaluation.lesions import agreement_between, score_lesions, summarize
from QSMSeparationLib.evaluation.metrics import (
    correlation,
    demeaned_nrmse,
    score_qsm,
    score_separation,
)
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.io.tables import rows_to_csv
from QSMSeparationLib.physics.spoiled import signal_at_te0
from QSMSeparationLib.pipeline import maps as pipeline
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.reconstruct import reconstruct
from QSMSeparationLib.preprocess.background import UNRELIABLE
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.scanner import Truth

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

_LESION_TABLE = {
    "lesion_para_slope": ("chi+ slope", ".2f"),
    "lesion_para_r": ("chi+ r", ".3f"),
    "lesion_dia_slope": ("chi- slope", ".2f"),
    "lesion_dia_r": ("chi- r", ".3f"),
    "rim_contrast_slope": ("rim contrast slope", ".2f"),
    "class_para_percent": ("chi+ class %", ".1f"),
    "class_para_kappa": ("chi+ kappa", ".2f"),
    "class_dia_percent": ("chi- class %", ".1f"),
    "class_dia_kappa": ("chi- kappa", ".2f"),
}


_S0_NOISE = 0.02
"""Noise of the magnitude at TE 0 over itself, that of a line through echoes of an SNR of 50."""


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


@dataclass
class Evaluation:
    """What an evaluation found.

    Parameters
    ----------
    rows : list of dict
        Scores, one row a case, inversion and method.
    lesions : list of dict
        Measured and true values, one row a case, inversion, method and lesion.
    example : dict
        Results of the last case by method, for the figure.
    truth : Truth, optional
        That of the last case.
    """

    rows: list[dict[str, Any]]
    lesions: list[dict[str, Any]]
    example: dict[str, Result]
    truth: Truth | None = None


def evaluate(cases: Sequence[Case], plan: Plan, options: Options, progress: Progress) -> Evaluation:
    """Run and score every method on every case; each inversion is run once a case."""
    found = Evaluation([], [], {})
    separations = [catalogue.find(name, "separation") for name in plan.methods]
    inversions = [catalogue.find(name, "inversion") for name in plan.inversions]
    options.refuse_unknown(*separations, *inversions)
    for number, case in enumerate(cases):
        truth, table = case.truth(), case.lesion_truth()
        found.example, found.truth = {}, truth
        for inversion in inversions:
            chosen = replace(scanned_as(truth.protocol, options), inversion=inversion.name)
            given, mask, prepared = prepared_inputs(
                case, truth, plan, chosen.restricted_to(inversion), number, progress
            )
            for method in separations:
                timed = progress.part()
                own = replace(chosen.restricted_to(method), method=method.name)
                result = pipeline.separate(given, mask, own, timed)
                label = {"case": case.name, "inputs": plan.inputs, "method": method.name}
                label |= {"inversion": inversion.name}
                found.rows.append(label | score(result, truth) | prepared)
                found.lesions += [
                    label | row for row in score_lesions(result, truth, table, progress.part())
                ]
                found.example[f"{method.name} on {inversion.name}"] = result
    return found


def scanned_as(protocol: Protocol, options: Options) -> Options:
    """Return options for maps of a scan: its field strength, TR and flip angle."""
    return replace(
        options, b0_tesla=protocol.b0_tesla, tr_s=protocol.tr_s, flip_deg=protocol.flip_deg
    )


def prepared_inputs(
    case: Case, truth: Truth, plan: Plan, options: Options, number: int, progress: Progress
) -> tuple[dict[str, Volume], Volume, dict[str, float]]:
    """Return the inputs of the separation, the mask, and what is known of their making."""
    timed = progress.part()
    scores: dict[str, float] = {}
    if plan.inputs == "oracle":
        mask = case.volume(truth.mask.astype(np.uint8), truth, "mask")
        given = oracle_inputs(truth, plan, [plan.seed, number])
        net = pipeline.invert(given["local_field"], mask, options, timed, given["r2star"])
        given["net"] = net.volume("net")
    else:
        net = reconstruct(case.scan(), replace(options, method="r2star-qsm"), timed)
        names = {
            "local_field": "local_field_in_mask",
            "r2prime": "r2prime",
            "r2star": "r2star",
            "net": "net",
            "s0": "s0",
        }
        found = net.maps.keys() | net.intermediate.keys()
        given = {name: net.volume(key) for name, key in names.items() if key in found}
        mask = Volume(net.mask.astype(np.uint8), net.geometry, f"{case.name} mask")
        scores = score_field(net, truth)
    return given, mask, scores | {"seconds_before": sum(timed.seconds.values())}


def oracle_inputs(truth: Truth, plan: Plan, seed: list[int]) -> dict[str, Volume]:
    """Return the true local field, R2', R2* and magnitude at TE 0 with noise, as a scan has it."""
    rng = np.random.default_rng([*seed, 11])
    brain = truth.mask.astype(np.float32)

    def noisy(name: str, sd: float) -> np.ndarray:
        noise = np.float32(sd) * rng.standard_normal(brain.shape, dtype=np.float32)
        return (truth.maps[name] + noise) * brain

    arrays = {
        "local_field": noisy("local_field", plan.field_sd_ppm),
        "r2prime": noisy("r2prime", plan.r2prime_sd_hz).clip(min=0),
        "r2star": noisy("r2star", plan.r2prime_sd_hz).clip(min=0),
    }
    if {"water", "t1"} <= truth.maps.keys():
        water, t1_s = (torch.from_numpy(truth.maps[name]) for name in ("water", "t1"))
        excitation = truth.protocol.tr_s, truth.protocol.flip_deg
        s0 = signal_at_te0(water, t1_s, *excitation).numpy() * brain
        noise = rng.standard_normal(brain.shape, dtype=np.float32)
        arrays["s0"] = (s0 * (1 + np.float32(_S0_NOISE) * noise)).clip(min=0)
    return {name: Volume(array, truth.geometry, f"oracle {name}") for name, array in arrays.items()}


def score(result: Result, truth: Truth) -> dict[str, float]:
    """Return the measures of susceptibility, over the part of the mask that is brain in truth."""
    mask = _common_mask(result, truth)
    maps, true = result.maps, truth.maps
    scores = score_separation(
        maps["chi_para"], maps["chi_dia"], true["chi_para"], true["chi_dia"], mask, truth.labels
    )
    scores |= {
        f"net_{k}": v for k, v in score_qsm(maps["net"], true["net"], mask, truth.labels).items()
    }
    scores["mask_share_percent"] = 100.0 * float(mask.sum() / truth.mask.sum())
    scores["seconds"] = sum(result.facts.get("SecondsPerStage", {}).values())
    return scores


def score_field(result: Result, truth: Truth) -> dict[str, float]:
    """Return the measures of the local field of a scan, where the scan could measure a field."""
    mask = _common_mask(result, truth)
    mask &= result.intermediate["trust"] >= UNRELIABLE
    field = (result.maps["local_field"], truth.maps["local_field"], mask)
    return {
        "local_field_demeaned_nrmse_percent": demeaned_nrmse(*field),
        "local_field_correlation": correlation(*field),
        "local_field_share_percent": 100.0 * float(mask.sum() / truth.mask.sum()),
    }


def _common_mask(result: Result, truth: Truth) -> NDArray[np.bool_]:
    difference = truth.geometry.difference(result.geometry)
    if difference:
        raise InputError(f"the result does not lie on the grid of the truth: {difference}")
    return result.mask & truth.mask


def write_scores(found: Evaluation, outputs: Outputs) -> None:
    """Write scores.csv, lesion_scores.csv, scores.md and scores.png."""
    from QSMSeparationLib.report.figures import comparison_figure, save_figure

    outputs.text("scores.csv", rows_to_csv(found.rows), what="scores.csv")
    text = markdown_table(found.rows)
    if found.lesions:
        outputs.text("lesion_scores.csv", rows_to_csv(found.lesions), what="lesion_scores.csv")
        text += "\n" + lesion_markdown(found.lesions)
    outputs.text("scores.md", text, what="scores.md")
    if found.truth is not None:
        truth = found.truth
        maps = {"truth": truth.maps}
        maps |= {name: result.maps for name, result in found.example.items()}
        figure = comparison_figure(maps, truth.geometry, truth.mask, truth.lesions)
        save_figure(figure, outputs.path("scores.png", "scores.png"))


def lesion_markdown(rows: list[dict[str, Any]]) -> str:
    """Return slopes and classes over all lesions, a line a method, as Markdown."""
    groups = _by_method(rows)
    head = ["method", "inversion", "lesions", *(title for title, _ in _LESION_TABLE.values())]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for (method, inversion), group in groups.items():
        summary = summarize(group)
        cells = [method, inversion, str(len(group))]
        cells += [f"{summary[name]:{fmt}}" for name, (_, fmt) in _LESION_TABLE.items()]
        lines.append("| " + " | ".join(cells) + " |")
    for inversion in dict.fromkeys(row["inversion"] for row in rows):
        kinds = ("r2prime", "r2star")
        measured, estimated = (groups.get((f"chi-sepnet-{kind}", inversion)) for kind in kinds)
        if measured and estimated:
            found = agreement_between(measured, estimated)
            lines += ["", _agreement_line(found, inversion)]
    return "\n".join(lines) + "\n"


def _agreement_line(found: dict[str, float], inversion: str) -> str:
    parts = [
        f"{sign} {found[f'{source}_percent']:.1f} % ({found[f'{source}_low_percent']:.1f} to "
        f"{found[f'{source}_high_percent']:.1f}), kappa {found[f'{source}_kappa']:.2f} "
        f"({found[f'{source}_kappa_low']:.2f} to {found[f'{source}_kappa_high']:.2f})"
        for source, sign in (("para", "chi+"), ("dia", "chi-"))
    ]
    return (
        f"Same class from chi-sepnet-r2prime and chi-sepnet-r2star on {inversion}, "
        f"{found['lesions']:.0f} lesions: {'; '.join(parts)}."
    )


def _by_method(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Group rows by method and inversion."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["inversion"]), []).append(row)
    return groups


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """Return the mean (SD) over cases of the main scores, a line a method, as Markdown."""
    groups = _by_method(rows)
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
