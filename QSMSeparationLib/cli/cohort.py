"""``qsmsep cohort``: all scans of a BIDS dataset, and the tables over them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from QSMSeparationLib.cli.arguments import (
    Commands,
    add_background,
    add_command,
    add_keep,
    add_mask_method,
    add_method_options,
    add_regions,
    chosen_options,
)
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

if TYPE_CHECKING:
    from QSMSeparationLib.cohort.need import Crew, Need
    from QSMSeparationLib.cohort.scans import Chosen, ScanTask, Todo
    from QSMSeparationLib.cohort.worker import Job, Outcome


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "cohort", "all scans of a BIDS dataset, and tables over them")
    parser.add_argument("source", type=Path, metavar="BIDS", help="a BIDS dataset")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the derivatives")
    parser.add_argument("level", choices=("participant", "group"),
        help="participant: run scans; group: tables and cohort.html over what is done")  # fmt: skip
    _add_choice(parser)
    _add_work(parser)
    add_mask_method(parser)
    add_background(parser)
    add_method_options(parser)
    add_regions(parser)
    add_keep(parser)
    parser.set_defaults(body=run, own_parser=parser)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--participant-label", nargs="+", default=[], metavar="LABEL", help="only these (01 02)")
    option("--session-label", nargs="+", default=[], metavar="LABEL", help="only these sessions")
    option("--lesions-from", type=Path, metavar="DERIVATIVES",
        help="lesion segmentations: sub-XX_..._desc-lesions_dseg.nii.gz, or label-lesion_mask")  # fmt: skip
    option("--tissue-from", type=Path, metavar="DERIVATIVES",
        help="FreeSurfer or SynthSeg labels: sub-XX_..._desc-aseg_dseg.nii.gz")  # fmt: skip
    option("--retry", action="store_true", help="try scans again that failed")
    option("--visits", action="store_true",
        help="group: compare the lesions of consecutive sessions, which opens the maps")  # fmt: skip
    option("--dry-run", action="store_true", help="say what would be done, and about how long")
    option("-w", "--work-dir", type=Path, metavar="DIR", help="accepted; nothing is kept there")
    option("--skip-bids-validation", action="store_true",
        help="accepted: what can't be read is told scan by scan")  # fmt: skip


def _add_work(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("who does the work").add_argument
    option("--workers", type=int, default=0, metavar="N",
        help="scans at a time on this machine (default: as cores and memory allow)")  # fmt: skip
    option("--threads", type=int, default=0, metavar="N", help="threads of a worker")
    option("--scheduler", default="", metavar="ADDRESS",
        help="dask scheduler to use in place of this machine: tcp://host:8786")  # fmt: skip
    option("--sbatch", type=Path, metavar="FILE", help="write a script for SLURM, and run nothing")
    option("--at-once", type=int, default=20, metavar="N",
        help="participants at a time on SLURM (default 20)")  # fmt: skip


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Run the scans that are not done yet, or write the tables over those that are."""
    if not args.source.is_dir():
        raise InputError(f"{args.source} does not exist; give a BIDS dataset")
    if args.level == "group":
        from QSMSeparationLib.cohort.page import write_group

        return write_group(args.source, args.out, progress, args.visits)
    return _participants(args, progress)


def _participants(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    from QSMSeparationLib.cohort.records import recipe_of
    from QSMSeparationLib.cohort.scans import failed_before, find_tasks, what_to_do
    from QSMSeparationLib.cohort.worker import Job

    options = chosen_options(args)
    root, out = args.source.absolute(), args.out.absolute()
    recipe = recipe_of(options, args.keep)
    with progress.stage("finding scans"):
        tasks = find_tasks(root, _chosen(args))
        todo = what_to_do(tasks, recipe, out, args.retry)
    left = [one for one in todo if one.reason]
    if failed := failed_before(todo):
        progress.message(
            f"{len(failed)} scans failed before, such as {failed[0]}; --retry tries them again"
        )
    progress.message(f"{len(left)} of {len(todo)} scans are to be run")
    if not left:
        return {}
    if args.dry_run:
        return _told(left, args, progress)
    if args.sbatch is not None:
        return _sbatch([one.task for one in left], args)
    job = Job(str(out), options, recipe, args.keep, retry=args.retry)
    return _run(left, job, args, progress)


def _chosen(args: argparse.Namespace) -> Chosen:
    from QSMSeparationLib.cohort.scans import Chosen

    return Chosen(
        tuple(label.removeprefix("sub-") for label in args.participant_label),
        tuple(label.removeprefix("ses-") for label in args.session_label),
        args.lesions_from,
        args.tissue_from,
        args.regions,
    )


def _run(
    left: Sequence[Todo], job: Job, args: argparse.Namespace, progress: Progress
) -> dict[str, str]:
    """Hand the scans to whoever does the work, and tell what came of them."""
    from QSMSeparationLib.cohort.engine import run_by_workers, run_here
    from QSMSeparationLib.cohort.need import need_of
    from QSMSeparationLib.cohort.records import DONE
    from QSMSeparationLib.cohort.worker import ELSEWHERE

    tasks = [one.task for one in left]
    crew = _crew(tasks, need_of(tasks), args)
    job = replace(job, threads=crew.threads)
    counts = dict.fromkeys((DONE, ELSEWHERE), 0)

    with progress.stage("scans") as report:
        report(0, len(tasks))

        def heard(outcome: Outcome) -> None:
            if outcome.status in counts:
                counts[outcome.status] += 1
                said = f"done in {outcome.seconds:.0f} s"
                progress.message(f"{outcome.name}: {outcome.reason or said}")
            else:
                progress.fail(outcome.name, outcome.reason)
            report(sum(counts.values()) + len(progress.failed), len(tasks))

        if crew.workers == 1 and not args.scheduler:
            run_here(tasks, job, heard, progress)
        else:
            progress.message(
                f"{crew.workers} workers of {crew.threads} threads and "
                f"{crew.memory_bytes / 2**30:.1f} GB each"
            )
            run_by_workers(tasks, job, crew, heard, progress, args.scheduler)
    return {"derivatives": str(args.out)} if counts[DONE] else {}


def _told(left: Sequence[Todo], args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Say what would be run, why, and about how long it takes."""
    from QSMSeparationLib.cohort.need import need_of

    tasks = [one.task for one in left]
    need = need_of(tasks)
    crew = _crew(tasks, need, args)
    minutes = len(left) * need.seconds / 60 * (2 / max(2, crew.workers * crew.threads))
    lines = [f"{one.task.name}: {one.reason}" for one in left]
    lines.append(
        f"about {minutes:.0f} min on {crew.workers} workers of {crew.threads} threads and "
        f"{crew.memory_bytes / 2**30:.1f} GB each"
    )
    progress.message("\n".join(lines))
    return {}


def _crew(tasks: Sequence[ScanTask], need: Need, args: argparse.Namespace) -> Crew:
    """Return who works."""
    from QSMSeparationLib.cohort.need import crew_for

    return crew_for(need, len(tasks), args.workers, args.threads, _on_gpu(args))


def _on_gpu(args: argparse.Namespace) -> bool:
    """Return whether a GPU of this machine is used; torch, slow to start, is asked only if it counts.

    The GPUs of a scheduler's nodes are theirs to share.
    """
    if args.scheduler or args.device == "cpu" or (args.workers and args.device == "auto"):
        return False
    from QSMSeparationLib.runtime.device import choose_device

    return choose_device(args.device).type != "cpu"


def _sbatch(tasks: Sequence[ScanTask], args: argparse.Namespace) -> dict[str, str]:
    """Write the script for SLURM."""
    from QSMSeparationLib.cohort.need import need_of
    from QSMSeparationLib.cohort.slurm import sbatch_script
    from QSMSeparationLib.io.outputs import Outputs

    cores = args.threads or 2
    source, out = str(args.source.absolute()), str(args.out.absolute())
    start = [sys.executable, "-m", "QSMSeparationLib", "cohort", source, out]
    script = sbatch_script(
        tasks,
        need_of(tasks),
        [*start, "participant", "--progress", "none", *_passed_on(args), "--workers", "1",
         "--threads", str(cores), "--participant-label"],
        [*start, "group", "--progress", "none", *(["--visits"] if args.visits else [])],
        args.out.absolute() / ".cohort" / "logs",
        cores,
        args.at_once,
    )  # fmt: skip
    outputs = Outputs(args.sbatch.absolute().parent)
    outputs.refuse_existing([args.sbatch.name])
    with outputs:
        outputs.text(args.sbatch.name, script, what="script")
    return outputs.written


_OWN = {"--sbatch", "--workers", "--threads", "--at-once", "--participant-label", "--scheduler",
        "--progress", "--dry-run", "-w", "--work-dir", "--visits"}  # fmt: skip
"""Options that an element of the array does not get."""


def _passed_on(args: argparse.Namespace) -> list[str]:
    """Return the options as they were given, but for those of the work, with absolute paths."""
    words: list[str] = []
    for action in args.own_parser._actions:
        if not action.option_strings or action.option_strings[-1] in _OWN or action.dest == "help":
            continue
        value = getattr(args, action.dest)
        if value == action.default or value is None:
            continue
        name = action.option_strings[-1]
        if isinstance(action, argparse._AppendAction):
            words += [word for one in value for word in (name, str(one))]
        elif value is True:
            words.append(name)
        else:
            values = value if isinstance(value, list) else [value]
            words += [name, *(str(v.absolute() if isinstance(v, Path) else v) for v in values)]
    return words
