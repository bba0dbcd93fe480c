"""``qsmsep lesions``: maps and a segmentation to the lesion table."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from QSMSeparationLib.cli.arguments import (
    Commands,
    add_command,
    add_field_strength,
    add_overwrite,
    add_relaxivities,
    given_tissue,
)
from QSMSeparationLib.io.files import input_hashes
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

if TYPE_CHECKING:
    from QSMSeparationLib.data.volume import Volume
    from QSMSeparationLib.lesions.classify import Thresholds


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "lesions", "classify lesions in chi+ and chi-")
    option = parser.add_argument
    option("out", type=Path, metavar="OUT.csv", help="the lesion table")
    option("--para", type=Path, required=True, metavar="P", help="chi+ in ppm, not negative")
    option("--dia", type=Path, required=True, metavar="D", help="chi- in ppm, not positive")
    option("--lesions", type=Path, required=True, metavar="SEG", help="lesion segmentation")
    option("--net", type=Path, metavar="N", help="net chi in ppm (default: their sum)")
    option("--mask", type=Path, metavar="M", help="brain mask (default: where chi+ is not 0)")
    option("--r2prime", type=Path, metavar="R", help="R2' in Hz: share of it that chi can't cause")
    option("--r2star", type=Path, metavar="S", help="R2* in Hz: finds CSF and ventricles")
    option("--r2", type=Path, metavar="R2", help="R2 in Hz, for the table")
    add_relaxivities(parser)
    add_field_strength(parser)
    option("--tissue", type=Path, metavar="LABELS",
        help="FreeSurfer or SynthSeg labels: tells where lesions lie (default: estimated)")  # fmt: skip
    option("--veins", type=Path, metavar="MASK", help="vein mask (default: found in chi+)")
    option("--threshold", action="append", default=[], metavar="NAME=VALUE",
        help="what decides the classes, such as z=2; may be repeated")  # fmt: skip
    add_overwrite(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Measure and classify every lesion."""
    from QSMSeparationLib.io.nifti import read_labels
    from QSMSeparationLib.io.outputs import Outputs
    from QSMSeparationLib.lesions import analyze_lesions, lesion_table
    from QSMSeparationLib.lesions.table import lesion_facts
    from QSMSeparationLib.physics.constants import relaxivity
    from QSMSeparationLib.pipeline.options import Options

    if args.out.suffix.lower() != ".csv":
        raise InputError(f"{args.out}: the table is a CSV file; name it lesions.csv, for example")
    thresholds = _thresholds(args.threshold)
    chosen = Options(dr_para=args.dr_para, dr_dia=args.dr_dia, b0_tesla=args.b0)
    outputs = Outputs(args.out.parent, args.overwrite)
    facts_name = args.out.with_suffix(".json").name
    outputs.refuse_existing([args.out.name, facts_name])
    paths = {
        "chi_para": args.para, "chi_dia": args.dia, "net": args.net,
        "r2star": args.r2star, "r2prime": args.r2prime, "r2": args.r2,
    }  # fmt: skip
    maps, brain = _checked_maps(paths, args)
    with progress.stage("lesions") as report:
        found = analyze_lesions(
            maps,
            read_labels(args.lesions),
            brain,
            tissue=given_tissue(args),
            thresholds=thresholds,
            veins=None if args.veins is None else read_labels(args.veins),
            dr_para=relaxivity(chosen.dr_para, chosen.b0_tesla),
            dr_dia=relaxivity(chosen.dr_dia, chosen.b0_tesla),
            report=report,
        )
    inputs = input_hashes(
        {name: getattr(args, name) for name in ("lesions", "mask", "tissue", "veins")} | paths
    )
    with outputs:
        outputs.text(args.out.name, lesion_table(found), what="lesions")
        outputs.json(facts_name, lesion_facts(found, {"inputs": inputs}))
    for note in found.notes:
        progress.message(note)
    return outputs.written


def _checked_maps(
    paths: dict[str, Path | None], args: argparse.Namespace
) -> tuple[dict[str, Volume], Volume]:
    """Read the maps and the brain mask; refuse maps in another unit."""
    from QSMSeparationLib.io.nifti import read_labels, read_map
    from QSMSeparationLib.pipeline.checked_inputs import checked_map

    maps = {name: read_map(path) for name, path in paths.items() if path is not None}
    first = maps["chi_para"]
    brain = read_labels(args.mask) if args.mask else first.like(first.array != 0, "chi+ map")
    for name, volume in maps.items():
        checked_map(volume, name, brain, args.b0)
    return maps, brain


def _thresholds(items: list[str]) -> Thresholds:
    """Parse ``--threshold NAME=VALUE``."""
    from QSMSeparationLib.lesions.classify import Thresholds

    kinds = {one.name: type(one.default) for one in fields(Thresholds)}
    chosen = {}
    for item in items:
        name, _, value = item.partition("=")
        if name not in kinds:
            raise InputError(f"--threshold {item}: there are {', '.join(kinds)}")
        try:
            chosen[name] = kinds[name](value)
        except ValueError:
            raise InputError(f"--threshold {item}: give {name}=VALUE with a number") from None
    return Thresholds(**chosen)
