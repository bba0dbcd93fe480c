"""``qsmsep simulate``: write a simulated scan with its truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from QSMSeparationLib.cli.arguments import (
    Commands,
    add_command,
    add_field_strength,
    add_outputs,
    add_relaxivities,
    seed,
)
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

if TYPE_CHECKING:
    from QSMSeparationLib.simulation.protocol import Protocol


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "simulate", "write a simulated scan (BIDS) with its truth")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the dataset")
    _add_scanner(parser)
    _add_person(parser)
    _add_realism(parser)
    add_relaxivities(parser)
    add_outputs(parser)
    parser.set_defaults(body=run)


def _add_scanner(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--voxel", type=float, nargs="+", default=[1.0], metavar="MM",
        help="one size, or three (i j k)")  # fmt: skip
    add_field_strength(parser)
    option("--te", type=float, nargs="+", metavar="S", help="echo times in seconds")
    option("--spin-echo", type=float, nargs="*", metavar="S",
        help="spin-echo times; none: a standard train")  # fmt: skip
    option("--snr", type=float, default=100.0,
        help="brain magnitude of echo 1 over noise (default 100)")  # fmt: skip
    option("--oblique", type=float, default=0.0, metavar="DEG", help="tilt of the slices")
    option("--phase", choices=("rad", "integer"), default="rad", help="unit of the phase")


def _add_person(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--seed", type=seed, default=1, help="which person (default 1)")
    option("--lesion-count", type=int, default=16, metavar="N", help="MS lesions (default 16)")
    option("--lesion-masks", type=Path, nargs="+", default=[], metavar="FILE",
        help="real lesion shapes")  # fmt: skip
    option("--labels", type=Path, metavar="FILE", help="SynthSeg label map to use as the anatomy")
    option("--age", type=float, metavar="YEARS", help="age (drawn when missing)")
    option("--move-values", type=float, default=0.0, metavar="SHARE",
        help="move the mean of every tissue by up to this share (0.3: another value table)")  # fmt: skip


def _add_realism(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--realism", type=int, choices=(0, 1, 2), default=1,
        help="0: what the equations say, with noise; 1 (default): tissue, field and scan as real "
             "ones are; 2: a scan that went badly")  # fmt: skip
    option("--with", dest="more", nargs="+", default=[], metavar="PART",
        help="parts of realism that the level lacks, such as misfit or fibers")  # fmt: skip
    option("--without", dest="less", nargs="+", default=[], metavar="PART",
        help="parts of the level to leave out")  # fmt: skip


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Simulate a scan and write it."""
    from QSMSeparationLib.io.bids_names import require_bids_name
    from QSMSeparationLib.io.nifti import read_labels
    from QSMSeparationLib.io.outputs import Outputs
    from QSMSeparationLib.simulation.dataset import write_dataset
    from QSMSeparationLib.simulation.realism import Realism
    from QSMSeparationLib.simulation.simulate import scan_person

    protocol = _protocol(args)
    realism = Realism.of(args.realism, args.more, args.less)
    if not 0 <= args.lesion_count <= 200:
        raise InputError(f"--lesion-count {args.lesion_count}: choose 0 to 200")
    if not 0 <= args.move_values <= 0.9:
        raise InputError(f"--move-values {args.move_values:g}: choose 0 to 0.9")
    labels = None if args.labels is None else read_labels(args.labels)
    masks = [read_labels(path) for path in args.lesion_masks]
    outputs = Outputs(args.out, args.overwrite)
    name = require_bids_name(args.name)
    outputs.refuse_existing(["dataset_description.json", name.split("_")[0]])
    scan, truth, rows = scan_person(
        args.seed,
        protocol,
        name,
        progress,
        args.lesion_count,
        args.age,
        labels,
        masks,
        args.move_values,
        realism,
    )
    with outputs, progress.stage("writing"):
        write_dataset(scan, truth, rows, outputs, args.phase)
    return {"dataset": str(outputs.folder)}


def _protocol(args: argparse.Namespace) -> Protocol:
    from QSMSeparationLib.simulation.protocol import Protocol
    from QSMSeparationLib.simulation.simulate import STANDARD_SPIN_ECHO_S

    if len(args.voxel) not in (1, 3):
        raise InputError(f"--voxel takes one size or three, got {len(args.voxel)}")
    voxel = tuple(args.voxel * 3 if len(args.voxel) == 1 else args.voxel)
    spin_echo = args.spin_echo
    return Protocol(
        voxel_mm=voxel,
        echo_times_s=tuple(args.te) if args.te else Protocol.echo_times_s,
        spin_echo_times_s=() if spin_echo is None else tuple(spin_echo) or STANDARD_SPIN_ECHO_S,
        b0_tesla=args.b0,
        snr=args.snr,
        oblique_deg=args.oblique,
        dr_para=args.dr_para,
        dr_dia=args.dr_dia,
        seed=args.seed,
    )
