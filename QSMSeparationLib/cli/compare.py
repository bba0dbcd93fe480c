"""``qsmsep compare``: two results of one patient, agreement per lesion and per voxel."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from QSMSeparationLib.cli.arguments import Commands, add_command, add_overwrite, given_lesions
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from QSMSeparationLib.data.result import Result


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "compare", "agreement of two results of the same patient")
    option = parser.add_argument
    option("first", type=Path, metavar="A", help="folder of the first result")
    option("second", type=Path, metavar="B", help="folder of the second result")
    option("out", type=Path, metavar="OUT", help="folder for comparison.csv and comparison.json")
    option(
        "--lesions", type=Path, metavar="SEG", help="segmentation (default: that of the results)"
    )
    option("--visits", action="store_true", help="two visits: match lesions by overlap")
    add_overwrite(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Compare two results."""
    from QSMSeparationLib.data.volume import Volume
    from QSMSeparationLib.io.outputs import Outputs
    from QSMSeparationLib.io.results import read_result
    from QSMSeparationLib.lesions.compare import (
        compare_results,
        compare_visits,
        comparison_summary,
        comparison_table,
    )
    from QSMSeparationLib.report.write import analyse

    outputs = Outputs(args.out, args.overwrite)
    outputs.refuse_existing(["comparison.csv", "comparison.json"])
    (a, labels_a), (b, labels_b) = read_result(args.first), read_result(args.second)
    given = given_lesions(args)
    labels_a = given or labels_a
    labels_b = given or labels_b if args.visits else labels_a
    if labels_a is None or labels_b is None:
        raise InputError(f"{args.first} holds no lesion labels; give them with --lesions")
    reports = [analyse(r, one, progress) for r, one in ((a, labels_a), (b, labels_b))]
    if args.visits:
        found = compare_visits(*reports)
    else:
        mask = Volume((a.mask & _same_grid(a, b)).astype("uint8"), a.geometry, "common mask")
        names = ("chi_para", "chi_dia", "net")
        found = compare_results(*reports, {n: (a.volume(n), b.volume(n)) for n in names}, mask)
    with outputs:
        outputs.text("comparison.csv", comparison_table(found), what="lesions")
        outputs.json("comparison.json", comparison_summary(found))
    return outputs.written


def _same_grid(a: Result, b: Result) -> NDArray[np.bool_]:
    """Mask of the second result, which must lie on the grid of the first."""
    difference = a.geometry.difference(b.geometry)
    if difference:
        raise InputError(f"the two results lie on different grids: {difference}; use --visits")
    return b.mask
