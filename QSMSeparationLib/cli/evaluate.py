"""``qsmsep evaluate``: score methods over simulated cases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from QSMSeparationLib import catalogue
from QSMSeparationLib.cli.arguments import (
    Commands,
    add_command,
    add_method_options,
    add_overwrite,
    chosen_options,
    seed,
)
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

if TYPE_CHECKING:
    from QSMSeparationLib.evaluation.suite import SuitePlan


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "evaluate", "run methods over simulated cases and score them")
    option = parser.add_argument
    option("cases", type=Path, nargs="?", metavar="CASES",
        help="a simulated dataset, or a folder of them")  # fmt: skip
    option("out", type=Path, nargs="?", metavar="OUT",
        help="folder for scores.csv, scores.md and scores.png")  # fmt: skip
    option("--methods", nargs="+", metavar="NAME", help="separation methods (default: all)")
    option("--inversions", nargs="+", metavar="NAME", help="inversion methods (default: all)")
    option("--inputs", choices=("oracle", "pipeline"), default="oracle",
        help="true local field and R2' with noise, or everything from the raw scan")  # fmt: skip
    option("--r2prime-sd", type=float, default=2.0, metavar="HZ",
        help="noise of the oracle R2' (2)")  # fmt: skip
    option("--field-sd", type=float, default=2.0, metavar="PPB",
        help="noise of the oracle field (2)")  # fmt: skip
    option("--seed", type=seed, default=0, help="of that noise")
    _add_suite(parser)
    add_overwrite(parser)
    add_method_options(parser)
    parser.set_defaults(body=run)


def _add_suite(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group(
        "the suite: heads of many kinds in place of CASES"
    ).add_argument
    option("--suite", type=Path, metavar="OUT",
        help="make the heads that are missing, and score what is not scored yet")  # fmt: skip
    option("--kinds", nargs="+", metavar="KIND", help="clean, real, hard, ... (default: all)")
    option("--people", choices=("figures", "settings"), default="figures",
        help="heads on which results are reported, or settings chosen")  # fmt: skip
    option(
        "--heads", type=int, default=0, metavar="N", help="most heads of a kind (default: 6 or 2)"
    )
    option("--voxel", type=float, default=1.0, metavar="MM", help="voxel size (default 1)")
    option("--label-maps", type=Path, metavar="DIR",
        help="head03.nii.gz ... (SynthSeg labels), for heads of real anatomy")  # fmt: skip


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Score the methods and write the tables."""
    if args.suite is not None:
        return _run_suite(args, progress)
    if args.cases is None or args.out is None:
        raise InputError("give CASES and OUT, or --suite OUT")
    return _run_cases(args, progress)


def _run_suite(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Score the methods over the suite and write its page."""
    import json

    from QSMSeparationLib.evaluation.suite import KINDS, SuitePlan, run_suite
    from QSMSeparationLib.evaluation.suite_page import markdown_page, summary_rows
    from QSMSeparationLib.io.outputs import Outputs

    if args.cases is not None:
        raise InputError("--suite makes its own cases; leave CASES out")
    if not 0.5 <= args.voxel <= 3:
        raise InputError(f"--voxel {args.voxel:g}: choose 0.5 to 3 mm")
    plan = SuitePlan(
        tuple(args.methods or [m.name for m in catalogue.methods("separation")]),
        tuple(args.inversions or [m.name for m in catalogue.methods("inversion")]),
        tuple(args.kinds or KINDS),
        args.people,
        args.heads,
        args.voxel,
        args.label_maps,
    )
    found = run_suite(plan, chosen_options(args), Outputs(args.suite, args.overwrite), progress)
    rows = summary_rows(found)
    outputs = Outputs(args.suite, overwrite=True)
    with outputs:
        outputs.text("suite.md", markdown_page(rows, _about(plan)), what="suite.md")
        for part, own in rows.items():
            outputs.text(f"{part}.json", json.dumps(own, indent=1) + "\n", what=f"{part}.json")
    return outputs.written


def _about(plan: SuitePlan) -> str:
    """Say what was measured, on whom."""
    real = "" if plan.label_maps else " Heads of real anatomy were left out."
    return (
        f"Whole chain from the raw scan, voxels of {plan.voxel_mm:g} mm, heads for {plan.people}."
        f"{real} Maps: mean over heads; lesions: those of all heads of a kind together."
    )


def _run_cases(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Score the methods over given cases."""
    from QSMSeparationLib.evaluation import evaluate as evaluation
    from QSMSeparationLib.evaluation.cases import find_cases
    from QSMSeparationLib.io.outputs import Outputs

    plan = evaluation.Plan(
        methods=tuple(args.methods or [m.name for m in catalogue.methods("separation")]),
        inversions=tuple(args.inversions or [m.name for m in catalogue.methods("inversion")]),
        inputs=args.inputs,
        r2prime_sd_hz=args.r2prime_sd,
        field_sd_ppm=args.field_sd / 1000,
        seed=args.seed,
    )
    outputs = Outputs(args.out, args.overwrite)
    outputs.refuse_existing(["scores.csv", "lesion_scores.csv", "scores.md", "scores.png"])
    found = evaluation.evaluate(find_cases(args.cases), plan, chosen_options(args), progress)
    with outputs, progress.stage("writing"):
        evaluation.write_scores(found, outputs)
    return outputs.written
