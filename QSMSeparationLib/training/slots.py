"""Numbered files in a limited number of slots, written by worker processes.

Workers write file after file and start over at the first slot when all are filled, so a trainer
that reads the folder sees the latest. Each file is moved into its place when it is complete.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import torch

Fill = Callable[[Path, Sequence[Path], int, Sequence[int], int], None]
"""``fill(folder, people, seed, numbers, slots)`` draws what is missing of some numbers."""


def fill_slots(
    folder: Path,
    kind: str,
    suffix: str,
    numbers: Sequence[int],
    slots: int,
    write: Callable[[int, BinaryIO], None],
) -> None:
    """Write the files of ``numbers`` that are not there yet; older ones leave their slots.

    Parameters
    ----------
    folder : Path
        Where to.
    kind, suffix : str
        What the files hold, as their names say it, and how the names end: ``.npy``.
    numbers : sequence of int
        Numbers of the files.
    slots : int
        Number of files that are kept.
    write : callable
        ``write(number, file)`` draws the content and writes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        slot = f"slot{number % slots:03d}-{kind}"
        target = folder / f"{slot}{number:05d}{suffix}"
        if target.exists():
            continue
        partial = target.with_suffix(".part")
        with partial.open("wb") as file:
            write(number, file)
        partial.rename(target)
        for old in folder.glob(f"{slot}*{suffix}"):
            if old != target and int(old.stem.split(f"-{kind}")[1]) < number:
                old.unlink()


def start_workers(
    fill: Fill,
    folder: Path,
    people: Sequence[Path],
    seed: int,
    slots: int,
    count: int,
    workers: int,
) -> list[multiprocessing.Process]:
    """Start processes that draw ``count`` files between them, then end."""
    context = multiprocessing.get_context("spawn")
    started = []
    for worker in range(workers):
        numbers = range(worker, count, workers)
        process = context.Process(
            target=_work, args=(fill, folder, list(people), seed, numbers, slots), daemon=True
        )
        process.start()
        started.append(process)
    return started


def _work(
    fill: Fill, folder: Path, people: list[Path], seed: int, numbers: range, slots: int
) -> None:
    torch.set_num_threads(1)
    fill(folder, people, seed, numbers, slots)
