"""Images of shapes on disk, each call with new contrasts, cut to boxes about the brain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from QSMSeparationLib.data.axes import Box
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.training.anatomy_images import Random, draw_picture
from QSMSeparationLib.training.anatomy_shapes import WINDOW
from QSMSeparationLib.training.pool import CPU, PatchPlan, wait_for


class ShapePool:
    """Images of the shapes that are on disk; each call draws new contrasts.

    Parameters
    ----------
    folder : Path
        Where the shapes are.
    least : int
        Number of shapes to wait for.
    wait_s : float
        How long.
    device : torch.device, optional
        Where images are drawn; shapes are held on a GPU (some 10 MB each).
    """

    def __init__(
        self,
        folder: Path,
        least: int = 1,
        wait_s: float = 600.0,
        device: torch.device = CPU,
    ) -> None:
        self.folder = folder
        self.device = device
        self._held: dict[str, dict[str, Tensor]] = {}
        wait_for(self, least, wait_s, f"{folder}: fewer than {least} shapes")

    def refresh(self) -> list[str]:
        """Look which shapes are there; returns their names."""
        self.names = sorted(p.name for p in self.folder.glob("slot*-shape*.npz"))
        for gone in set(self._held) - set(self.names):
            del self._held[gone]
        return self.names

    def patches(self, count: int, plan: PatchPlan, rng: Random) -> Tensor:
        """Draw ``count`` heads: (count, 3, k, j, i), image, class and side.

        They are cut to a box of random size about the brain, the same for all: less of it is
        air than of the window.
        """
        size = [int(rng.choice(sizes)) for sizes in _BOXES]
        batch = torch.zeros((count, 3, *size), device=self.device)
        for sample in batch:
            picture = draw_picture(self._shape(rng), rng)
            box = _box(picture.brain, size, rng)
            for channel, values in zip(
                sample, (picture.image, picture.target, picture.side), strict=True
            ):
                channel.copy_(values[box])
        return batch

    def _shape(self, rng: Random) -> dict[str, Tensor]:
        """Return one of the shapes; a worker may have replaced the one that was picked."""
        while True:
            name = self.names[rng.integers(len(self.names))]
            if name in self._held:
                return self._held[name]
            try:
                shape = self._read(name)
            except FileNotFoundError:
                if not self.refresh():
                    raise InputError(f"{self.folder}: the shapes are gone") from None
                continue
            if self.device.type != "cpu":
                self._held[name] = shape
            return shape

    def _read(self, name: str) -> dict[str, Tensor]:
        """Return a shape from its file."""
        with np.load(self.folder / name, allow_pickle=False) as file:
            return {key: torch.from_numpy(file[key]).to(self.device) for key in file.files}


_BOXES = ((64, 80, 80, 96), (96, 112), (64, 80, 80, 96))
"""Sides of the boxes that are trained on, along (S, P, L); multiples of what the network
needs. A brain is some 70 x 85 x 70 voxels."""


def _box(brain: Tensor, size: list[int], rng: Random) -> Box:
    """Return a box about the brain, moved by up to 8 voxels."""
    box = []
    for axis, (side, whole) in enumerate(zip(size, WINDOW, strict=True)):
        where = brain.amax(dim=tuple({0, 1, 2} - {axis})).nonzero().flatten()
        center = 0.5 * int(where[0] + where[-1]) if len(where) else whole / 2
        start = round(center - side / 2 + rng.uniform(-8, 8))
        start = min(max(start, 0), whole - side)
        box.append(slice(start, start + side))
    return tuple(box)
