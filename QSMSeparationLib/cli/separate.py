"""``qsmsep separate``: maps made elsewhere to chi+, chi- and net chi."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from QSMSeparationLib.cli.arguments import (
    Commands,
    add_command,
    add_field_strength,
    add_keep,
    add_lesions,
    add_magnitude,
    add_method_options,
    add_outputs,
    add_regions,
    chosen_options,
    given_lesions,
    given_regions,
    given_tissue,
)
from QSMSeparationLib.io.files import input_hashes
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

if TYPE_CHECKING:
    from QSMSeparationLib.pipeline.options import Options

_QUANTITIES = {"field": "local_field", "qsm": "net"}
"""Maps whose option has another name."""


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "separate", "maps made elsewhere to chi+, chi- and net chi")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the maps")
    parser.add_argument("--field", type=Path, metavar="F", help="local field in ppm")
    parser.add_argument(
        "--qsm", type=Path, metavar="Q", help="net susceptibility in ppm (no inversion)"
    )
    parser.add_argument("--r2prime", type=Path, metavar="R", help="R2' in Hz")
    parser.add_argument("--r2star", type=Path, metavar="S", help="R2* in Hz")
    parser.add_argument("--r2", type=Path, metavar="R2", help="R2 in Hz, for R2' = R2* - R2")
    add_magnitude(parser)
    parser.add_argument("--s0", type=Path, metavar="S0",
        help="magnitude at TE 0 of a spoiled gradient echo, for joint-net")  # fmt: skip
    parser.add_argument("--tr", type=float, metavar="S",
        help="its repetition time in seconds (default: of the sidecar beside it)")  # fmt: skip
    parser.add_argument("--flip-angle", type=float, metavar="DEG",
        help="its flip angle in degrees (default: alike)")  # fmt: skip
    parser.add_argument("--mask", type=Path, required=True, metavar="M", help="brain mask")
    add_field_strength(parser)
    add_outputs(parser)
    add_method_options(parser)
    add_lesions(parser)
    add_regions(parser)
    add_keep(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Separate maps made elsewhere."""
    from QSMSeparationLib.io.bids_names import require_bids_name
    from QSMSeparationLib.io.derivatives import planned_names, write_result
    from QSMSeparationLib.io.description import describe_results
    from QSMSeparationLib.io.nifti import read_labels, read_map
    from QSMSeparationLib.io.outputs import Outputs
    from QSMSeparationLib.pipeline import maps as pipeline
    from QSMSeparationLib.report.write import REPORT_FILES, read, write_report

    given_paths = _given_paths(args)
    options = _with_excitation(chosen_options(args), args.s0)
    prefix = require_bids_name(args.name)
    outputs = Outputs(args.out, args.overwrite)
    planned = planned_names(prefix, ["net", "chi_para", "chi_dia", "mask"])
    outputs.refuse_existing([*planned, *REPORT_FILES])
    mask = read_labels(args.mask)
    lesions = given_lesions(args)
    given = {_QUANTITIES.get(name, name): read_map(path) for name, path in given_paths.items()}
    result = pipeline.separate(given, mask, options, progress)
    reading = read(result, lesions, progress, given_tissue(args), given_regions(args))
    others = {n: getattr(args, n) for n in ("mask", "lesions", "tissue", "regions")}
    inputs = input_hashes({**given_paths, **others})
    with outputs, progress.stage("writing"):
        write_result(result, outputs, prefix, inputs, args.keep)
        write_report(result, reading, outputs, "", prefix, inputs)
    describe_results(outputs.folder)
    return outputs.written


def _given_paths(args: argparse.Namespace) -> dict[str, Path]:
    """Return the maps that were given; refuse a set that cannot be separated."""
    paths = {
        name: getattr(args, name)
        for name in ("field", "qsm", "r2prime", "r2star", "r2", "magnitude", "s0")
        if getattr(args, name) is not None
    }
    if "s0" not in paths and (args.tr is not None or args.flip_angle is not None):
        raise InputError("--tr and --flip-angle are those of --s0; give it, or leave them out")
    if "field" not in paths and "qsm" not in paths:
        raise InputError("give the local field with --field, or net chi with --qsm")
    if "r2prime" not in paths and "r2star" not in paths:
        raise InputError("give R2' with --r2prime, or R2* with --r2star (and R2 with --r2)")
    return paths


def _with_excitation(options: Options, s0: Path | None) -> Options:
    """Return options with TR and flip angle of a magnitude at TE 0: given ones, or its sidecar's."""
    from QSMSeparationLib.io.nifti import read_excitation

    if s0 is None:
        return options
    tr_s, flip_deg = read_excitation(s0)
    tr_s = tr_s if options.tr_s is None else options.tr_s
    flip_deg = flip_deg if options.flip_deg is None else options.flip_deg
    if tr_s is None or flip_deg is None:
        raise InputError(
            f"{s0.name}: TR and flip angle, which weight it by T1, are in no sidecar beside it; "
            "give --tr (seconds) and --flip-angle (degrees)"
        )
    return replace(options, tr_s=tr_s, flip_deg=flip_deg)
