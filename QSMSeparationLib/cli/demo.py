"""``qsmsep demo``: simulate, reconstruct, separate, measure, draw."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from QSMSeparationLib.cli.arguments import (
    Commands,
    add_command,
    add_keep,
    add_method_options,
    add_outputs,
    chosen_options,
    seed,
)
from QSMSeparationLib.runtime.progress import Progress


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(
        commands, "demo", "simulate a head with MS lesions, reconstruct it, measure, draw a picture"
    )
    option = parser.add_argument
    option("out", nargs="?", type=Path, default=Path("demo"), metavar="OUT")
    option("--seed", type=seed, default=1, help="which person (default 1)")
    option("--voxel", type=float, default=1.5, metavar="MM", help="voxel size (default 1.5)")
    option("--open", action="store_true",
        help="open the report in the browser, if there is a desktop")  # fmt: skip
    add_outputs(parser)
    add_method_options(parser)
    add_keep(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Run the demonstration."""
    from QSMSeparationLib.evaluation.demo import run_demo
    from QSMSeparationLib.io.bids_names import require_bids_name
    from QSMSeparationLib.io.outputs import Outputs

    outputs = Outputs(args.out, args.overwrite)
    options, name = chosen_options(args), require_bids_name(args.name)
    written = run_demo(args.seed, args.voxel, options, outputs, name, progress, args.keep)
    reports = [file for file in written.values() if file.endswith("report.html")]
    if args.open and reports and has_desktop():
        webbrowser.open(Path(reports[0]).resolve().as_uri())
    return written


def has_desktop() -> bool:
    """Return True if a browser can be shown: on Windows and macOS, elsewhere with a display."""
    if os.environ.get("CI"):
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
