"""Heads that ``anatomy-net`` is trained on, as labels: turned, scaled, bent, cut.

A person (label map or drawn head) is stored once as *tissue indices* on a grid of 1 mm; a
*shape* is one deformation of a person on the network's window, at 1 mm for partial volume
(images are means over 2 mm), with the classes to learn at 2 mm. Contrasts are drawn later,
in :mod:`QSMSeparationLib.training.anatomy_images`: one shape serves many images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.structures import INDEX
from QSMSeparationLib.simulation.anatomy import Anatomy
from QSMSeparationLib.simulation.rasterize import brain_mask
from QSMSeparationLib.simulation.tissues import (
    EXTRACEREBRAL_CSF_LABEL,
    LABELS,
    VENTRICLE_LABELS,
)
from QSMSeparationLib.training.anatomies import prepare_people
from QSMSeparationLib.training.slots import fill_slots

WINDOW = (96, 112, 96)
"""Voxels of 2 mm along (S, P, L): a head without its neck."""

_FINE = tuple(2 * n for n in WINDOW)
_SPLIT = ("soft tissue", "muscle", "fat", "bone marrow", "cortical bone", "mucosa", "skin")
"""Tissues that are more than one thing in label maps ("other tissue" is muscle, fat and
glands): every shape divides them into parts along smooth borders."""
_PARTS = 3
_SULCAL, _OUTER = "sulcal fluid", "outer fluid"

TISSUE_NAMES: tuple[str, ...] = (
    *(
        name
        for tissue in dict.fromkeys(LABELS.values())
        for name in ([f"{tissue}/{n}" for n in range(_PARTS)] if tissue in _SPLIT else [tissue])
    ),
    *(_SULCAL, _OUTER, "ventricles", "brain vessel"),
)
"""What a tissue index stands for; ``fat/1`` is the second part of fat."""

_INDEX_OF = {name: n for n, name in enumerate(TISSUE_NAMES)}
_NO_SIDE, _LEFT, _RIGHT = 0, 1, 2
_WHITE_IN_BRAIN_STEM = "cerebral peduncle"
_CLASS_OF_TISSUE = {
    "air": "air",
    "cortical bone": "bone",
    "bone marrow": "bone",
    "cortex": "cortex",
    "caudate": "caudate",
    "putamen": "putamen",
    "globus pallidus": "pallidum",
    "accumbens": "accumbens",
    "thalamus": "thalamus",
    "pulvinar": "thalamus",
    "hippocampus": "hippocampus and amygdala",
    "amygdala": "hippocampus and amygdala",
    "red nucleus": "red nucleus",
    "substantia nigra": "substantia nigra and subthalamic nucleus",
    "subthalamic nucleus": "substantia nigra and subthalamic nucleus",
    "dentate nucleus": "dentate nucleus",
    "ventral diencephalon": "ventral diencephalon",
    _WHITE_IN_BRAIN_STEM: "ventral diencephalon",
    "brain stem": "brain stem",
    "cerebellar white matter": "cerebellar white matter",
    "cerebellar cortex": "cerebellar cortex",
    "choroid calcification": "ventricles",
    "CSF": "ventricles",
    "ventricles": "ventricles",
    "brain vessel": _SULCAL,
    _SULCAL: _SULCAL,
    _OUTER: _OUTER,
}
_BESIDE = {
    "muscle", "mucosa", "soft tissue", "fat", "skin", "eye", "optic nerve", "spinal cord",
    "vein", "artery",
}  # fmt: skip


def class_of(tissue_name: str) -> int:
    """Return the class that a tissue belongs to; white matter and its tracts are one."""
    tissue = tissue_name.split("/")[0]
    if tissue in _BESIDE:
        return INDEX["soft tissue"]
    return INDEX[_CLASS_OF_TISSUE.get(tissue, "white matter")]


CLASS_OF_INDEX: NDArray[np.uint8] = np.array([class_of(n) for n in TISSUE_NAMES], np.uint8)
"""Class of every tissue index."""


def tissue_indices(anatomy: Anatomy) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return tissue index and side (0 none, 1 left, 2 right) of every voxel of a person."""
    labels = anatomy.labels.array
    to_index = np.zeros(max(LABELS) + 1, np.uint8)
    to_side = np.zeros(max(LABELS) + 1, np.uint8)
    for number, tissue in LABELS.items():
        to_index[number] = _INDEX_OF[f"{tissue}/0" if tissue in _SPLIT else tissue]
        to_side[number] = _side_of(number)
    index, side = to_index[labels], to_side[labels]
    brain = brain_mask(anatomy)
    index[np.isin(labels, VENTRICLE_LABELS)] = _INDEX_OF["ventricles"]
    fluid = labels == EXTRACEREBRAL_CSF_LABEL
    index[fluid & brain] = _INDEX_OF[_SULCAL]
    index[fluid & ~brain] = _INDEX_OF[_OUTER]
    vessel = np.isin(index, (_INDEX_OF["vein"], _INDEX_OF["artery"]))
    index[vessel & brain] = _INDEX_OF["brain vessel"]
    return index, side


def _side_of(number: int) -> int:
    """Return the side of a label: 2-28 and 901-930 are left, 41-62 and 951-980 right."""
    if number in (14, 15, 16, 24, 85):
        return _NO_SIDE
    if 2 <= number <= 30 or 901 <= number <= 930:
        return _LEFT
    return _RIGHT if 41 <= number <= 62 or 951 <= number <= 980 else _NO_SIDE


def prepare(folder: Path, label_maps: Sequence[Path], seeds: Sequence[int]) -> list[Path]:
    """Store every person once as indices; returns the files, which later calls find again."""

    def indices(anatomy: Anatomy, name: str) -> NDArray[np.uint8]:
        return np.stack(tissue_indices(anatomy))

    return prepare_people(folder, label_maps, seeds, "-indices", indices)


def draw_shape(person: NDArray[np.uint8], seed: int) -> dict[str, NDArray[np.uint8]]:
    """Deform a person onto the window.

    Parameters
    ----------
    person : ndarray of uint8
        (2, k, j, i): tissue index and side.
    seed : int
        Draws turn (to 30 degrees), size (0.85 to 1.15, each axis a little more), shift,
        bending, and the parts of tissues.

    Returns
    -------
    dict
        ``fine``: tissue indices at 1 mm; ``target``, ``side``: what to learn, at 2 mm.
    """
    rng = np.random.default_rng([seed, 31])
    brain = np.isin(CLASS_OF_INDEX[person[0]], range(4, len(INDEX)))
    low = np.array([np.flatnonzero(brain.any(axis=a))[[0, -1]] for a in ((1, 2), (0, 2), (0, 1))])
    places = _places(rng, low.mean(axis=1), person.shape[1:])
    fine = _sampled(person[0], places)
    side = _sampled(person[1], places)
    target = _majority(CLASS_OF_INDEX[fine])
    return {
        "fine": _with_parts(fine, rng),
        "target": target,
        "side": side[::2, ::2, ::2],
    }


def _places(
    rng: np.random.Generator, center: NDArray[np.float64], shape: tuple[int, ...]
) -> Tensor:
    """Return where every voxel of the window lies in the person, for ``grid_sample``."""
    angles = np.deg2rad(np.clip(rng.normal(0, 12, 3), -30, 30))
    size = np.exp(np.clip(rng.normal(0, 0.07), -0.16, 0.16) + rng.normal(0, 0.025, 3))
    matrix = torch.tensor(_rotation(angles) / size, dtype=torch.float32)
    shift = rng.uniform(-1, 1, 3) * (24, 12, 10)
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in _FINE]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    grid = grid - torch.tensor(shift, dtype=torch.float32).view(3, 1, 1, 1)
    places = torch.einsum("ab,bkji->akji", matrix, grid)
    for step_mm, largest_mm in ((48, 6.0), (20, 1.5)):
        knots = [max(2, n // step_mm) for n in _FINE]
        bend = torch.tensor(
            rng.normal(0, 1, (1, 3, *knots)) * rng.uniform(0, largest_mm), dtype=torch.float32
        )
        places += functional.interpolate(bend, size=_FINE, mode="trilinear")[0]
    places += torch.tensor(center, dtype=torch.float32).view(3, 1, 1, 1)
    half = torch.tensor([(n - 1) / 2 for n in shape]).view(3, 1, 1, 1)
    return ((places - half) / half).flip(0).permute(1, 2, 3, 0)


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the product of the turns about the three axes."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[a, b], [a, b]] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def _sampled(labels: NDArray[np.uint8], places: Tensor) -> NDArray[np.uint8]:
    """Return the nearest label at every place, 0 (air) beyond the borders.

    Label maps end within the neck or the face: a place below the last slice takes that slice,
    as a body goes on where a map ends.
    """
    source = torch.from_numpy(labels.astype(np.float32))[None, None]
    places = places.clone()
    places[..., 2].clamp_(min=-1.0)
    found = functional.grid_sample(source, places[None], mode="nearest", align_corners=True)
    return found[0, 0].to(torch.uint8).numpy()


def _majority(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the commonest class of every 2x2x2 voxels."""
    fine = torch.from_numpy(classes)[None, None]
    best = torch.zeros(WINDOW)
    winner = torch.zeros(WINDOW, dtype=torch.uint8)
    for number in range(len(INDEX)):
        share = functional.avg_pool3d((fine == number).float(), 2)[0, 0]
        more = share > best
        winner[more] = number
        best = torch.maximum(best, share)
    return winner.numpy()


def _with_parts(fine: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Divide the tissues that are more than one thing along smooth borders."""
    knots = [int(rng.integers(4, 24)) for _ in range(3)]
    noise = torch.tensor(rng.normal(0, 1, (1, 1, *knots)), dtype=torch.float32)
    field = functional.interpolate(noise, size=_FINE, mode="trilinear")[0, 0].numpy()
    part = (field > -0.3).astype(np.uint8) + (field > 0.3)
    first = np.zeros(256, bool)
    first[[_INDEX_OF[f"{tissue}/0"] for tissue in _SPLIT]] = True
    return fine + part * first[fine]


def fill(
    folder: Path, people: Sequence[Path], seed: int, numbers: Sequence[int], slots: int
) -> None:
    """Draw the shapes of ``numbers`` that are not in the pool yet."""

    def write(number: int, file: BinaryIO) -> None:
        person = np.load(people[number % len(people)], mmap_mode="r", allow_pickle=False)
        shape = draw_shape(np.asarray(person), seed + number)
        np.savez(file, allow_pickle=False, **shape)

    fill_slots(folder, "shape", ".npz", numbers, slots, write)
