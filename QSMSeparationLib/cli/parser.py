"""The command line: exit codes and progress. Every command has a file of its own beside this one."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Sequence
from typing import NoReturn

from QSMSeparationLib import __version__, catalogue
from QSMSeparationLib.cli import (
    anatomy,
    cohort,
    compare,
    demo,
    dicom,
    evaluate,
    invert,
    lesions,
    methods,
    regions,
    run,
    separate,
    simulate,
    train,
)
from QSMSeparationLib.runtime.errors import Cancelled, InputError, QSMSeparationError
from QSMSeparationLib.runtime.failures import FAILURES, one_line_reason
from QSMSeparationLib.runtime.memory import keep_freed_memory
from QSMSeparationLib.runtime.progress import (
    JsonSink,
    NullSink,
    Progress,
    Sink,
    TextSink,
    cancel_when_closed,
)

# In the order of ``qsmsep --help``: a newcomer's first command first.
COMMANDS = (
    demo, run, cohort, separate, invert, lesions, regions, anatomy, compare, dicom, simulate, evaluate, train,
    methods,
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and leaves with exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see '{self.prog} --help')")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code (0 done, 1 failed, 2 unusable input, 130 cancelled)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    sink: Sink = JsonSink() if _asks_for_json(arguments) else NullSink()
    sink.start()
    try:
        options = build_parser().parse_args(arguments)
        sink = _sink(options)
        progress = Progress(sink, options.command)
        if options.progress == "json" and _stdin_is_pipe():
            cancel_when_closed(sys.stdin, progress)
        return _run(options, progress)
    except KeyboardInterrupt:
        sink.error("cancelled")
        return Cancelled.exit_code
    except BrokenPipeError:
        return 1
    except FAILURES as error:
        sink.error(one_line_reason(error))
        return error.exit_code if isinstance(error, QSMSeparationError) else 1


def _run(options: argparse.Namespace, progress: Progress) -> int:
    keep_freed_memory()
    for problem in catalogue.plug_in_problems():
        progress.message(problem)
    outputs = options.body(options, progress)
    if outputs is not None:
        progress.sink.finish(outputs, progress.failed)
    return 1 if progress.failed else 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="qsmsep",
        description="Susceptibility source separation of gradient-echo MRI. Research use only.",
    )
    parser.add_argument("--version", action="version", version=f"qsmsep {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


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
