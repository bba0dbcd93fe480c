"""A pool of training heads on disk: worker processes draw heads, the trainer cuts patches.

Workers write head after head into numbered slots and start over at the first when all are
filled, so patches come from the latest heads. Each file is moved into its place when it is
complete. Head number n is drawn from anatomy n modulo their count and seed + n: a pool holds
the same heads whoever made them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.training import anatomies
from QSMSeparationLib.training.heads import CHANNELS, draw_training_head
from QSMSeparationLib.training.slots import fill_slots

CPU = torch.device("cpu")
_NET_CHANNELS = (CHANNELS.index("net_tv"), CHANNELS.index("net_l2"))
_IMPORTANCE = CHANNELS.index("importance")


def fill(
    folder: Path, people: Sequence[Path], seed: int, numbers: Sequence[int], slots: int
) -> None:
    """Draw the heads of ``numbers`` that are not in the pool yet."""

    def write(number: int, file: BinaryIO) -> None:
        person = anatomies.load(people[number % len(people)])
        head = draw_training_head(person, seed + number)
        np.save(file, head.maps.numpy().astype(np.float16))

    fill_slots(folder, "head", ".npy", numbers, slots, write)


@dataclass(frozen=True)
class PatchPlan:
    """How patches are cut.

    Parameters
    ----------
    size : int
        Side in voxels.
    blob_share : float
        Share of patches that are centered on a lesion or blob.
    """

    size: int = 48
    blob_share: float = 0.5


class PatchSource(Protocol):
    """Where the training loop takes its patches from."""

    def refresh(self) -> list[str]:
        """Look which heads are there; returns their names."""
        ...

    def patches(self, count: int, plan: PatchPlan, rng: np.random.Generator) -> Tensor:
        """Return ``count`` patches, (count, channels, k, j, i)."""
        ...


def wait_for(pool: PatchSource, least: int, wait_s: float, why: str) -> None:
    """Wait until workers have filled a pool with so many files, or raise InputError."""
    begin = time.monotonic()
    while len(pool.refresh()) < least:
        if time.monotonic() - begin > wait_s:
            raise InputError(f"{why}; fill the pool first")
        time.sleep(1.0)


class Pool:
    """Patches from the heads that are on disk.

    Parameters
    ----------
    folder : Path
        Where the heads are.
    least : int
        Number of heads to wait for.
    wait_s : float
        How long.
    device : torch.device, optional
        Where patches are cut. Heads are held on a GPU (some 60 MB each), and read from disk else.
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
        self._open: dict[str, NDArray[np.float16]] = {}
        self._held: dict[str, Tensor] = {}
        self._mean: dict[str, float] = {}
        self._blobs: dict[str, NDArray[np.int64]] = {}
        wait_for(self, least, wait_s, f"{folder}: fewer than {least} training heads")

    def refresh(self) -> list[str]:
        """Look which heads are there; returns their names."""
        names = sorted(p.name for p in self.folder.glob("slot*-head*.npy"))
        for gone in set(self._open) - set(names):
            del self._open[gone]
            self._held.pop(gone, None)
            self._blobs.pop(gone, None)
        for name in names:
            if name not in self._open:
                try:
                    maps = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
                except FileNotFoundError:  # a worker has just replaced it
                    continue
                self._open[name], self._mean[name] = maps, _mean_net_ppm(maps)
                if self.device.type != "cpu":
                    self._held[name] = torch.from_numpy(np.array(maps)).to(self.device)
        return sorted(self._open)

    def patches(self, count: int, plan: PatchPlan, rng: np.random.Generator) -> Tensor:
        """Cut ``count`` patches, flipped and turned about B0: (count, channels, s, s, s)."""
        shape = (count, len(CHANNELS), plan.size, plan.size, plan.size)
        batch = torch.zeros(shape, device=self.device)
        names = sorted(self._open)
        for patch in batch:
            name = names[rng.integers(len(names))]
            maps = self._open[name]
            center = self._center(name, maps, plan, rng)
            low = [
                int(np.clip(c - plan.size // 2 + rng.integers(-8, 9), 0, max(0, n - plan.size)))
                for c, n in zip(center, maps.shape[1:], strict=True)
            ]
            box = (slice(None), *(slice(a, a + plan.size) for a in low))
            held = self._held.get(name)
            cut = torch.from_numpy(np.array(maps[box])) if held is None else held[box]
            k, j, i = cut.shape[1:]
            patch[:, :k, :j, :i] = cut
            # Inversions leave mean 0 over the head; truth has another mean, no local matter.
            for channel in _NET_CHANNELS:
                patch[channel] += self._mean[name] * (patch[_IMPORTANCE] > 0)
        return turned(batch, rng)

    def _center(
        self, name: str, maps: NDArray[np.float16], plan: PatchPlan, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return a voxel to center a patch on."""
        if rng.uniform() < plan.blob_share:
            if name not in self._blobs:
                coarse = np.asarray(maps[_IMPORTANCE, ::2, ::2, ::2])
                self._blobs[name] = 2 * np.argwhere(coarse > 1.5)
            places = self._blobs[name]
            if len(places):
                return places[rng.integers(len(places))]
        return np.array([rng.integers(n // 8, max(n // 8 + 1, 7 * n // 8)) for n in maps.shape[1:]])


def turned(batch: Tensor, rng: np.random.Generator) -> Tensor:
    """Return patches flipped and turned: the dipole is symmetric about B0, which is along k."""
    flips = [axis + 2 for axis in range(3) if rng.uniform() < 0.5]
    batch = batch.flip(flips) if flips else batch
    return batch.transpose(3, 4).contiguous() if rng.uniform() < 0.5 else batch


def _mean_net_ppm(maps: NDArray[np.float16]) -> float:
    """Return the mean of chi+ + chi- over the mask of a head."""
    thin = maps[:, ::2, ::2, ::2].astype(np.float32)
    inside = thin[_IMPORTANCE] > 0
    para, dia = (thin[CHANNELS.index(name)][inside] for name in ("para", "dia"))
    return float((para - dia).mean())
