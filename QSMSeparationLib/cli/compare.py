"""``qsmsep compare``: two results of one patient, agreement per lesion and per voxel."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from QSMSeparationLib.cli.arguments import Commands, add_command, add_overwrite, given_lesions
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

if TYPE_CHECKING:
    from QSMSeparationLib.data.result import Result
    from QSMSeparationLib.io.outputs import Outputs
    from QSMSeparationLib.lesions.compare import Comparison
    from QSMSeparationLib.report.write import Reading


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "compare", "agreement of two results of the same patient")
    option = parser.add_argument
    option("first", type=Path, metavar="A", help="folder of the first result")
    option("second", type=Path, metavar="B", help="folder of the second result")
    option(
        "out",
        type=Path,
        metavar="OUT",
        help="folder for comparison.csv, comparison.json, regions.csv",
    )
    option(
        "--lesions", type=Path, metavar="SEG", help="segmentation (default: that of the results)"
    )
    option("--visits", action="store_true", help="two visits: match lesions by overlap")
    add_overwrite(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Compare two results: their lesions, voxels, and regions."""
    from QSMSeparationLib.io.outputs import Outputs
    from QSMSeparationLib.io.results import read_result
    from QSMSeparationLib.lesions.compare import comparison_summary, comparison_table
    from QSMSeparationLib.report.write import read

    outputs = Outputs(args.out, args.overwrite)
    outputs.refuse_existing(["comparison.csv", "comparison.json", "regions.csv"])
    (a, labels_a), (b, labels_b) = read_result(args.first), read_result(args.second)
    given = given_lesions(args)
    labels_a = given or labels_a
    labels_b = given or labels_b if args.visits else labels_a
    if labels_a is None or labels_b is None:
        raise InputError(f"{args.first} holds no lesion labels; give them with --lesions")
    if not args.visits:
        _require_same_grid(a, b)
        b.anatomy = a.anatomy  # the same voxels in both
    readings = [read(r, one, progress) for r, one in ((a, labels_a), (b, labels_b))]
    found = _compared(a, b, readings, args.visits)
    with outputs:
        outputs.text("comparison.csv", comparison_table(found), what="lesions")
        agreement = _write_regions(readings, outputs)
        outputs.json("comparison.json", comparison_summary(found) | agreement)
    return outputs.written


def _compared(a: Result, b: Result, readings: list[Reading], visits: bool) -> Comparison:
    """Compare lesions, and voxels where both results come from one scan."""
    from QSMSeparationLib.data.volume import Volume
    from QSMSeparationLib.lesions.compare import compare_results, compare_visits

    first, second = (reading.lesions for reading in readings)
    assert first is not None  # labels were asked for before
    assert second is not None
    if visits:
        return compare_visits(first, second)
    mask = Volume((a.mask & b.mask).astype("uint8"), a.geometry, "common mask")
    names = ("chi_para", "chi_dia", "net")
    return compare_results(first, second, {n: (a.volume(n), b.volume(n)) for n in names}, mask)


def _write_regions(readings: list[Reading], outputs: Outputs) -> dict[str, Any]:
    """Write the regions that both results have; returns how well they agree."""
    from QSMSeparationLib.anatomy.compare import compare_regions, region_agreement
    from QSMSeparationLib.io.tables import rows_to_csv

    rows = compare_regions(*(reading.regions for reading in readings))
    if not rows:
        return {}
    outputs.text("regions.csv", rows_to_csv(rows), what="regions")
    return {"regions": region_agreement(rows)}


def _require_same_grid(a: Result, b: Result) -> None:
    """Refuse results on different grids, whose voxels cannot be compared."""
    difference = a.geometry.difference(b.geometry)
    if difference:
        raise InputError(f"the two results lie on different grids: {difference}; use --visits")
