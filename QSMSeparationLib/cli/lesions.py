"""``qsmsep lesions``: maps and a segmentation to the lesion table."""

from __future__ import annotations

import argparse
from pathlib import Path

from QSMSeparationLib.cli.arguments import Commands, add_command, add_overwrite, input_hashes
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress


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
    option("--dr-para", type=float, default=114.0, metavar="HZ_PER_PPM", help="relaxivity of chi+")
    option("--dr-dia", type=float, default=114.0, metavar="HZ_PER_PPM", help="relaxivity of chi-")
    add_overwrite(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Measure and classify every lesion."""
    from QSMSeparationLib.io.nifti import read_labels, read_map
    from QSMSeparationLib.io.outputs import Outputs
    from QSMSeparationLib.lesions import analyse_lesions, lesion_table
    from QSMSeparationLib.lesions.table import lesion_facts

    if args.out.suffix.lower() != ".csv":
        raise InputError(f"{args.out}: the table is a CSV file; name it lesions.csv, for example")
    paths = {"chi_para": args.para, "chi_dia": args.dia, "net": args.net}
    maps = {name: read_map(path) for name, path in paths.items() if path is not None}
    first = maps["chi_para"]
    brain = read_labels(args.mask) if args.mask else first.like(first.array != 0, "chi+ map")
    outputs = Outputs(args.out.parent, args.overwrite)
    facts_name = args.out.with_suffix(".json").name
    outputs.refuse_existing([args.out.name, facts_name])
    with progress.stage("lesions") as report:
        found = analyse_lesions(
            maps,
            read_labels(args.lesions),
            brain,
            dr_para=args.dr_para,
            dr_dia=args.dr_dia,
            report=report,
        )
    used = [p for p in (*paths.values(), args.lesions, args.mask) if p is not None]
    with outputs:
        outputs.text(args.out.name, lesion_table(found), what="lesions")
        outputs.json(facts_name, lesion_facts(found, {"inputs": input_hashes(used)}))
    for note in found.notes:
        progress.message(note)
    return outputs.written
