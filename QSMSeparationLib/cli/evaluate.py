"""``qsmsep evaluate``: score methods over simulated cases."""

from __future__ import annotations

import argparse
from pathlib import Path

from QSMSeparationLib import catalogue
from QSMSeparationLib.cli.arguments import (
    Commands,
    add_command,
    add_method_options,
    add_overwrite,
    chosen_options,
    seed,
)
from QSMSeparationLib.runtime.progress import Progress


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "evaluate", "run methods over simulated cases and score them")
    option = parser.add_argument
    option("cases", type=Path, metavar="CASES", help="a simulated dataset, or a folder of them")
    option("out", type=Path, metavar="OUT", help="folder for scores.csv, scores.md and scores.png")
    option("--methods", nargs="+", metavar="NAME", help="separation methods (default: all)")
    option("--inversions", nargs="+", metavar="NAME", help="inversion methods (default: all)")
    option("--inputs", choices=("oracle", "pipeline"), default="oracle",
        help="true local field and R2' with noise, or everything from the raw scan")  # fmt: skip
    option("--r2prime-sd", type=float, default=2.0, metavar="HZ",
        help="noise of the oracle R2' (2)")  # fmt: skip
    option("--field-sd", type=float, default=2.0, metavar="PPB",
        help="noise of the oracle field (2)")  # fmt: skip
    option("--seed", type=seed, default=0, help="of that noise")
    add_overwrite(parser)
    add_method_options(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Score the methods and write the tables."""
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
