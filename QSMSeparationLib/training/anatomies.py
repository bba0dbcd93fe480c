"""Anatomies of many people, refined once and kept on disk: training heads are varied from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.io.nifti import read_labels
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.anatomy import Anatomy
from QSMSeparationLib.simulation.drawn_head.anatomy import procedural_anatomy
from QSMSeparationLib.simulation.label_map.anatomy import anatomy_from_labels
from QSMSeparationLib.simulation.label_map.vessels import small_veins
from QSMSeparationLib.simulation.rasterize import brain_mask, draw_vessel, fine_grid, refine_labels
from QSMSeparationLib.simulation.split import require_training
from QSMSeparationLib.simulation.tissues import LABELS

SPACING_MM = 0.5
LABEL_NUMBERS: tuple[int, ...] = tuple(LABELS)
"""Label number of every index of :class:`FineAnatomy`; index 0 (air) is outside the brain."""

_MARGIN = 12


@dataclass(frozen=True, eq=False)
class FineAnatomy:
    """The brain of one person as label indices.

    Parameters
    ----------
    name : str
        ``head03`` (a label map) or ``seed1004`` (drawn).
    index : ndarray of uint8
        Position in ``LABEL_NUMBERS`` on an upright grid of ``SPACING_MM``, (k, j, i) along
        (S, P, L), cropped to the brain; 0 outside it.
    """

    name: str
    index: NDArray[np.uint8]


def refine(anatomy: Anatomy, name: str) -> FineAnatomy:
    """Refine a person's labels, draw the vessels, and crop to the brain."""
    grid = fine_grid(anatomy.labels.geometry, SPACING_MM)
    labels = refine_labels(anatomy.labels, grid)
    mask = anatomy.labels.like(brain_mask(anatomy).astype(np.int16))
    brain = refine_labels(mask, grid).bool().numpy()
    for vessel in anatomy.vessels:
        draw_vessel(labels, vessel, grid)
    to_index = np.zeros(max(LABEL_NUMBERS) + 1, dtype=np.uint8)
    to_index[list(LABEL_NUMBERS)] = np.arange(len(LABEL_NUMBERS))
    index = to_index[labels.numpy()] * brain
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    return FineAnatomy(name, np.pad(index[box], _MARGIN))


def prepare(folder: Path, label_maps: Sequence[Path], seeds: Sequence[int]) -> list[Path]:
    """Refine every person once; returns the files, which later calls find again."""

    def refined(anatomy: Anatomy, name: str) -> NDArray[np.uint8]:
        veins = small_veins(anatomy.labels, seed_of(name))
        return refine(replace(anatomy, vessels=anatomy.vessels + veins), name).index

    return prepare_people(folder, label_maps, seeds, "", refined)


def prepare_people(
    folder: Path,
    label_maps: Sequence[Path],
    seeds: Sequence[int],
    ending: str,
    prepared: Callable[[Anatomy, str], NDArray[np.uint8]],
) -> list[Path]:
    """Store every person once as ``prepared`` gives them; returns the files.

    People who are for figures or for settings are refused (see ``simulation.split``).

    Parameters
    ----------
    folder : Path
        Where to; files that are there are kept.
    label_maps : sequence of Path
        People with a label map.
    seeds : sequence of int
        Drawn people.
    ending : str
        End of the files' names, before ``.npy``.
    prepared : callable
        Takes an anatomy and the person's name.
    """
    require_training(label_maps, seeds)
    folder.mkdir(parents=True, exist_ok=True)
    people = [(path.name.split(".")[0], path) for path in label_maps]
    people += [(f"seed{seed}", seed) for seed in seeds]
    files = []
    for name, source in people:
        file = folder / f"{name}{ending}.npy"
        files.append(file)
        if file.exists():
            continue
        if isinstance(source, Path):
            anatomy = anatomy_from_labels(read_labels(source), seed=seed_of(name))
        else:
            anatomy = procedural_anatomy(source)
        partial = file.with_suffix(".part.npy")
        np.save(partial, prepared(anatomy, name))
        partial.rename(file)
    return files


def load(file: Path) -> FineAnatomy:
    """Open a prepared person without reading it all."""
    index = np.load(file, mmap_mode="r", allow_pickle=False)
    if index.dtype != np.uint8 or index.ndim != 3:
        raise InputError(f"{file}: not a prepared anatomy; delete it and prepare it again")
    return FineAnatomy(file.stem, index)


def seed_of(name: str) -> int:
    """A seed that is fixed for a name."""
    return sum(ord(c) * 31**n for n, c in enumerate(name)) % 100_003
