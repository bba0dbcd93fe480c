"""The workers of dask.distributed: those of a scheduler that is there, or some on this machine."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any

from QSMSeparationLib.cohort.gpus import GPU
from QSMSeparationLib.cohort.need import Crew
from QSMSeparationLib.runtime.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

_MEMORY_MARGIN = 2.0
"""A worker is stopped at this many times the memory that its scan should need."""

_ONE_THREAD: dict[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
"""What dask, too, sets before it starts a worker: libraries read it when they are imported. How many
threads torch has is set for every scan."""

_QUIET: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 1,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.client.heartbeat": "5s",
    "distributed.logging.distributed": "error",
}


@contextmanager
def connected(crew: Crew, scheduler: str = "") -> Iterator[Client]:
    """Connect to a scheduler, or start workers on this machine for the time of a block.

    Parameters
    ----------
    crew : Crew
        Workers to start; those of a given scheduler are there already.
    scheduler : str
        Address of a scheduler; empty to start workers on this machine.
    """
    dask = _library("dask")
    own = {} if scheduler else _imported_once()
    distributed = _library("distributed")
    with dask.config.set(_QUIET | own):
        if scheduler:
            try:
                client = distributed.Client(scheduler, timeout="20s")
            except (OSError, ValueError) as error:
                reason = " ".join(str(error).split())[:160]
                raise InputError(f"no scheduler answers at {scheduler} ({reason})") from None
            with client:
                yield client
            return
        with (
            distributed.LocalCluster(
                n_workers=crew.workers,
                threads_per_worker=1,
                memory_limit=int(_MEMORY_MARGIN * crew.memory_bytes),
                resources={GPU: 1},  # the crew says how many share it
                dashboard_address="127.0.0.1:0",
                silence_logs=50,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def _imported_once() -> dict[str, str]:
    """Let one process import what workers need, and all workers be copies of it.

    It imports beside this one, which goes on. Returns dask's settings for it: none where systems
    can't copy a process that has imported numerical libraries, so that each worker imports them.
    """
    if sys.platform != "linux":
        return {}
    os.environ.update(_ONE_THREAD)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["distributed", "QSMSeparationLib.cohort.one_scan"])
    forkserver.ensure_running()
    return {"distributed.worker.multiprocessing-method": "forkserver"}


def _library(name: str) -> Any:
    """Import an optional library, or say how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            "several workers need dask.distributed: pip install 'qsm-separation[cluster]', "
            "or choose --workers 1"
        ) from None
