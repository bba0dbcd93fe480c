"""Which scans get a GPU on a cluster: as many at a time as a worker announces."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Worker

GPU = "GPU"
"""What a worker announces that has a GPU to give (``dask worker --resources GPU=1``)."""

_lock = threading.Lock()
_given: Counter[str] = Counter()
"""GPUs that scans have now, by the address of the worker: one in a process, but in tests."""


@contextmanager
def device_here(asked: str) -> Iterator[str]:
    """Give the device of one scan for a block.

    ``auto`` means a GPU on a worker that announces one which is free, and the processor on all
    others, since several workers of a node would share its GPU without knowing of each other.
    Elsewhere, and when it was asked for by name, it is what was asked for.
    """
    worker = _worker_here()
    if asked != "auto" or worker is None:
        yield asked
        return
    taken = _take(worker)
    try:
        yield "auto" if taken else "cpu"
    finally:
        if taken:
            with _lock:
                _given[worker.address] -= 1


def _take(worker: Worker) -> bool:
    """Take a GPU of a worker that neither a task that asked for one nor another scan has."""
    with _lock:
        free = worker.state.available_resources.get(GPU, 0) - _given[worker.address]
        if free >= 1:
            _given[worker.address] += 1
    return free >= 1


def _worker_here() -> Worker | None:
    """Return the worker of dask.distributed that runs this; None outside of one."""
    distributed = sys.modules.get("distributed")  # whoever has not imported it is none
    if distributed is None:
        return None
    try:
        return distributed.get_worker()
    except ValueError:
        return None
