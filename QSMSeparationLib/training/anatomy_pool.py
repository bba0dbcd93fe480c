"""Images of shapes on disk, each call with new contrasts, cut to boxes about the brain."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.axes import Box
from QSMSeparationLib.data.structures import FIRST_OF_BRAIN
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.training.anatomy_images import Random, draw_picture
from QSMSeparationLib.training.anatomy_shapes import WINDOW
from QSMSeparationLib.training.pool import PatchPlan


class ShapePool:
    """Images of the shapes that are on disk; each call draws new contrasts.

    Parameters
    ----------
    folder : Path
        Where the shapes are.
    least : int
        Number of shapes to wait for.
    """

    def __init__(self, folder: Path, least: int = 1, wait_s: float = 600.0) -> None:
        self.folder = folder
        begin = time.monotonic()
        while len(self.refresh()) < least:
            if time.monotonic() - begin > wait_s:
                raise InputError(f"{folder}: fewer than {least} shapes; fill the pool first")
            time.sleep(1.0)

    def refresh(self) -> list[str]:
        """Look which shapes are there; returns their names."""
        self.names = sorted(p.name for p in self.folder.glob("slot*-shape*.npz"))
        return self.names

    def patches(self, count: int, plan: PatchPlan, rng: Random) -> Tensor:
        """Draw ``count`` heads: (count, 3, k, j, i), image, class and side.

        They are cut to a box of random size about the brain, the same for all: less of it is
        air than of the window.
        """
        size = [int(rng.choice(sizes)) for sizes in _BOXES]
        batch = torch.zeros((count, 3, *size))
        for sample in batch:
            picture = draw_picture(self._shape(rng), rng)
            box = _box(picture.target >= FIRST_OF_BRAIN, size, rng)
            sample[0] = torch.from_numpy(picture.image[box])
            sample[1] = torch.from_numpy(picture.target[box])
            sample[2] = torch.from_numpy(picture.side[box])
        return batch

    def _shape(self, rng: Random) -> dict[str, NDArray[np.uint8]]:
        """Return one of the shapes; a worker may have replaced the one that was picked."""
        while True:
            name = self.names[rng.integers(len(self.names))]
            try:
                with np.load(self.folder / name, allow_pickle=False) as file:
                    return {key: file[key] for key in file.files}
            except FileNotFoundError:
                if not self.refresh():
                    raise InputError(f"{self.folder}: the shapes are gone") from None


_BOXES = ((64, 80, 80, 96), (96, 112), (64, 80, 80, 96))
"""Sides of the boxes that are trained on, along (S, P, L); multiples of what the network
needs. A brain is some 70 x 85 x 70 voxels."""


def _box(brain: NDArray[np.bool_], size: list[int], rng: Random) -> Box:
    """Return a box about the brain, moved by up to 8 voxels."""
    box = []
    for axis, (side, whole) in enumerate(zip(size, WINDOW, strict=True)):
        where = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
        center = float(where[[0, -1]].mean()) if where.size else whole / 2
        start = round(center - side / 2 + rng.uniform(-8, 8))
        start = min(max(start, 0), whole - side)
        box.append(slice(start, start + side))
    return tuple(box)
