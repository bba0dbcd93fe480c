"""One training head: a person varied in shape and values, with blobs, its field and net chi.

Anatomy must not predict the value, or a network would pull lesions towards the tissue around
them. So tissue values come from three priors: people as they are, every tissue moved by a
factor of 0.3 to 1.9 on its own, and values without any relation to the tissue; and each head
holds many lesions and blobs of any contrast. Relaxation, texture, fibers and the misfit of the
field are those of the digital head, drawn more widely.
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
from QSMSeparationLib.simulation.field_errors import GAIN_RANGE, Surroundings
from QSMSeparationLib.simulation.field_errors import misfit as field_misfit
from QSMSeparationLib.simulation.microstructure import (
    draw_anisotropy,
    fiber_directions,
    fiber_field,
    rate_changes,
    sin2_to_b0,
    white_matter,
)
from QSMSeparationLib.simulation.relaxation import REGION_FACTOR_SD_LOG, with_relaxation
from QSMSeparationLib.simulation.texture import draw_contrast, source_factors, with_contrast
from QSMSeparationLib.simulation.tissues import LABELS, draw_tissues, r2_of_sources_hz
from QSMSeparationLib.solvers.misfit import field_misfit_ppm
from QSMSeparationLib.solvers.window import Window
from QSMSeparationLib.training.anatomies import LABEL_NUMBERS, SPACING_MM, FineAnatomy
from QSMSeparationLib.training.blobs import draw_blobs

CHANNELS = (
    "field", "net_tv", "net_l2", "para", "dia", "r2", "importance", "r2prime_factor", "t1", "water",
    "misfit", "told_misfit",
)  # fmt: skip
"""Maps of a training head; susceptibility and field in ppm, ``dia`` as magnitude, R2 in Hz.
``importance``: 0 outside the mask, 1 in it, up to 2 in blobs. ``r2prime_factor``: R2' over Dr times
the sources. ``misfit``: what of the field no isotropic source explains; ``told_misfit``: its SD
as it is found in the field, one number. T1 in s."""

FINE = ("para", "dia", "r2", "water", "t1", "r2prime_factor")
"""Maps that are drawn on a grid twice as fine."""

_CLEAN_SHARE = 0.3
"""Share of the heads whose field is that of their sources, so that clean scans are learned, too."""
_MISFIT_RANGE_PPB = (1.0, 10.0)
"""SD of the misfit of the others, wider than what simulated scans have."""
_VESSEL_LABELS = [n for n, name in LABELS.items() if name in ("vein", "artery")]
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
    blobs = draw_blobs(index, fine, spacing_mm / 2, rng)
    coarse = {name: _halve(values) for name, values in fine.items()}
    brain = _halve((index > 0).float()) > 0.5
    blob_share = _halve(blobs)
    labels = np.asarray(LABEL_NUMBERS, dtype=np.int16)[index[1::2, 1::2, 1::2].numpy()]
    del fine, blobs, index
    _vary(coarse, labels, spacing_mm, rng)
    mask = _imperfect_mask(brain, spacing_mm, rng)
    isotropic, misfit = _fields(coarse, labels, mask, spacing_mm, rng)
    field = _measured_field(isotropic + misfit, mask, spacing_mm, rng)
    r2star = _measured_r2star(coarse, mask, rng)
    maps = Maps(mask, (spacing_mm,) * 3, (1.0, 0.0, 0.0), local_field=field, r2star=r2star)
    made = coarse | {
        "field": field,
        "net_tv": find("tv", "inversion").run(maps),
        "net_l2": linear_inversion(maps),
        "misfit": misfit,
        "told_misfit": torch.full(mask.shape, field_misfit_ppm(maps)),
        "importance": mask * (1 + blob_share),
    }
    stack = torch.stack([made[name] for name in CHANNELS])
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
    center = torch.tensor([(n - 1) / 2 for n in index.shape])
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
            voxel = line.div_(SPACING_MM).add_(center[a]).round_().long()
            valid &= (voxel >= 0) & (voxel < limits[a])
            where.add_(voxel.clamp_(0, int(limits[a]) - 1), alpha=int(strides[a]))
        result[k] = flat[where] * valid
    return result


def _measured_r2star(maps: dict[str, Tensor], mask: Tensor, rng: np.random.Generator) -> Tensor:
    """Return R2* in Hz with noise, whose borders the inversion sees."""
    noise = rng.uniform(0.3, 2.0) * rng.standard_normal(tuple(mask.shape), dtype=np.float32)
    r2prime = DR_HZ_PER_PPM * maps["r2prime_factor"] * (maps["para"] + maps["dia"])
    rate = maps["r2"] + r2prime + torch.from_numpy(noise)
    return rate.clamp_(min=0) * mask


def _value_table(prior: str, seed: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """Return values by label index; ``r2`` is that without iron and myelin (:func:`_vary`)."""
    patient = rng.uniform() < 0.7
    person = with_relaxation(draw_tissues(seed), seed, patient)
    if rng.uniform() < 0.6:
        person = with_contrast(person, draw_contrast(seed), patient)
    factors = {name: rng.uniform(0.3, 1.9, 2) for name in person}
    scatter = {name: np.exp(rng.normal(0, REGION_FACTOR_SD_LOG)) for name in person}
    overall = np.exp(rng.normal(0, 0.15, 2))
    table = {name: torch.zeros(len(LABEL_NUMBERS)) for name in FINE}
    for position, number in enumerate(LABEL_NUMBERS[1:], start=1):
        name = LABELS[number]
        tissue = person[name]
        para, dia = tissue.chi_para_ppb / 1000, -tissue.chi_dia_ppb / 1000
        # Where R2 does not follow from the sources, take off what they will bring.
        r2 = tissue.r2_hz - r2_of_sources_hz(1000 * para, 1000 * dia)
        if prior == "people":
            para, dia = (
                v * o * np.exp(rng.normal(0, 0.06))
                for v, o in zip((para, dia), overall, strict=True)
            )
        elif prior == "flat":
            para, dia = para * factors[name][0], dia * factors[name][1]
        elif name != "vein":
            para, dia = 0.15 * rng.uniform() ** 2, 0.09 * rng.uniform() ** 1.5
            r2 += rng.normal(0, 3.0)
        own = (para, dia, r2, tissue.water, tissue.t1_ms / 1000, scatter[name])
        for target, value in zip(table.values(), own, strict=True):
            target[position] = value
    return table


def _fill(index: Tensor, table: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the maps of a value table, slab by slab."""
    maps = {name: torch.empty(index.shape) for name in table}
    for start in range(0, index.shape[0], _SLAB):
        labels = index[start : start + _SLAB].int()
        for name, values in table.items():
            maps[name][start : start + _SLAB] = values[labels]
    return maps


def _vary(
    maps: dict[str, Tensor], labels: NDArray[np.int16], spacing_mm: float, rng: np.random.Generator
) -> None:
    """Let the sources vary within tissues, and R2 follow them, in place."""
    if rng.uniform() < 0.3:
        shape = maps["para"].shape
        change = _texture(shape, spacing_mm, rng), _texture(shape, spacing_mm, rng)
    else:
        change = source_factors(labels, spacing_mm, rng.uniform(0.05, 0.4), rng)
    maps["para"] *= change[0]
    maps["dia"] *= change[1]
    maps["r2"] += r2_of_sources_hz(1000 * maps["para"], 1000 * maps["dia"])
    maps["r2"].clamp_(min=0.4)


def _fields(
    maps: dict[str, Tensor],
    labels: NDArray[np.int16],
    mask: Tensor,
    spacing_mm: float,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Return the field of the sources, and what no isotropic source explains.

    What directions do to R2' goes into its factor, and to R2.
    """
    spacing = (spacing_mm, spacing_mm, spacing_mm)
    net = maps["para"] - maps["dia"]
    sources = net * mask if rng.uniform() < 0.85 else net
    field = DipoleOperator(tuple(net.shape), spacing, (1.0, 0.0, 0.0), pad=0.3)(sources).clone()
    misfit = torch.zeros(net.shape)
    if rng.uniform() < _CLEAN_SHARE:
        return field, misfit
    anisotropy = draw_anisotropy(rng)
    direction = fiber_directions(labels, spacing_mm, rng)
    r2prime, r2 = rate_changes(-maps["dia"], sin2_to_b0(direction), anisotropy)
    sources_hz = DR_HZ_PER_PPM * (maps["para"] + maps["dia"])
    maps["r2prime_factor"] += r2prime / sources_hz.clamp(min=0.5)
    maps["r2prime_factor"].clamp_(0.3, 3.0)
    maps["r2"].add_(r2).clamp_(min=0.4)
    known = fiber_field(-maps["dia"] * mask, direction, spacing_mm, anisotropy)
    numbers = torch.from_numpy(labels.astype(np.int64))
    place = Surroundings(
        mask.float(), torch.from_numpy(white_matter(labels).astype(np.float32)) * mask,
        torch.isin(numbers, torch.tensor(_VESSEL_LABELS)).float(),
    )  # fmt: skip
    low, high = (math.log(v / 1000) for v in _MISFIT_RANGE_PPB)
    sd_ppm = math.exp(rng.uniform(low, high))
    misfit = field_misfit(known, place, spacing, sd_ppm, rng)
    gain = rng.uniform(*GAIN_RANGE) if rng.uniform() < 0.5 else 1.0
    return field * gain, misfit


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
    field: Tensor, mask: Tensor, spacing_mm: float, rng: np.random.Generator
) -> Tensor:
    """Return the local field of a head as a scan would give it: noise, rests of background."""
    shape = field.shape
    sd = math.exp(rng.uniform(math.log(0.0005), math.log(0.005)))
    white = torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))
    uneven = (1 + 0.3 * _smooth_noise(shape, spacing_mm, 40.0, rng)).clamp_(0.3, 3)
    field = field + sd * white * uneven
    if rng.uniform() < 0.4:
        rest = _smooth_noise(shape, spacing_mm, rng.uniform(20, 50), rng)
        field += rng.uniform(0, 0.0015) * rest
    if rng.uniform() < 0.25:
        # Background removal takes part of the widest local field with it.
        coarse = functional.avg_pool3d((field * mask)[None, None], 12, ceil_mode=True)
        wide = functional.interpolate(coarse, size=tuple(shape), mode="trilinear")[0, 0]
        field -= rng.uniform(0, 0.5) * wide
    return field * mask
