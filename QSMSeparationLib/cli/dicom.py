"""``qsmsep dicom``: a result as DICOM objects for the archive, in the study of its scan."""

from __future__ import annotations

import argparse
from pathlib import Path

from QSMSeparationLib.cli.arguments import Commands, add_command
from QSMSeparationLib.runtime.progress import Progress


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "dicom", "a result as DICOM objects in the study of its scan")
    option = parser.add_argument
    option("result", type=Path, metavar="RESULT", help="folder of one result")
    option("out", type=Path, metavar="OUT", help="new folder for the objects")
    option(
        "--like", type=Path, required=True, metavar="SERIES",
        help="folder with the DICOM series that the maps were made from",
    )  # fmt: skip
    add_anonymous(parser)
    parser.set_defaults(body=run)


def add_anonymous(parser: argparse.ArgumentParser) -> None:
    """Add ``--anonymous``."""
    parser.add_argument(
        "--anonymous", action="store_true",
        help="DICOM objects of nobody: no identity, no dates, a new study",
    )  # fmt: skip


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Write the objects."""
    from QSMSeparationLib.pipeline.dicom_export import export_dicom

    return export_dicom(args.result, args.out, args.like, progress, args.anonymous)
