"""Images of any contrast for ``anatomy-net``: domain randomisation on shapes of heads.

Billot et al. (SynthSeg, Med Image Anal 2023;86:102789) and Hoopes et al. (SynthStrip,
NeuroImage 2022;260:119474): a network that never sees the same contrast twice learns shapes.
A third of our images has the contrast of a sequence (gradient echo at short and long echoes,
T1, T2, FLAIR, proton density) from the tissue values of the digital head; in the others every
tissue has any brightness. All get what scans suffer from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.anatomy.scaling import scaled
from QSMSeparationLib.data.structures import FIRST_OF_BRAIN, INDEX
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM
from QSMSeparationLib.simulation.tissues import Tissue, draw_tissues
from QSMSeparationLib.training.anatomy_shapes import (
    CLASS_OF_INDEX,
    TISSUE_NAMES,
    WINDOW,
)

Array = NDArray[np.float32]
Random = np.random.Generator

_AIR, _WHITE = INDEX["air"], INDEX["white matter"]
_FLUID = INDEX["sulcal fluid"]
_BASE = [name.split("/")[0] for name in TISSUE_NAMES]
_IS_BRAIN = CLASS_OF_INDEX >= FIRST_OF_BRAIN
_ALIKE = {"sulcal fluid": "CSF", "outer fluid": "CSF", "ventricles": "CSF", "brain vessel": "vein"}
"""Tissues of our own, and whose values they have."""
_PARTED = [n for n, name in enumerate(TISSUE_NAMES) if "/" in name]


@dataclass
class Picture:
    """An image in the making, and what is to be learnt from it, on one device.

    Parameters
    ----------
    image : Tensor
        Brightness at 2 mm, float32.
    target, side : Tensor
        Class and side (0 none, 1 left, 2 right), uint8.
    """

    image: Tensor
    target: Tensor
    side: Tensor

    @property
    def brain(self) -> Tensor:
        """Where the brain is."""
        return self.target >= FIRST_OF_BRAIN


def draw_picture(shape: Mapping[str, Tensor], rng: Random) -> Picture:
    """Draw a contrast on a shape, then spoil it as scans are spoilt; on the device of the shape."""
    fine = shape["fine"]
    values = torch.from_numpy(brightness(rng)).to(fine.device)
    image = functional.avg_pool3d(values[fine.int()][None], 2)[0]
    picture = Picture(image, shape["target"].clone(), shape["side"].clone())
    _textures(picture, rng)
    for chance, spoil in _SPOILS:
        if rng.uniform() < chance:
            spoil(picture, rng)
    if rng.uniform() < 0.5:
        _flip(picture)
    picture.image = scaled(picture.image)
    return picture


def brightness(rng: Random, sequence: bool | None = None) -> Array:
    """Draw the brightness of every tissue index: of a sequence, or any, or (None) either."""
    if sequence is None:
        sequence = rng.uniform() < 0.35
    values = _sequence(rng) if sequence else _any_contrast(rng)
    _vary_outside(values, rng)
    if rng.uniform() < 0.15:
        tissue = _IS_BRAIN & ~np.isin(_BASE, list(_ALIKE))
        mean = values[tissue].mean()
        values[tissue] = mean + rng.uniform(0.0, 0.3) * (values[tissue] - mean)
    return values.clip(min=0.0).astype(np.float32)


def _any_contrast(rng: Random) -> Array:
    """Every tissue has any brightness; tracts resemble white matter, fluids one another."""
    values = rng.uniform(0.0, 1.0, len(TISSUE_NAMES))
    white = values[TISSUE_NAMES.index("white matter")]
    tracts = CLASS_OF_INDEX == _WHITE
    values[tracts] = white + rng.normal(0, 0.03, tracts.sum())
    fluid = values[TISSUE_NAMES.index("CSF")]
    for name in ("sulcal fluid", "outer fluid", "ventricles"):
        values[TISSUE_NAMES.index(name)] = fluid + rng.normal(0, 0.03)
    if rng.uniform() < 0.6:
        grey = values[TISSUE_NAMES.index("cortex")]
        alike = [n for n, base in enumerate(_BASE) if base in _GREY]
        values[alike] = grey + rng.normal(0, 0.08, len(alike))
        like_white = [n for n, base in enumerate(_BASE) if base in _LIKE_WHITE]
        values[like_white] = white + rng.normal(0, 0.06, len(like_white))
    air = TISSUE_NAMES.index("air")
    values[air] = 0.0 if rng.uniform() < 0.8 else rng.uniform(0, 0.3)
    return values.astype(np.float32)


_GREY = {
    "cortex", "cerebellar cortex", "caudate", "putamen", "globus pallidus", "accumbens", "thalamus",
    "pulvinar", "hippocampus", "amygdala", "red nucleus", "substantia nigra", "subthalamic nucleus",
    "dentate nucleus",
}  # fmt: skip
_LIKE_WHITE = {
    "cerebellar white matter", "brain stem", "ventral diencephalon", "cerebral peduncle"
}  # fmt: skip


def _sequence(rng: Random) -> Array:
    """Return the brightness in one of five sequences at 3 T, with values of one person."""
    person = draw_tissues(int(rng.integers(1 << 30)), moved=0.2)
    signal = (_gradient_echo, _gradient_echo, _t1_weighted, _t2_weighted, _flair, _density)[
        rng.integers(6)
    ](rng)
    values = [signal(_jittered(person[_ALIKE.get(base, base)], rng)) for base in _BASE]
    return np.array(values, np.float32) / max(values)


def _jittered(tissue: Tissue, rng: Random) -> Tissue:
    """Return a tissue with other relaxation times and water, by 10 % and 3 % (SD)."""
    t1, t2, density = np.exp(rng.normal(0, 1, 3) * (0.1, 0.1, 0.03))
    return Tissue(
        chi_para_ppb=tissue.chi_para_ppb, chi_dia_ppb=tissue.chi_dia_ppb,
        t2_ms=t2 * 1000 / tissue.r2_hz, t1_ms=tissue.t1_ms * t1, water=tissue.water * density,
    )  # fmt: skip


def _gradient_echo(rng: Random) -> Callable[[Tissue], float]:
    tr, te, flip = rng.uniform(20, 60), rng.uniform(2, 40), np.deg2rad(rng.uniform(6, 30))

    def signal(tissue: Tissue) -> float:
        e1 = np.exp(-tr / tissue.t1_ms)
        sources_ppm = (abs(tissue.chi_para_ppb) + abs(tissue.chi_dia_ppb)) / 1000
        rate = tissue.r2_hz / 1000 + DR_HZ_PER_PPM * sources_ppm / 1000
        steady = np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1)
        return float(tissue.water * steady * np.exp(-te * rate))

    return signal


def _t1_weighted(rng: Random) -> Callable[[Tissue], float]:
    ti, tr = rng.uniform(700, 1100), rng.uniform(1800, 2600)
    return lambda t: float(t.water * abs(1 - 2 * np.exp(-ti / t.t1_ms) + np.exp(-tr / t.t1_ms)))


def _t2_weighted(rng: Random) -> Callable[[Tissue], float]:
    te, tr = rng.uniform(70, 130), rng.uniform(3000, 6000)
    return lambda t: float(
        t.water * (1 - np.exp(-tr / t.t1_ms)) * np.exp(-te / min(1000 / t.r2_hz, 600))
    )


def _flair(rng: Random) -> Callable[[Tissue], float]:
    te, ti, tr = rng.uniform(80, 130), rng.uniform(2000, 2600), rng.uniform(7000, 10000)
    return lambda t: float(
        t.water
        * abs(1 - 2 * np.exp(-ti / t.t1_ms) + np.exp(-tr / t.t1_ms))
        * np.exp(-te / min(1000 / t.r2_hz, 600))
    )


def _density(rng: Random) -> Callable[[Tissue], float]:
    te = rng.uniform(2, 30)
    return lambda t: float(t.water * np.exp(-te * t.r2_hz / 1000))


def _vary_outside(values: Array, rng: Random) -> None:
    """Make skull and scalp other than tabled: bright muscle; fatty, dark or no marrow."""
    if rng.uniform() < 0.7:
        values[_PARTED] *= np.exp(rng.normal(0, 0.35, len(_PARTED))).astype(np.float32)
    for n in _PARTED:
        if _BASE[n] in ("soft tissue", "muscle") and rng.uniform() < 0.3:
            like = ("white matter", "cortex", "CSF", "cerebellar cortex")[rng.integers(4)]
            values[n] = values[TISSUE_NAMES.index(like)] * rng.uniform(0.85, 1.15)
    bone = [n for n in _PARTED if _BASE[n] == "cortical bone"]
    marrow = [n for n in _PARTED if _BASE[n] == "bone marrow"]
    if rng.uniform() < 0.7:
        values[bone] = rng.uniform(0.0, 0.25) * values.max()
    kind = rng.uniform()
    if kind < 0.3:
        values[marrow] = values[bone]
    elif kind < 0.5:
        values[marrow] = values[TISSUE_NAMES.index("fat/0")]


def _smooth(picture: Picture, rng: Random, knots: int) -> Tensor:
    """Return a smooth field of SD about 1."""
    noise = torch.tensor(rng.normal(0, 1, (1, 1, knots, knots, knots)), dtype=torch.float32)
    noise = noise.to(picture.image.device)
    return functional.interpolate(noise, size=WINDOW, mode="trilinear")[0, 0]


def _white_noise(picture: Picture, rng: Random) -> Tensor:
    """Return white noise of SD 1, drawn on the device."""
    device = picture.image.device
    generator = torch.Generator(device).manual_seed(int(rng.integers(1 << 62)))
    return torch.randn(WINDOW, generator=generator, device=device)


def _axes(picture: Picture) -> list[Tensor]:
    """Return the places of the voxels along each axis, to broadcast."""
    k, j, i = (torch.arange(n, device=picture.image.device) for n in WINDOW)
    return [k[:, None, None], j[None, :, None], i[None, None, :]]


def _one_of(places: Tensor, rng: Random) -> list[int]:
    """Return the indices of one voxel of many."""
    return places[int(rng.integers(len(places)))].tolist()


def _textures(picture: Picture, rng: Random) -> None:
    """Give every class its own graininess, and tissue a slow variation."""
    sd = rng.uniform(0, 0.08, len(INDEX)).astype(np.float32)
    sd[_AIR] = 0.0
    graininess = torch.from_numpy(sd).to(picture.image.device)[picture.target.int()]
    picture.image += graininess * _white_noise(picture, rng)
    picture.image *= 1 + rng.uniform(0, 0.06) * _smooth(picture, rng, int(rng.integers(10, 40)))


def _add_lesions(picture: Picture, rng: Random) -> None:
    """Make patches of white matter brighter or darker; they stay white matter."""
    where = _smooth(picture, rng, int(rng.integers(14, 34))) > rng.uniform(1.6, 2.4)
    spots = where & (picture.target == _WHITE)
    picture.image = torch.where(spots, picture.image * rng.uniform(0.5, 1.7), picture.image)


def _cut_hole(picture: Picture, rng: Random) -> None:
    """Take a piece of brain out, as a surgeon does; fluid (or air) fills it."""
    brain = picture.brain.nonzero()
    if len(brain) == 0:
        return
    center, radii = _one_of(brain, rng), rng.uniform(3, 14, 3).tolist()
    parts = (((x - c) / r) ** 2 for x, c, r in zip(_axes(picture), center, radii, strict=True))
    hole = (reduce(torch.add, parts) < 1) & picture.brain
    fluid = picture.image[picture.target == _FLUID]
    of_fluid = len(fluid) > 0 and rng.uniform() < 0.7
    picture.image[hole] = float(fluid.median()) if of_fluid else rng.uniform(0, 1)
    picture.target[hole], picture.side[hole] = _FLUID, 0


def _drop_out(picture: Picture, rng: Random) -> None:
    """Take signal away near air: gradient echoes lose it above the sinuses and the ears."""
    air = picture.target == _AIR
    near = (air & torch.roll(picture.brain, -8, dims=0)).nonzero()
    axes = _axes(picture)
    for _ in range(rng.integers(1, 4) if len(near) else 0):
        center, reach = _one_of(near, rng), rng.uniform(3, 10)
        parts = (((x - c) / reach) ** 2 for x, c in zip(axes, center, strict=True))
        picture.image *= 1 - torch.exp(-reduce(torch.add, parts)) * rng.uniform(0.3, 1.0)


def _bias(picture: Picture, rng: Random) -> None:
    """Brighten what is near a coil."""
    smooth = _smooth(picture, rng, int(rng.integers(3, 6)))
    picture.image *= torch.exp(rng.uniform(0, 0.45) * smooth)


def _blur(picture: Picture, rng: Random) -> None:
    """Blur along each axis by up to a voxel."""
    for axis in range(3):
        share = rng.uniform(0, 0.25)
        image = (1 - 2 * share) * picture.image
        n = WINDOW[axis] - 1
        image.narrow(axis, 1, n).add_(picture.image.narrow(axis, 0, n), alpha=share)
        image.narrow(axis, 0, n).add_(picture.image.narrow(axis, 1, n), alpha=share)
        picture.image = image


def _thicken_slices(picture: Picture, rng: Random) -> None:
    """Average over slices of up to 5 mm along one axis, then interpolate."""
    axis, thickness = rng.integers(3), rng.uniform(2.2, 5.0)
    size: list[int] = list(WINDOW)
    size[axis] = round(size[axis] * 2 / thickness)
    thick = functional.interpolate(picture.image[None, None], size=size, mode="area")
    picture.image = functional.interpolate(thick, size=WINDOW, mode="trilinear")[0, 0]


def _noise(picture: Picture, rng: Random) -> None:
    """Add noise as magnitudes have it: that of two channels."""
    sd = 10 ** rng.uniform(-2.3, -0.9) * float(picture.image.max())
    noisy = torch.hypot(
        picture.image + sd * _white_noise(picture, rng), sd * _white_noise(picture, rng)
    )
    if rng.uniform() < 0.4:
        noisy = torch.where(picture.target == _AIR, picture.image, noisy)
    picture.image = noisy


def _bend_brightness(picture: Picture, rng: Random) -> None:
    """Apply a gamma."""
    top = max(float(picture.image.max()), 1e-6)
    picture.image = (picture.image.clamp(min=0) / top) ** float(np.exp(rng.normal(0, 0.25)))


def _hide(picture: Picture, hidden: Tensor) -> None:
    picture.image[hidden] = 0
    picture.target[hidden], picture.side[hidden] = _AIR, 0


def _cut_field_of_view(picture: Picture, rng: Random) -> None:
    """Cut the head below, above, or on both sides: missing neck, slabs."""
    rows = picture.brain.any(dim=2).any(dim=1).nonzero().flatten().tolist()
    if not rows:
        return
    low, high = rows[0], rows[-1]
    kind = rng.uniform()
    bottom, top = 0, WINDOW[0]
    if kind < 0.75:
        bottom = max(0, int(low + rng.integers(-10, 14)))
    if kind > 0.6:
        top = int(high + rng.integers(-14, 8))
    if kind > 0.92:
        bottom = int(rng.integers(low, max(low + 1, high - 20)))
        top = bottom + int(rng.integers(20, 50))
    hidden = torch.ones_like(picture.target, dtype=torch.bool)
    hidden[bottom : max(top, bottom + 20)] = False
    _hide(picture, hidden)


def _grown(mask: Tensor, voxels: int) -> Tensor:
    """Return a mask and what is within so many voxels of it, a cube at a time."""
    grown = mask.float()[None, None]
    return functional.max_pool3d(grown, 2 * voxels + 1, stride=1, padding=voxels)[0, 0] > 0


def _extract_brain(picture: Picture, rng: Random) -> None:
    """Set to 0 what a brain extraction takes off: all beyond 0 to 6 mm from the brain."""
    _hide(picture, ~_grown(picture.brain, int(rng.integers(0, 4))))


def _take_face_off(picture: Picture, rng: Random) -> None:
    """Set to 0 what lies before and below a plane, but for the brain and 1 cm around it."""
    near = _grown(picture.brain, 5)
    k, j, _ = _axes(picture)
    _hide(picture, ((k + j) < rng.uniform(60, 90)) & ~near)


def _flip(picture: Picture) -> None:
    """Exchange left and right."""
    picture.image, picture.target = picture.image.flip(2), picture.target.flip(2)
    side = picture.side.flip(2)
    picture.side = torch.where(side > 0, 3 - side, side)


_SPOILS: tuple[tuple[float, Callable[[Picture, Random], None]], ...] = (
    (0.35, _add_lesions),
    (0.08, _cut_hole),
    (0.25, _drop_out),
    (0.8, _bias),
    (0.5, _blur),
    (0.35, _thicken_slices),
    (0.9, _noise),
    (0.6, _bend_brightness),
    (0.35, _cut_field_of_view),
    (0.15, _extract_brain),
    (0.08, _take_face_off),
)
"""Share of images that each of the ways to spoil one applies to, in their order."""
