"""The command line: arguments, exit codes, progress. What commands do is in ``commands``."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from QSMSeparationLib import __version__, catalogue
from QSMSeparationLib.runtime.errors import Cancelled, InputError, QSMSeparationError
from QSMSeparationLib.runtime.memory import keep_freed_memory
from QSMSeparationLib.runtime.progress import (
    JsonSink,
    NullSink,
    Progress,
    Sink,
    TextSink,
    cancel_when_closed,
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and leaves with exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see '{self.prog} --help')")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code (0 done, 1 failed, 2 unusable input, 130 cancelled)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    sink: Sink = JsonSink() if _asks_for_json(arguments) else NullSink()
    try:
        options = build_parser().parse_args(arguments)
        sink = _sink(options)
        progress = Progress(sink)
        if options.progress == "json" and _stdin_is_pipe():
            cancel_when_closed(sys.stdin, progress)
        return _run(options, progress)
    except QSMSeparationError as error:
        sink.error(_one_line(error))
        return error.exit_code
    except KeyboardInterrupt:
        sink.error("cancelled")
        return Cancelled.exit_code
    except BrokenPipeError:
        return 1
    except (MemoryError, OSError, RuntimeError, ValueError) as error:
        if os.environ.get("QSMSEP_DEBUG"):
            raise
        reason = "out of memory; use a smaller scan" if isinstance(error, MemoryError) else error
        sink.error(f"failed: {_one_line(reason)} (set QSMSEP_DEBUG=1 for the full trace)")
        return 1


def _run(options: argparse.Namespace, progress: Progress) -> int:
    from QSMSeparationLib.cli import commands

    keep_freed_memory()
    outputs = getattr(commands, options.command)(options, progress)
    if outputs is not None:
        progress.sink.finish(outputs)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="qsmsep",
        description="Susceptibility source separation of gradient-echo MRI. Research use only.",
    )
    parser.add_argument("--version", action="version", version=f"qsmsep {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_run(commands)
    _add_separate(commands)
    _add_invert(commands)
    _add_lesions(commands)
    _add_compare(commands)
    _add_simulate(commands)
    _add_evaluate(commands)
    _add_train(commands)
    _add_methods(commands)
    return parser


def _command(commands: argparse._SubParsersAction, name: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--progress", choices=("auto", "json", "none"), default="auto", help="how progress is shown"
    )
    return parser


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--name", default="sub-01", metavar="sub-XX", help="BIDS name of the subject"
    )


def _add_methods_options(parser: argparse.ArgumentParser, separation: bool = True) -> None:
    names = {
        stage: [m.name for m in catalogue.methods(stage)] for stage in ("inversion", "separation")
    }
    if separation:
        parser.add_argument(
            "--method", default="", metavar="NAME",
            help=f"separation: {', '.join(names['separation'])}; default: by what is known of R2'",
        )  # fmt: skip
        parser.add_argument(
            "--inversion", default=catalogue.DEFAULT_INVERSION, metavar="NAME",
            help=f"field to net chi: {', '.join(names['inversion'])}",
        )  # fmt: skip
    for source in ("para", "dia"):
        parser.add_argument(
            f"--dr-{source}", type=float, default=114.0, metavar="HZ_PER_PPM",
            help=f"relaxivity of chi{'+' if source == 'para' else '-'} at 3 T (default 114)",
        )  # fmt: skip
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="PARAMETER=VALUE",
        help="parameter of a method (see 'qsmsep methods'); may be repeated",
    )  # fmt: skip
    if separation:
        parser.add_argument("--lesions", type=Path, metavar="SEG", help="lesion segmentation")
        parser.add_argument(
            "--weights", type=Path, metavar="FILE.pt",
            help="own weights of the separation network, their model card (.json) beside them",
        )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="write intermediate maps too")


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "demo", "simulate a head with MS lesions, reconstruct it, measure, draw a picture"
    )
    parser.add_argument("out", nargs="?", type=Path, default=Path("demo"), metavar="OUT")
    parser.add_argument("--seed", type=_seed, default=1, help="which person (default 1)")
    parser.add_argument(
        "--voxel", type=float, default=1.5, metavar="MM", help="voxel size (default 1.5)"
    )
    parser.add_argument(
        "--open", action="store_true", help="open the report in the browser, if there is a desktop"
    )
    _add_outputs(parser)
    _add_methods_options(parser)


def _add_run(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "run", "a BIDS or DICOM folder to chi+, chi- and net chi")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="BIDS folder or DICOM folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for sub-XX/anat/...")
    parser.add_argument("--mask", type=Path, metavar="M", help="brain mask on the grid of the scan")
    _add_outputs(parser)
    parser.set_defaults(name=None)
    _add_methods_options(parser)


def _add_separate(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "separate", "maps made elsewhere to chi+, chi- and net chi")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the maps")
    parser.add_argument("--field", type=Path, metavar="F", help="local field in ppm")
    parser.add_argument(
        "--qsm", type=Path, metavar="Q", help="net susceptibility in ppm (no inversion)"
    )
    parser.add_argument("--r2prime", type=Path, metavar="R", help="R2' in Hz")
    parser.add_argument("--r2star", type=Path, metavar="S", help="R2* in Hz")
    parser.add_argument("--r2", type=Path, metavar="R2", help="R2 in Hz, for R2' = R2* - R2")
    parser.add_argument("--mask", type=Path, required=True, metavar="M", help="brain mask")
    parser.add_argument(
        "--b0", type=float, default=3.0, metavar="T", help="field strength (default 3)"
    )
    _add_outputs(parser)
    _add_methods_options(parser)


def _add_invert(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "invert", "local field to net chi (QSM)")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the map")
    parser.add_argument("--field", type=Path, required=True, metavar="F", help="local field in ppm")
    parser.add_argument("--mask", type=Path, required=True, metavar="M", help="brain mask")
    parser.add_argument("--r2star", type=Path, metavar="S", help="R2* in Hz, for its borders (tv)")
    parser.add_argument(
        "--method", dest="inversion", required=True, metavar="NAME", help="inversion"
    )
    parser.add_argument(
        "--b0", type=float, default=3.0, metavar="T", help="field strength (default 3)"
    )
    _add_outputs(parser)
    _add_methods_options(parser, separation=False)


def _add_lesions(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "lesions", "classify lesions in chi+ and chi-")
    add = parser.add_argument
    add("out", type=Path, metavar="OUT.csv", help="the lesion table")
    add("--para", type=Path, required=True, metavar="P", help="chi+ in ppm, not negative")
    add("--dia", type=Path, required=True, metavar="D", help="chi- in ppm, not positive")
    add("--lesions", type=Path, required=True, metavar="SEG", help="lesion segmentation")
    add("--net", type=Path, metavar="N", help="net chi in ppm (default: their sum)")
    add("--mask", type=Path, metavar="M", help="brain mask (default: where chi+ is not 0)")
    add("--dr-para", type=float, default=114.0, metavar="HZ_PER_PPM", help="relaxivity of chi+")
    add("--dr-dia", type=float, default=114.0, metavar="HZ_PER_PPM", help="relaxivity of chi-")
    add("--overwrite", action="store_true", help="replace files that exist")


def _add_compare(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "compare", "agreement of two results of the same patient")
    add = parser.add_argument
    add("first", type=Path, metavar="A", help="folder of the first result")
    add("second", type=Path, metavar="B", help="folder of the second result")
    add("out", type=Path, metavar="OUT", help="folder for comparison.csv and comparison.json")
    add("--lesions", type=Path, metavar="SEG", help="segmentation (default: that of the results)")
    add("--visits", action="store_true", help="two visits: match lesions by overlap")
    add("--overwrite", action="store_true", help="replace files that exist")


def _add_simulate(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "simulate", "write a simulated scan (BIDS) with its truth")
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder for the dataset")
    add("--seed", type=_seed, default=1, help="which person (default 1)")
    add(
        "--voxel",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="MM",
        help="one size, or three (i j k)",
    )
    add("--b0", type=float, default=3.0, metavar="T", help="field strength (default 3)")
    add("--te", type=float, nargs="+", metavar="S", help="echo times in seconds")
    add(
        "--spin-echo",
        type=float,
        nargs="*",
        metavar="S",
        help="spin-echo times; none: a standard train",
    )
    add(
        "--snr",
        type=float,
        default=100.0,
        help="brain magnitude of echo 1 over noise (default 100)",
    )
    add("--oblique", type=float, default=0.0, metavar="DEG", help="tilt of the slices")
    add("--lesion-count", type=int, default=16, metavar="N", help="MS lesions (default 16)")
    add(
        "--lesion-masks",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="real lesion shapes",
    )
    add("--labels", type=Path, metavar="FILE", help="SynthSeg label map to use as the anatomy")
    add("--age", type=float, metavar="YEARS", help="age (drawn when missing)")
    add(
        "--move-values",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="move the mean of every tissue by up to this share (0.3: another value table)",
    )
    add("--phase", choices=("rad", "integer"), default="rad", help="unit of the phase")
    add(
        "--dr-para",
        type=float,
        default=114.0,
        metavar="HZ_PER_PPM",
        help="relaxivity of chi+ at 3 T",
    )
    add(
        "--dr-dia",
        type=float,
        default=114.0,
        metavar="HZ_PER_PPM",
        help="relaxivity of chi- at 3 T",
    )
    _add_outputs(parser)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "evaluate", "run methods over simulated cases and score them")
    add = parser.add_argument
    add("cases", type=Path, metavar="CASES", help="a simulated dataset, or a folder of them")
    add("out", type=Path, metavar="OUT", help="folder for scores.csv, scores.md and scores.png")
    add("--methods", nargs="+", metavar="NAME", help="separation methods (default: all)")
    add("--inversions", nargs="+", metavar="NAME", help="inversion methods (default: all)")
    add("--inputs", choices=("oracle", "pipeline"), default="oracle",
        help="true local field and R2' with noise, or everything from the raw scan")  # fmt: skip
    add("--r2prime-sd", type=float, default=2.0, metavar="HZ", help="noise of the oracle R2' (2)")
    add("--field-sd", type=float, default=2.0, metavar="PPB", help="noise of the oracle field (2)")
    add("--seed", type=_seed, default=0, help="of that noise")
    _add_outputs(parser)
    _add_methods_options(parser)


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "train", "train a network on simulated heads, or go on with a run")
    parser.add_argument("network", metavar="NAME", help="chi-sepnet, susep-net, qsmnet, ...")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of the run")
    parser.add_argument(
        "--pool", type=Path, required=True, metavar="DIR", help="folder for the training heads"
    )
    parser.add_argument(
        "--label-maps", type=Path, nargs="*", default=[], metavar="FILE",
        help="whole-head label maps (SynthSeg numbers) to train on, beside drawn heads",
    )  # fmt: skip
    parser.add_argument(
        "--people", type=int, default=8, metavar="N", help="drawn people to train on (default 8)"
    )
    parser.add_argument(
        "--heads", type=int, default=60, metavar="N", help="training heads to make (default 60)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N",
        help="processes that make heads (default 1; 0: use what the pool has)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, help="optimiser steps (default: by the recipe)")
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="stop after this time (0: no limit)"
    )
    parser.add_argument("--batch", type=int, help="patches a step")
    parser.add_argument("--patch", type=int, help="side of a patch in voxels")
    parser.add_argument("--rate", type=float, help="highest learning rate")
    parser.add_argument("--seed", type=_seed, default=0, help="seed of the run")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    parser.add_argument(
        "--without", action="append", default=[], choices=("contrast", "critic", "dr", "lesions"),
        help="leave out the contrastive term, the critic, the knowledge of Dr, or the weight of lesions",
    )  # fmt: skip
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute"
    )
    parser.add_argument(
        "--held-out", type=Path, metavar="DIR",
        help="pool of heads that are not trained on, for the scores in curves.csv",
    )  # fmt: skip
    parser.add_argument("--start", type=Path, metavar="FILE.pt", help="weights to start from")
    parser.add_argument(
        "--export", type=Path, metavar="FILE.pt", help="write the trained weights and their card"
    )


def _add_methods(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "methods", "list all methods with their inputs and parameters")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _seed(text: str) -> int:
    """Parse a seed: a whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no seed; give a whole number, 0 or more")
    return int(text)


def _sink(options: argparse.Namespace) -> Sink:
    return {"json": JsonSink, "none": NullSink, "auto": TextSink}[options.progress]()


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Tell whether an error in the arguments themselves is to be told as JSON."""
    joined = " ".join(arguments)
    return "--progress json" in joined or "--progress=json" in joined


def _stdin_is_pipe() -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False


def _one_line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else text[:397] + "..."
