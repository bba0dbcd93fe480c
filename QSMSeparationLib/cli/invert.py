"""``qsmsep invert``: local field to net chi."""

from __future__ import annotations

import argparse
from pathlib import Path

from QSMSeparationLib.cli.arguments import (
    Commands,
    add_command,
    add_field_strength,
    add_keep,
    add_magnitude,
    add_method_options,
    add_outputs,
    chosen_options,
)
from QSMSeparationLib.io.files import input_hashes
from QSMSeparationLib.runtime.progress import Progress


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "invert", "local field to net chi (QSM)")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the map")
    parser.add_argument("--field", type=Path, required=True, metavar="F", help="local field in ppm")
    parser.add_argument("--mask", type=Path, required=True, metavar="M", help="brain mask")
    parser.add_argument("--r2star", type=Path, metavar="S", help="R2* in Hz, for its borders (tv)")
    add_magnitude(parser)
    parser.add_argument(
        "--method", dest="inversion", required=True, metavar="NAME", help="inversion"
    )
    add_field_strength(parser)
    add_outputs(parser)
    add_method_options(parser, separation=False)
    add_keep(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Invert a local field."""
    from QSMSeparationLib.io.bids_names import require_bids_name
    from QSMSeparationLib.io.derivatives import planned_names, write_result
    from QSMSeparationLib.io.description import describe_results
    from QSMSeparationLib.io.nifti import read_labels, read_map
    from QSMSeparationLib.io.outputs import Outputs
    from QSMSeparationLib.pipeline import maps as pipeline

    options = chosen_options(args)
    prefix = require_bids_name(args.name)
    outputs = Outputs(args.out, args.overwrite)
    outputs.refuse_existing(planned_names(prefix, ["net", "mask"]))
    r2star = None if args.r2star is None else read_map(args.r2star)
    magnitude = None if args.magnitude is None else read_map(args.magnitude)
    field_map, mask = read_map(args.field), read_labels(args.mask)
    result = pipeline.invert(field_map, mask, options, progress, r2star, magnitude)
    names = ("field", "mask", "r2star", "magnitude")
    inputs = input_hashes({name: getattr(args, name) for name in names})
    with outputs, progress.stage("writing"):
        write_result(result, outputs, prefix, inputs, args.keep)
    describe_results(outputs.folder)
    return outputs.written
