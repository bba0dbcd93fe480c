"""Separations without a spin echo against truth: maps, R2', lesions, and how honest their SDs are.

Run: python Testing/benchmarks/bench_joint.py CASES [--weights joint-net.pt] [--out rows.json]
     [--methods joint-net r2star-joint r2star-qsm chi-sepnet-r2star] [--spin-echo]

CASES: folders of simulated cases, such as what 'qsmsep evaluate --suite OUT --kinds clean real
r2-nothing' leaves in OUT/cases/1mm. Every scan goes through the whole chain as if it had no spin echo;
rows are by kind of head, which is the name of a case up to its last hyphen. 'joint-net without S0'
is the same network without the magnitude at TE 0. ``--spin-echo`` adds the default with a spin echo
and how often both pipelines call a lesion the same, over all lesions and those that both decide.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from bench_uncertainty import lesion_rows, summary, voxel_ratios

from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.evaluation.cases import Case, find_cases
from QSMSeparationLib.evaluation.evaluate import scanned_as, score
from QSMSeparationLib.evaluation.lesions import agreement_between, score_lesions, summarize
from QSMSeparationLib.evaluation.metrics import nrmse
from QSMSeparationLib.pipeline import maps as pipeline
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.reconstruct import reconstruct
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation.scanner import Truth

JOINT = "joint-net"
WITHOUT_S0 = f"{JOINT} without S0"
METHODS = (JOINT, "r2star-joint", "r2star-qsm", "chi-sepnet-r2star")
SPIN_ECHO = "with a spin echo"
_MAPS = {"local_field": "local_field_in_mask", "net": "net", "r2star": "r2star", "s0": "s0"}

COLUMNS = {
    "para_nrmse_percent": ("chi+ NRMSE %", 1), "dia_nrmse_percent": ("chi- NRMSE %", 1),
    "para_xsim": ("chi+ XSIM", 3), "dia_xsim": ("chi- XSIM", 3),
    "r2prime_nrmse_percent": ("R2' NRMSE %", 1),
    "lesions": ("lesions", 0),
    "lesion_para_slope": ("chi+ slope", 2), "lesion_para_r": ("r", 2),
    "lesion_dia_slope": ("chi- slope", 2), "lesion_dia_r": ("r", 2),
    "class_para_kappa": ("chi+ kappa", 2), "class_dia_kappa": ("chi- kappa", 2),
    "para_kappa_decided": ("decided chi+", 2), "dia_kappa_decided": ("chi-", 2),
    "para_undecided": ("undecided chi+ %", 0), "dia_undecided": ("chi- %", 0),
    "para_voxels_68": ("chi+ voxels in 68", 0), "para_voxels_95": ("95", 0),
    "dia_voxels_68": ("chi- voxels in 68", 0), "dia_voxels_95": ("95", 0),
    "para_means_68": ("chi+ lesions in 68", 0), "para_means_95": ("95", 0),
    "dia_means_68": ("chi- lesions in 68", 0), "dia_means_95": ("95", 0),
    "same_para_percent": ("same chi+ class %", 0), "same_dia_percent": ("chi- %", 0),
    "both_para_percent": ("both decided, chi+ %", 0), "both_dia_percent": ("chi- %", 0),
}  # fmt: skip
"""Columns of the table: heading and digits; kappa of decided lesions stands beside that of all."""


@dataclass
class Measured:
    """What was measured of one method on the heads of one kind."""

    scores: list[dict[str, float]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    voxels: dict[str, list[np.ndarray]] = field(
        default_factory=lambda: {"chi_para": [], "chi_dia": []}
    )
    sure: list[dict[str, Any]] = field(default_factory=list)

    def add(self, case: Case, result: Result, truth: Truth) -> None:
        """Measure one head."""
        table = case.lesion_truth()
        scores = score(result, truth)
        if "r2prime" in result.maps and "r2prime" in truth.maps:
            inside = result.mask & truth.mask
            found = nrmse(result.maps["r2prime"], truth.maps["r2prime"], inside)
            scores["r2prime_nrmse_percent"] = found
        self.scores.append(scores)
        rows = score_lesions(result, truth, table, Progress())
        if "chi_para_sd" in result.maps:
            for name, ratios in self.voxels.items():
                ratios.append(voxel_ratios(result, truth, name))
            self.sure += lesion_rows(result, truth, table)
        self.lesions += [row | {"case": case.name} for row in rows]

    def row(self) -> dict[str, Any]:
        """Return the means over heads, and lines and classes over all lesions."""
        names = [n for n in self.scores[0] if n in COLUMNS]
        found: dict[str, Any] = {
            name: float(np.mean([one[name] for one in self.scores])) for name in names
        }
        found |= summarize(self.lesions) if self.lesions else {}
        for one in summary(self.voxels, self.sure) if self.sure else ():
            source = "para" if one["source"] == "chi+" else "dia"
            found |= {f"{source}_{name}": value for name, value in one.items()}
        return {name: value for name, value in found.items() if name in COLUMNS}


def inputs(case: Case, truth: Truth) -> tuple[dict[str, Volume], Volume, Options]:
    """Return what a separation gets after the chain of a scan without a spin echo."""
    scan = reconstruct(replace(case.scan(), spin_echo=None), Options(method="r2star-qsm"))
    there = scan.maps | scan.intermediate
    given = {
        name: Volume(there[key].astype(np.float32), scan.geometry, name)
        for name, key in _MAPS.items()
    }
    mask = Volume(scan.mask.astype(np.uint8), scan.geometry, "mask")
    return given, mask, scanned_as(truth.protocol, Options())


def separated(
    given: dict[str, Volume], mask: Volume, options: Options, name: str, weights: Path | None
) -> Result:
    """Run one method, or the network without the magnitude at TE 0."""
    method = JOINT if name == WITHOUT_S0 else name
    maps = {n: v for n, v in given.items() if n != "s0" or name == JOINT}
    own = replace(options, method=method, weights=weights if method == JOINT else None)
    return pipeline.separate(maps, mask, own)


def measured(
    cases: Sequence[Case], methods: Sequence[str], weights: Path | None, spin_echo: bool
) -> list[dict[str, Any]]:
    """Run every method on every case; return a row a kind and method."""
    found: dict[tuple[str, str], Measured] = {}
    for case in cases:
        truth = case.truth()
        kind = case.root.name.rsplit("-", 1)[0]
        given, mask, options = inputs(case, truth)
        for name in methods:
            result = separated(given, mask, options, name, weights)
            found.setdefault((kind, name), Measured()).add(case, result, truth)
        if spin_echo:
            result = reconstruct(case.scan())
            found.setdefault((kind, SPIN_ECHO), Measured()).add(case, result, truth)
        print(f"{case.name} done", flush=True)
    return [
        {"kind": kind, "method": name, "heads": len(one.scores)}
        | one.row()
        | agreement(one, found.get((kind, SPIN_ECHO)) if name != SPIN_ECHO else None)
        for (kind, name), one in found.items()
    ]


def agreement(one: Measured, other: Measured | None) -> dict[str, float]:
    """Return how often two pipelines give lesions the same class; of all, and of the decided."""
    if other is None:
        return {}
    same = agreement_between(one.lesions, other.lesions)
    found = {f"same_{s}_percent": same[f"{s}_percent"] for s in ("para", "dia")}
    for source in ("para", "dia"):
        decided = [
            [row for row in rows if row.get(f"decided_{source}")]
            for rows in (one.lesions, other.lesions)
        ]
        if all(decided):
            both = agreement_between(*decided)
            found[f"both_{source}_percent"] = both[f"{source}_percent"]
    return found


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table a kind, with the columns that any of its rows has."""
    parts = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        names = [n for n in COLUMNS if any(row.get(n) is not None for row in own)]
        lines = [" | ".join(["method", *(COLUMNS[n][0] for n in names)])]
        lines.append(" | ".join(["---"] * (1 + len(names))))
        for row in own:
            cells = [_shown(row.get(n), COLUMNS[n][1]) for n in names]
            lines.append(" | ".join([row["method"], *cells]))
        parts.append(f"### {kind}\n\n" + "\n".join(f"| {line} |" for line in lines))
    return "\n\n".join(parts)


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None or value != value else f"{value:.{digits}f}"


def main() -> None:
    """Measure, print, and write rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--methods", nargs="+", default=[JOINT, WITHOUT_S0, *METHODS[1:]])
    parser.add_argument("--weights", type=Path, help="of joint-net, where others than the shipped")
    parser.add_argument("--spin-echo", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cases = [case for folder in given.cases for case in find_cases(folder)]
    rows = measured(cases, given.methods, given.weights, given.spin_echo)
    print(markdown(rows))
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
