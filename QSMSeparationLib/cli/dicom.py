"""``qsmsep dicom``: a result as DICOM objects for the archive, in the study of its scan."""

from __future__ import annotations

import argparse
from pathlib import Path

from QSMSeparationLib.cli.arguments import Commands, add_anonymous, add_command
from QSMSeparationLib.runtime.progress import Progress


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "dicom", "a result as DICOM objects in the study of its scan")
    option = parser.add_argument
    option("result", type=Path, metavar="RESULT", help="folder of one result, or its map of chi+")
    option("out", type=Path, metavar="OUT", help="new folder for the objects")
    option(
        "--like", type=Path, required=True, metavar="SERIES",
        help="folder with the DICOM series that the maps were made from",
    )  # fmt: skip
    add_anonymous(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Write the objects."""
    from QSMSeparationLib.io.dicom_out.source import files_of_series
    from QSMSeparationLib.pipeline.dicom_export import export_dicom

    files = files_of_series(args.like)
    return export_dicom(args.result, args.out, files, progress, args.anonymous)
