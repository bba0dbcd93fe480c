"""Lesions in the white matter of a training head, and blobs of any contrast anywhere in it."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.simulation import lesion_shapes
from QSMSeparationLib.simulation.lesion_ages import AGES, draw_sources, draw_state
from QSMSeparationLib.simulation.relaxation import REGION_FACTOR_SD_LOG
from QSMSeparationLib.simulation.tissues import LABELS, PARENCHYMA_LABELS, R2_FREE_HZ, WHITE_MATTER
from QSMSeparationLib.training.anatomies import LABEL_NUMBERS

_LESIONS_AS_PEOPLE = 0.75
"""Share of the lesions whose R2 is that of their age; that of the others follows nothing."""


def draw_blobs(
    index: Tensor, fine: dict[str, Tensor], spacing_mm: float, rng: np.random.Generator
) -> Tensor:
    """Draw lesions in white matter and blobs anywhere into the fine maps; returns where."""
    drawn = torch.zeros(index.shape)
    white = torch.zeros(len(LABEL_NUMBERS), dtype=torch.bool)
    tissue = torch.zeros_like(white)
    for position, number in enumerate(LABEL_NUMBERS):
        white[position] = LABELS[number] in WHITE_MATTER
        tissue[position] = number in PARENCHYMA_LABELS
    tissue[0] = False
    plans = [("lesion", white)] * int(rng.integers(10, 70))
    plans += [("blob", tissue)] * int(rng.integers(0, 40))
    if rng.uniform() < 0.2:
        plans += [("strong", tissue)] * int(rng.integers(1, 4))
    for kind, allowed in plans:
        center = _random_place(index, allowed, rng)
        if center is not None:
            _draw_blob(kind, center, index, tissue, fine, drawn, spacing_mm, rng)
    return drawn


def _random_place(
    index: Tensor, allowed: Tensor, rng: np.random.Generator, tries: int = 200
) -> NDArray[np.int64] | None:
    """Return a random voxel of an allowed label, or None."""
    places = rng.integers(0, index.shape, (tries, 3))
    labels = index[tuple(torch.from_numpy(places.T.copy()))].int()
    found = torch.nonzero(allowed[labels]).flatten()
    return places[int(found[0])] if len(found) else None


def _draw_blob(
    kind: str,
    center: NDArray[np.int64],
    index: Tensor,
    tissue: Tensor,
    fine: dict[str, Tensor],
    drawn: Tensor,
    spacing_mm: float,
    rng: np.random.Generator,
) -> None:
    """Overwrite the sources within an irregular ellipsoid, some with a rim."""
    # Shapes are made at 0.5 mm and laid voxel by voxel over a grid of about that spacing.
    scale = spacing_mm / lesion_shapes.SPACING_MM
    radius = float(np.exp(rng.normal(math.log(3.2), 0.45)).clip(1.3, 11.0)) / scale
    grid = lesion_shapes.local_grid(np.zeros(3), 1.4 * radius)
    axes = radius * np.exp(rng.normal(0, 0.25, 3))
    depth = lesion_shapes.ellipsoid_depth(
        grid, axes, lesion_shapes.random_rotation(rng), rng.uniform(0.05, 0.25), rng
    )
    half = depth.shape[0] // 2
    low = np.maximum(center - half, 0)
    high = np.minimum(center + half + 1, index.shape)
    target = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    part = tuple(
        slice(int(a - c + half), int(b - c + half))
        for a, b, c in zip(low, high, center, strict=True)
    )
    depth = torch.from_numpy(depth[part])
    within = (depth > 0) & tissue[index[target].int()]
    if not within.any():
        return
    around = [float(fine[name][tuple(center)]) for name in ("para", "dia")]
    age = str(rng.choice(list(AGES), p=[a.share for a in AGES.values()]))
    values = _blob_values(kind, around, age, rng)
    rim_mm = rng.uniform(0.8, 2.0) / scale if kind == "lesion" and rng.uniform() < 0.3 else 0.0
    rim = within & (depth <= rim_mm)
    rim_values = (rng.uniform(0.02, 0.08), values[1] * rng.uniform(0.7, 1.8))
    for name, value, edge in zip(("para", "dia"), values, rim_values, strict=True):
        fine[name][target][within] = value
        fine[name][target][rim] = edge
    _relax(kind, age, target, within, rim, fine, rng)
    drawn[target][within] = 1.0


def _relax(
    kind: str,
    age: str,
    target: tuple[slice, ...],
    within: Tensor,
    rim: Tensor,
    fine: dict[str, Tensor],
    rng: np.random.Generator,
) -> None:
    """Give a blob water, T1 and R2: a lesion those of its age, others anything."""
    state = draw_state(age, rng)
    follows = kind == "lesion" and rng.uniform() < _LESIONS_AS_PEOPLE
    free = state.free_r2_hz if follows else float(R2_FREE_HZ + rng.normal(-2, 3.5))
    values = {"r2": max(free, 0.5), "water": state.water, "t1": state.t1_s}
    values["r2prime_factor"] = float(np.exp(rng.normal(0, REGION_FACTOR_SD_LOG)))
    for name, value in values.items():
        fine[name][target][within] = value
    if follows:
        fine["r2"][target][rim] = state.rim_free_r2_hz


def _blob_values(
    kind: str, around: list[float], age: str, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw chi+ and |chi-| of a blob in ppm: by the age of a lesion, or by what is around."""
    if kind == "strong":
        strong = rng.uniform(0.15, 1.0)
        return (strong, 0.0) if rng.uniform() < 0.5 else (0.01, strong)
    if kind == "blob":
        return 0.15 * rng.uniform() ** 1.5, 0.10 * rng.uniform() ** 1.5
    if rng.uniform() < 0.5:
        para_ppb, dia_ppb = draw_sources(age, False, rng)
        return para_ppb / 1000, dia_ppb / 1000
    para = around[0] * rng.uniform(0.0, 1.1) if rng.uniform() < 0.5 else rng.uniform(0.0, 0.07)
    dia = around[1] * rng.uniform(0.1, 1.1) if rng.uniform() < 0.6 else rng.uniform(0.0, 0.06)
    return para, dia
