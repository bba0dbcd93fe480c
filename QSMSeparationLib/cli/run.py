"""``qsmsep run``: raw scans of a BIDS or DICOM folder to maps, under OUT/sub-XX/anat."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from QSMSeparationLib.cli.arguments import (
    Commands,
    add_command,
    add_method_options,
    add_outputs,
    chosen_options,
    given_lesions,
    input_hashes,
    subject_name,
)
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

if TYPE_CHECKING:
    from QSMSeparationLib.data.result import Result


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "run", "a BIDS or DICOM folder to chi+, chi- and net chi")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="BIDS folder or DICOM folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for sub-XX/anat/...")
    parser.add_argument("--mask", type=Path, metavar="M", help="brain mask on the grid of the scan")
    add_outputs(parser)
    add_method_options(parser)
    parser.set_defaults(body=run, name=None)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Reconstruct and separate every scan of the source."""
    from QSMSeparationLib.io.derivatives import anat_prefix, write_result
    from QSMSeparationLib.io.outputs import Outputs
    from QSMSeparationLib.io.source import read_source
    from QSMSeparationLib.pipeline import maps as pipeline
    from QSMSeparationLib.report.write import analyse, write_reading

    options = chosen_options(args)
    name = None if args.name is None else subject_name(args.name)
    outputs = Outputs(args.out, args.overwrite)
    written: dict[str, str] = {}
    with progress.stage("reading") as report:
        scans = read_source(args.source, name, args.mask, report)
    lesions = given_lesions(args)
    if lesions is not None and len(scans) > 1:
        raise InputError(
            f"--lesions is for one scan, but {args.source} holds {len(scans)}; run one"
        )
    for scan in scans:
        outputs.refuse_existing([f"{anat_prefix(scan.name)}_Chimap.nii.gz"])
    progress.expect_scans(len(scans))
    for scan in scans:
        part = progress.part()
        prefix = anat_prefix(scan.name)
        result = pipeline.reconstruct(scan, options, part)
        analysed = analyse(result, lesions, part)
        inputs = scan.inputs | (input_hashes([args.lesions]) if lesions else {})
        with outputs, part.stage("writing"):
            write_result(result, outputs, prefix, inputs, args.keep)
            write_reading(result, analysed, outputs, str(Path(prefix).parent), scan.name, inputs)
        _print_findings(result, scan.name, progress)
        written |= {f"{scan.name} {what}": path for what, path in outputs.written.items()}
    return written


def _print_findings(result: Result, name: str, progress: Progress) -> None:
    """Show the notes on a scan, and the checks that did not pass."""
    lines = [f"{name}: {note}" for note in result.notes]
    lines += [
        f"{name}: {check.status.upper()} {check.name} {check.value:.3g} {check.unit} "
        f"({check.limits}): {check.advice}"
        for check in result.checks
        if check.status != "pass"
    ]
    progress.message("\n".join(lines))
