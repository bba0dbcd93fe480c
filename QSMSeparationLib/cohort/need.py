"""What a scan needs: memory and time from the size of its images, and how many fit a machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from QSMSeparationLib.cohort.scans import ScanTask
from QSMSeparationLib.io._nifti_header import HEADER_BYTES, open_nifti, parse_header
from QSMSeparationLib.runtime.memory import available_gib

_BASE_BYTES, _BYTES_PER_VOXEL = 0.75 * 2**30, 260.0
_BASE_S, _S_PER_VOXEL = 5.0, 2.8e-6
"""Peak memory and seconds on two cores: 1003 MiB and 8.7 s at 128x128x96, 3050 MiB and 33 s at
256x224x176, five echoes and a spin echo (docs/results/times.json), with a margin of a tenth."""

_UNKNOWN_VOXELS = 256 * 224 * 176


@dataclass(frozen=True)
class Need:
    """What one scan needs on two cores.

    Parameters
    ----------
    memory_bytes : float
        Peak memory.
    seconds : float
        Time.
    """

    memory_bytes: float
    seconds: float


@dataclass(frozen=True)
class Crew:
    """How many scans at a time, and with what.

    Parameters
    ----------
    workers, threads : int
        Processes, and threads of each.
    memory_bytes : float
        Memory of each.
    """

    workers: int
    threads: int
    memory_bytes: float


def need_of(tasks: Sequence[ScanTask]) -> Need:
    """Return what the largest scan needs; of large files, not of all, the header is read."""
    largest = max(tasks, key=lambda task: sum(one["size"] for one in task.inputs.values()))
    voxels = max((_voxels(Path(largest.root) / name) for name in largest.inputs), default=0)
    voxels = voxels or _UNKNOWN_VOXELS
    return Need(_BASE_BYTES + voxels * _BYTES_PER_VOXEL, _BASE_S + voxels * _S_PER_VOXEL)


def crew_for(
    need: Need, scans: int, workers: int = 0, threads: int = 0, on_gpu: bool = False
) -> Crew:
    """Return as many workers as cores, memory and scans allow, unless they are given.

    A GPU is given to one scan at a time: its memory is not known to hold two.
    """
    cores = available_cores()
    fit = 1 if on_gpu else max(1, int(0.8 * available_memory() / need.memory_bytes))
    workers = workers or max(1, min(cores, fit, scans))
    return Crew(workers, threads or max(1, cores // workers), need.memory_bytes)


def available_cores() -> int:
    """Return the cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def available_memory() -> float:
    """Return free memory in bytes; 8 GB where the system does not tell."""
    return 2.0**30 * (available_gib() or 8.0)


def _voxels(file: Path) -> int:
    """Return the voxels of one image of a file; 0 for other files."""
    if not file.name.endswith((".nii", ".nii.gz")):
        return 0
    try:
        with open_nifti(file) as stream:
            header = parse_header(stream.read(HEADER_BYTES))
    except (OSError, EOFError, ValueError):
        return 0
    return 0 if header is None else header.volume_voxels
