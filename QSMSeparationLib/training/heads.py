"""One training head: a person varied in shape and values, with blobs, its field and net chi.

Anatomy must not predict the value, or a network would pull lesions towards the tissue around
them. So tissue values come from three priors: people as they are, every tissue moved by a
factor of 0.3 to 1.9 on its own, and values without any relation to the tissue; and each head
holds many lesions and blobs of any contrast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.catalogue import find
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.inversion.by_network import linear_inversion
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.simulation import lesion_shapes
from QSMSeparationLib.simulation.tissues import (
    LABELS,
    PARENCHYMA_LABELS,
    WHITE_MATTER,
    draw_tissues,
)
from QSMSeparationLib.solvers.window import Window
from QSMSeparationLib.training.anatomies import LABEL_NUMBERS, SPACING_MM, FineAnatomy

CHANNELS = ("field", "net_tv", "net_l2", "para", "dia", "r2", "importance")
"""Maps of a training head; susceptibility and field in ppm, ``dia`` as magnitude, R2 in Hz.
``importance``: 0 outside the mask, 1 in it, up to 2 in blobs."""

_PRIORS = {"people": 0.45, "flat": 0.35, "free": 0.20}
_SLAB = 16


@dataclass(frozen=True, eq=False)
class TrainingHead:
    """Maps of one head.

    Parameters
    ----------
    maps : Tensor
        Shape (len(CHANNELS), k, j, i), float32; B0 along k.
    spacing_mm : float
        Voxel size, isotropic.
    prior : str
        How its tissue values were drawn.
    """

    maps: Tensor
    spacing_mm: float
    prior: str


def draw_training_head(anatomy: FineAnatomy, seed: int) -> TrainingHead:
    """Vary a person into a training head; the same seed gives the same head."""
    rng = np.random.default_rng([seed, 7])
    spacing_mm = 1.0 if rng.uniform() < 0.4 else float(rng.uniform(0.75, 1.5))
    index = _warp(anatomy.index, spacing_mm / 2, rng)
    prior = str(rng.choice(list(_PRIORS), p=list(_PRIORS.values())))
    fine = _fill(index, _value_table(prior, seed, rng))
    blobs = _draw_blobs(index, fine, spacing_mm / 2, rng)
    para, dia, r2, inside, blob_share = (_halve(m) for m in (*fine, (index > 0).float(), blobs))
    del fine, blobs, index
    brain = inside > 0.5
    for source in (para, dia):
        source *= _texture(source.shape, spacing_mm, rng)
    mask = _imperfect_mask(brain, spacing_mm, rng)
    field = _measured_field(para - dia, mask, spacing_mm, rng)
    r2star = _measured_r2star(para, dia, r2, mask, rng)
    maps = Maps(mask, (spacing_mm,) * 3, (1.0, 0.0, 0.0), local_field=field, r2star=r2star)
    importance = mask * (1 + blob_share)
    stack = torch.stack(
        [
            field,
            find("tv", "inversion").run(maps),
            linear_inversion(maps),
            para,
            dia,
            r2,
            importance,
        ]
    )
    stack *= mask
    return TrainingHead(stack[(slice(None), *Window(maps, 0.0).box)], spacing_mm, prior)


def _warp(index: NDArray[np.uint8], spacing_mm: float, rng: np.random.Generator) -> Tensor:
    """Sample label indices on a grid of another spacing, turned, stretched and bent."""
    source = torch.from_numpy(np.array(index))
    turn = lesion_shapes.random_rotation(rng)
    angle = math.radians(rng.uniform(0, 15))
    axis = turn[:, 0]
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    stretch = rng.uniform(0.9, 1.12, 3)
    affine = torch.from_numpy(rotation * stretch[None]).float()
    extent = np.array(index.shape) * SPACING_MM / stretch.min()
    shape = [2 * math.ceil(e / (2 * spacing_mm)) for e in extent]
    knots = [max(4, round(n * spacing_mm / 22)) for n in shape]
    bend = rng.uniform(0, 3.0) * torch.from_numpy(rng.standard_normal((1, 3, *knots))).float()
    bend = functional.interpolate(bend, size=[max(8, n // 6) for n in shape], mode="trilinear")
    centre = torch.tensor([(n - 1) / 2 for n in index.shape])
    axes = [(torch.arange(n) - (n - 1) / 2) * spacing_mm for n in shape]
    result = torch.zeros(shape, dtype=torch.uint8)
    limits = torch.tensor(index.shape)
    strides = torch.tensor([index.shape[1] * index.shape[2], index.shape[2], 1])
    flat = source.view(-1)
    bends = functional.interpolate(bend, size=(bend.shape[2], *shape[1:]), mode="trilinear")[0]
    for k in range(shape[0]):
        place = k / max(1, shape[0] - 1) * (bends.shape[1] - 1)
        below = min(int(place), bends.shape[1] - 2)
        offset = torch.lerp(bends[:, below], bends[:, below + 1], place - below)
        where = torch.zeros(shape[1:], dtype=torch.long)
        valid = torch.ones(shape[1:], dtype=torch.bool)
        for a in range(3):
            line = (
                affine[a, 0] * axes[0][k]
                + (affine[a, 1] * axes[1])[:, None]
                + (affine[a, 2] * axes[2])[None]
                + offset[a]
            )
            voxel = line.div_(SPACING_MM).add_(centre[a]).round_().long()
            valid &= (voxel >= 0) & (voxel < limits[a])
            where.add_(voxel.clamp_(0, int(limits[a]) - 1), alpha=int(strides[a]))
        result[k] = flat[where] * valid
    return result


def _measured_r2star(
    para: Tensor, dia: Tensor, r2: Tensor, mask: Tensor, rng: np.random.Generator
) -> Tensor:
    """Return R2* in Hz with noise, whose borders the inversion sees."""
    noise = rng.uniform(0.3, 2.0) * rng.standard_normal(tuple(r2.shape), dtype=np.float32)
    rate = r2 + DR_HZ_PER_PPM * (para + dia) + torch.from_numpy(noise)
    return rate.clamp_(min=0) * mask


def _value_table(prior: str, seed: int, rng: np.random.Generator) -> Tensor:
    """Return chi+, |chi-| (ppm) and R2 (Hz) by label index, (3, indices)."""
    person = draw_tissues(seed)
    factors = {name: rng.uniform(0.3, 1.9, 2) for name in person}
    overall = np.exp(rng.normal(0, 0.15, 2))
    table = np.zeros((3, len(LABEL_NUMBERS)), dtype=np.float32)
    for position, number in enumerate(LABEL_NUMBERS):
        name = LABELS[number]
        tissue = person[name]
        para, dia = tissue.chi_para_ppb / 1000, -tissue.chi_dia_ppb / 1000
        r2 = 1000 / tissue.t2_ms * np.exp(rng.normal(0, 0.08))
        if prior == "people":
            para, dia = (
                v * o * np.exp(rng.normal(0, 0.06))
                for v, o in zip((para, dia), overall, strict=True)
            )
        elif prior == "flat":
            para, dia = para * factors[name][0], dia * factors[name][1]
        elif name != "vein":
            para, dia = 0.15 * rng.uniform() ** 2, 0.09 * rng.uniform() ** 1.5
            r2 *= rng.uniform(0.6, 1.6)
        table[:, position] = para, dia, r2
    table[:, 0] = 0
    return torch.from_numpy(table)


def _fill(index: Tensor, table: Tensor) -> list[Tensor]:
    """Return the maps of a value table, slab by slab."""
    maps = [torch.empty(index.shape) for _ in table]
    for start in range(0, index.shape[0], _SLAB):
        labels = index[start : start + _SLAB].int()
        for values, target in zip(table, maps, strict=True):
            target[start : start + _SLAB] = values[labels]
    return maps


def _draw_blobs(
    index: Tensor, fine: list[Tensor], spacing_mm: float, rng: np.random.Generator
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
        centre = _random_place(index, allowed, rng)
        if centre is not None:
            _draw_blob(kind, centre, index, tissue, fine, drawn, spacing_mm, rng)
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
    centre: NDArray[np.int64],
    index: Tensor,
    tissue: Tensor,
    fine: list[Tensor],
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
    low = np.maximum(centre - half, 0)
    high = np.minimum(centre + half + 1, index.shape)
    target = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    part = tuple(
        slice(int(a - c + half), int(b - c + half))
        for a, b, c in zip(low, high, centre, strict=True)
    )
    depth = torch.from_numpy(depth[part])
    within = (depth > 0) & tissue[index[target].int()]
    if not within.any():
        return
    values = _blob_values(kind, [float(m[tuple(centre)]) for m in fine[:2]], rng)
    rim_mm = rng.uniform(0.8, 2.0) / scale if kind == "lesion" and rng.uniform() < 0.3 else 0.0
    rim = within & (depth <= rim_mm)
    rim_values = (rng.uniform(0.02, 0.08), values[1] * rng.uniform(0.7, 1.8))
    for source, value, edge in zip(fine[:2], values, rim_values, strict=True):
        source[target][within] = value
        source[target][rim] = edge
    fine[2][target][within] *= rng.uniform(0.55, 1.0)
    drawn[target][within] = 1.0


def _blob_values(kind: str, around: list[float], rng: np.random.Generator) -> tuple[float, float]:
    """Draw chi+ and |chi-| of a blob in ppm, some relative to what is around."""
    if kind == "strong":
        strong = rng.uniform(0.15, 1.0)
        return (strong, 0.0) if rng.uniform() < 0.5 else (0.01, strong)
    if kind == "blob":
        return 0.15 * rng.uniform() ** 1.5, 0.10 * rng.uniform() ** 1.5
    para = around[0] * rng.uniform(0.0, 1.1) if rng.uniform() < 0.5 else rng.uniform(0.0, 0.07)
    dia = around[1] * rng.uniform(0.1, 1.1) if rng.uniform() < 0.6 else rng.uniform(0.0, 0.06)
    return para, dia


def _halve(fine: Tensor) -> Tensor:
    """Average blocks of 2^3 voxels."""
    return functional.avg_pool3d(fine[None, None], 2)[0, 0]


def _texture(shape: torch.Size, spacing_mm: float, rng: np.random.Generator) -> Tensor:
    """Return 1 + correlated noise (about 1.5-3 and 6-12 mm), never negative."""
    total = torch.zeros(shape)
    for length_mm in (rng.uniform(1.5, 3.0), rng.uniform(6.0, 12.0)):
        knots = [max(3, round(n * spacing_mm / length_mm)) for n in shape]
        noise = torch.from_numpy(rng.standard_normal((1, 1, *knots), dtype=np.float32))
        total += functional.interpolate(noise, size=tuple(shape), mode="trilinear")[0, 0]
    return total.mul_(rng.uniform(0.0, 0.15)).add_(1.0).clamp_(0.4, 1.6)


def _smooth_noise(
    shape: torch.Size, spacing_mm: float, length_mm: float, rng: np.random.Generator
) -> Tensor:
    """Return smooth noise of about SD 1 and a correlation length."""
    knots = [max(3, round(n * spacing_mm / length_mm)) for n in shape]
    noise = torch.from_numpy(rng.standard_normal((1, 1, *knots), dtype=np.float32))
    return 1.6 * functional.interpolate(noise, size=tuple(shape), mode="trilinear")[0, 0]


def _imperfect_mask(brain: Tensor, spacing_mm: float, rng: np.random.Generator) -> Tensor:
    """Erode a brain mask, unevenly, as masks of real scans are."""
    if rng.uniform() < 0.35:
        return brain
    mask = brain.float()
    rough = _smooth_noise(brain.shape, spacing_mm, 15.0, rng) > rng.uniform(0.5, 2.0)
    for _ in range(int(rng.integers(1, 3))):
        eroded = -functional.max_pool3d(-mask[None, None], 3, stride=1, padding=1)[0, 0]
        mask = torch.where(rough, eroded, mask) if rng.uniform() < 0.5 else eroded
    return mask > 0.5


def _measured_field(
    net: Tensor, mask: Tensor, spacing_mm: float, rng: np.random.Generator
) -> Tensor:
    """Return the local field of a head as a scan would give it: noise, rests of background."""
    spacing = (spacing_mm,) * 3
    sources = net * mask if rng.uniform() < 0.85 else net
    field = DipoleOperator(tuple(net.shape), spacing, (1.0, 0.0, 0.0), pad=0.3)(sources)
    field = field.clone()
    sd = math.exp(rng.uniform(math.log(0.0005), math.log(0.005)))
    white = torch.from_numpy(rng.standard_normal(tuple(net.shape), dtype=np.float32))
    field += sd * white * (1 + 0.3 * _smooth_noise(net.shape, spacing_mm, 40.0, rng)).clamp_(0.3, 3)
    if rng.uniform() < 0.4:
        rest = _smooth_noise(net.shape, spacing_mm, rng.uniform(20, 50), rng)
        field += rng.uniform(0, 0.0015) * rest
    if rng.uniform() < 0.25:
        # Background removal takes part of the widest local field with it.
        coarse = functional.avg_pool3d((field * mask)[None, None], 12, ceil_mode=True)
        wide = functional.interpolate(coarse, size=tuple(net.shape), mode="trilinear")[0, 0]
        field -= rng.uniform(0, 0.5) * wide
    return field * mask
