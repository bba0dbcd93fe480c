"""``qsmsep run``: raw scans of a BIDS or DICOM folder to maps, under OUT/sub-XX/anat."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from QSMSeparationLib.cli.arguments import (
    Commands,
    add_anonymous,
    add_background,
    add_command,
    add_keep,
    add_lesions,
    add_mask_method,
    add_method_options,
    add_outputs,
    add_regions,
    chosen_options,
    given_lesions,
    given_regions,
    given_tissue,
)
from QSMSeparationLib.runtime.errors import Cancelled, InputError
from QSMSeparationLib.runtime.failures import FAILURES, one_line_reason
from QSMSeparationLib.runtime.progress import Progress

if TYPE_CHECKING:
    from QSMSeparationLib.cohort.dicom_copies import DicomCopies
    from QSMSeparationLib.cohort.labels import Labels
    from QSMSeparationLib.io.found import FoundScan
    from QSMSeparationLib.io.source import Given


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "run", "a BIDS or DICOM folder to chi+, chi- and net chi")
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="folder of BIDS, DICOM or NIfTI files"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for sub-XX/anat/...")
    parser.add_argument("--mask", type=Path, metavar="M", help="brain mask on the grid of the scan")
    parser.add_argument(
        "--files", type=Path, metavar="LIST",
        help="text file: use only these files, one a line, absolute or below SOURCE",
    )  # fmt: skip
    parser.add_argument(
        "--te", type=float, nargs="+", default=[], metavar="S",
        help="echo times in seconds of NIfTI files without sidecars",
    )  # fmt: skip
    parser.add_argument(
        "--b0", type=float, metavar="T", help="field strength of NIfTI files without sidecars"
    )
    parser.add_argument(
        "--dicom", type=Path, nargs="?", const=True, metavar="SERIES",
        help="write DICOM objects, too, into 'dicom' beside the maps: in the study of SERIES, the "
        "folder of the scan's DICOM series (not needed where SOURCE is DICOM)",
    )  # fmt: skip
    add_anonymous(parser)
    add_outputs(parser)
    add_mask_method(parser)
    add_background(parser)
    add_method_options(parser)
    add_lesions(parser)
    add_regions(parser)
    add_keep(parser)
    parser.set_defaults(body=run, name=None)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Reconstruct and separate every scan of the source, one at a time."""
    from QSMSeparationLib.cohort.one_scan import findings, planned_files, process_scan
    from QSMSeparationLib.io.derivatives import anat_folder
    from QSMSeparationLib.io.description import describe_results
    from QSMSeparationLib.io.outputs import Outputs
    from QSMSeparationLib.io.source import Given, find_scans

    options = chosen_options(args)
    outputs = Outputs(args.out, args.overwrite)
    with progress.stage("finding scans") as report:
        given = Given(_listed_files(args), tuple(args.te), args.b0)
        found = find_scans(args.source, args.name, args.mask, report, given)
    labels, copies = _labels(args, found), _copies(args, found, given)
    writers = [outputs.at(anat_folder(one.name)) for one in found]
    for one, writer in zip(found, writers, strict=True):
        writer.refuse_existing(planned_files(one.name))
        if copies is not None:
            copies.refuse_existing(one, writer)
    progress.expect_scans(len(found))
    written: dict[str, str] = {}
    for one, writer in zip(found, writers, strict=True):
        part = progress.part()
        try:
            read = one if copies is None else copies.checked(one)
            done = process_scan(read, options, labels, writer, args.keep, part)
            progress.message(findings(done.result, one.name))
            written |= {f"{one.name} {what}": path for what, path in writer.written.items()}
            describe_results(outputs.folder)
            if copies is not None:
                written[f"{one.name} dicom"] = copies.write(one, writer, part)
        except (Cancelled, BrokenPipeError):
            raise
        except FAILURES as error:
            if len(found) == 1:
                raise
            progress.fail(one.name, one_line_reason(error))
    return written


def _listed_files(args: argparse.Namespace) -> tuple[Path, ...]:
    """Read the list of files; those that are not there are told."""
    if args.files is None:
        return ()
    try:
        lines = args.files.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{args.files} can't be read as a list; give a UTF-8 text file") from None
    files = tuple(args.source / line.strip() for line in lines if line.strip())
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        what = f"{len(missing)} files are missing, such as {missing[0].name}" if files else "empty"
        raise InputError(f"{args.files.name}: {what}; list files that exist, one a line")
    return files


def _copies(
    args: argparse.Namespace, found: Sequence[FoundScan], given: Given
) -> DicomCopies | None:
    """Return the DICOM copies that are asked for; why there can be none is told before the work."""
    if args.dicom is None:
        if args.anonymous:
            raise InputError("--anonymous is for DICOM objects; add --dicom")
        return None
    from QSMSeparationLib.cohort.dicom_copies import copies_of
    from QSMSeparationLib.io.source import source_kind

    series = None if args.dicom is True else args.dicom
    kind = source_kind(args.source, given.files)
    return copies_of(series, kind, found, args.anonymous)


def _labels(args: argparse.Namespace, found: Sequence[FoundScan]) -> Labels:
    """Return the label maps, of which the lesions can only belong to a single scan."""
    from QSMSeparationLib.cohort.labels import Labels

    if args.lesions is not None and len(found) > 1:
        raise InputError(
            f"--lesions is for one scan, but {args.source} holds {len(found)}; run one"
        )
    labels = Labels(args.lesions, args.tissue, args.regions)
    for given in (given_lesions, given_tissue, given_regions):
        given(args)  # what can't be read is told before the work
    return labels
