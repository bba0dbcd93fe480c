"""A pool of small training heads for tests: a ball of white matter with a nucleus and a vein."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from QSMSeparationLib.training import anatomies
from QSMSeparationLib.training.pool import fill


def tiny_person() -> anatomies.FineAnatomy:
    """A ball of white matter with a nucleus and a vein, at 0.5 mm."""
    n = 88
    axis = np.arange(n) - n / 2
    k, j, i = np.meshgrid(axis, axis, axis, indexing="ij")
    number = np.zeros((n, n, n), dtype=np.uint8)
    number[k**2 + j**2 + i**2 < 36**2] = anatomies.LABEL_NUMBERS.index(2)
    number[(k - 6) ** 2 + j**2 + i**2 < 10**2] = anatomies.LABEL_NUMBERS.index(13)
    number[(j + 20) ** 2 + i**2 + 0 * k < 3**2] *= 0
    return anatomies.FineAnatomy("tiny", number)


def fill_pool(folder: Path, heads: int) -> Path:
    """Draw heads of the tiny person; returns the folder of the pool."""
    np.save(folder / "tiny.npy", tiny_person().index)
    fill(folder / "heads", [folder / "tiny.npy"], 0, range(heads), slots=heads)
    return folder / "heads"
