"""What a worker does with one scan: claim it, run it, keep its record and thumbnail."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from QSMSeparationLib.cohort.claims import Claimed, claim
from QSMSeparationLib.cohort.gpus import device_here
from QSMSeparationLib.cohort.records import (
    DONE,
    FAILED,
    Record,
    read_record,
    reason_to_run,
    write_record,
)
from QSMSeparationLib.cohort.scans import ScanTask
from QSMSeparationLib.cohort.summary import summary_of
from QSMSeparationLib.cohort.thumbnails import write_thumbnail
from QSMSeparationLib.io.derivatives import anat_folder
from QSMSeparationLib.io.description import describe_results
from QSMSeparationLib.io.files import hashed_once, sha256
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.runtime.errors import Cancelled
from QSMSeparationLib.runtime.failures import FAILURES, one_line_reason
from QSMSeparationLib.runtime.memory import keep_freed_memory
from QSMSeparationLib.runtime.progress import Progress

INTERRUPTED, ELSEWHERE = "interrupted", "elsewhere"
"""Not failed by itself, so that it is tried again; and done, or being done, by another run."""

_OF_THE_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE
}  # fmt: skip
"""Errors that say nothing about the scan."""


@dataclass(frozen=True)
class Job:
    """What is the same for all scans of a run.

    Parameters
    ----------
    out : str
        The folder of all outputs.
    options : Options
        Methods and their parameters.
    recipe : dict
        From :func:`QSMSeparationLib.cohort.records.recipe_of`.
    keep : bool
        Whether intermediate maps are written, too.
    threads : int
        Threads of a worker.
    retry : bool
        Whether scans that failed are tried again.
    """

    out: str
    options: Options
    recipe: Mapping[str, Any]
    keep: bool = False
    threads: int = 1
    retry: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a scan in this run."""

    name: str
    status: str
    reason: str = ""
    seconds: float = 0.0


def work(task: ScanTask, job: Job, progress: Progress | None = None) -> Outcome:
    """Run one scan, unless another run has done it or is at it; tells failures, raises none.

    Parameters
    ----------
    task : ScanTask
        The scan.
    job : Job
        How.
    progress : Progress, optional
        Receives the stages.
    """
    out = Path(job.out)
    try:
        with claim(out, task.name), hashed_once():
            record = read_record(out, task.name)
            if not reason_to_run(record, task.inputs, job.recipe, Path(task.root), out, job.retry):
                return Outcome(task.name, ELSEWHERE, "another run has done it")
            _prepare_process(job.threads)
            with device_here(job.options.device) as device:
                here = replace(job, options=replace(job.options, device=device))
                return _work(task, here, record, progress or Progress())
    except (Cancelled, BrokenPipeError):
        raise
    except Claimed as other:
        return Outcome(task.name, ELSEWHERE, str(other))
    except FAILURES as error:  # even the claim could not be written
        return Outcome(task.name, INTERRUPTED, one_line_reason(error))


def _work(task: ScanTask, job: Job, before: Record | None, progress: Progress) -> Outcome:
    """Run a scan that is claimed and write its record."""
    # Here, for whoever only plans and hands out: torch takes seconds to start.
    from QSMSeparationLib.cohort.one_scan import process_scan

    out, began = Path(job.out), time.monotonic()
    facts: dict[str, Any] = {"recipe": job.recipe}
    try:
        facts["inputs"] = {
            name: dict(stamp) | {"sha256": sha256(Path(task.root) / name)}
            for name, stamp in task.inputs.items()
        }
        writer = Outputs(out, overwrite=True).at(anat_folder(task.name))
        found = task.found()
        written = process_scan(found, job.options, task.label_paths, writer, job.keep, progress)
        describe_results(out)
        facts["summary"] = summary_of(written, found)
        files = [*writer.published, write_thumbnail(written.result, out, task.name)]
        facts["outputs"] = tuple(sorted(p.relative_to(out).as_posix() for p in files))
        _remove_others(before, facts["outputs"], out)
        status, reason = DONE, ""
    except (Cancelled, BrokenPipeError):
        raise
    except FAILURES as error:
        status, reason = FAILED, one_line_reason(error)
        if _is_of_the_machine(error):
            return Outcome(task.name, INTERRUPTED, reason, time.monotonic() - began)
    seconds = time.monotonic() - began
    write_record(out, Record(task.name, status, reason, seconds=round(seconds, 2), **facts))
    return Outcome(task.name, status, reason, seconds)


def _remove_others(before: Record | None, outputs: tuple[str, ...], out: Path) -> None:
    """Remove what an earlier run with other options has left of this scan."""
    for name in before.outputs if before else ():
        if name not in outputs:
            (out / name).unlink(missing_ok=True)


def _is_of_the_machine(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    chain = [error, error.__cause__, error.__context__]
    return any(isinstance(one, OSError) and one.errno in _OF_THE_MACHINE for one in chain)


def _prepare_process(threads: int) -> None:
    """Make a process of the cluster what that of the command line is: its threads, its memory."""
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()
