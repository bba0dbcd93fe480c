"""Who does the work: this process one scan after the other, or the workers of dask.distributed.

Only paths and options travel. Tasks are handed out a few at a time, so that a scheduler never holds
more than its workers need next, whatever the size of the cohort.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from QSMSeparationLib.cohort.cluster import connected
from QSMSeparationLib.cohort.gpus import GPU
from QSMSeparationLib.cohort.need import Crew
from QSMSeparationLib.cohort.scans import ScanTask
from QSMSeparationLib.cohort.worker import INTERRUPTED, Job, Outcome, work
from QSMSeparationLib.runtime.errors import QSMSeparationError
from QSMSeparationLib.runtime.progress import Progress

if TYPE_CHECKING:
    from distributed import Client, Future

Heard = Callable[[Outcome], None]

_LOST_S = 30.0
"""A scheduler that has not answered for this long is lost."""
_LOST = "the scheduler was lost; start the same command again: what is done stays done"

_GIVEN_UP = ("cancelled", "lost")
"""States of the futures of a client that has lost its scheduler."""
_AHEAD = 2
"""Tasks handed out per worker."""


def run_here(tasks: Sequence[ScanTask], job: Job, heard: Heard, progress: Progress) -> None:
    """Run the scans one after the other in this process."""
    progress.expect_scans(len(tasks))
    for task in tasks:
        heard(work(task, job, progress.part()))


def run_by_workers(
    tasks: Sequence[ScanTask],
    job: Job,
    crew: Crew,
    heard: Heard,
    progress: Progress,
    scheduler: str = "",
) -> None:
    """Run the scans on the workers of a cluster.

    Parameters
    ----------
    tasks : sequence of ScanTask
        The scans.
    job : Job
        How.
    crew : Crew
        Workers to start; those of a given scheduler are there already.
    heard : callable
        Told of every scan when it is done.
    progress : Progress
        Asked whether to stop; told of the dashboard.
    scheduler : str
        Address of a scheduler; empty to start workers on this machine.
    """
    with connected(crew, scheduler) as client:
        progress.message(f"dashboard: {client.dashboard_link}")
        resources = {GPU: 1} if job.options.device == "cuda" else None
        if scheduler and (said := _said_of_gpus(client, job.options.device)):
            progress.message(said)
        _hand_out(tasks, job, client, resources, heard, progress)


def _hand_out(
    tasks: Sequence[ScanTask],
    job: Job,
    client: Client,
    resources: dict[str, int] | None,
    heard: Heard,
    progress: Progress,
) -> None:
    """Keep the workers busy until every scan is told of."""
    done: queue.SimpleQueue[Future] = queue.SimpleQueue()
    waiting, out = iter(tasks), {}

    def submit_next() -> None:
        task = next(waiting, None)
        if task is None:
            return
        future = client.submit(
            work, task, job, key=f"{task.name}-{time.time_ns()}", pure=False, retries=0,
            resources=resources,
        )  # fmt: skip
        out[future.key] = task.name
        future.add_done_callback(done.put)

    workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    for _ in range(_AHEAD * workers):
        submit_next()
    answered = time.monotonic()
    while out:
        progress.check()
        try:
            future = done.get(timeout=0.5)
        except queue.Empty:
            answered = _still_there(client, answered)
            continue
        if future.status in _GIVEN_UP:
            raise QSMSeparationError(_LOST)
        answered = time.monotonic()
        name = out.pop(future.key)
        try:
            outcome = _outcome(future, name)
        except (OSError, CancelledError):  # lost between the end of the scan and this question
            raise QSMSeparationError(_LOST) from None
        heard(outcome)
        future.release()
        submit_next()


def _said_of_gpus(client: Client, device: str) -> str:
    """Return who has a GPU, in a line, where that matters; a scan that needs one may wait for it."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    with_gpu = sum(one["resources"].get(GPU, 0) >= 1 for one in workers)
    if device == "cuda" and not with_gpu:
        return "no worker announces a GPU (dask worker --resources GPU=1); the scans wait for one"
    if device == "auto":
        return (
            f"{with_gpu} of {len(workers)} workers announce a GPU; the others use their processor"
        )
    return ""


def _outcome(future: Future, name: str) -> Outcome:
    """Return what a task gave; a worker that died in it is no fault of the scan."""
    if future.status == "finished":
        return future.result()
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        return Outcome(name, INTERRUPTED, "its worker died twice; is there memory for a scan?")
    reason = " ".join(str(error).split())[:200]
    return Outcome(name, INTERRUPTED, f"the cluster lost it ({reason})")


def _still_there(client: Client, answered: float) -> float:
    """Return when the scheduler was there last; raise when it is lost."""
    if client.status == "running":
        return time.monotonic()
    if client.status == "closed" or time.monotonic() - answered > _LOST_S:
        raise QSMSeparationError(_LOST)
    return answered
