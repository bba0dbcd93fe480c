"""Images of any contrast for ``anatomy-net``: domain randomisation on shapes of heads.

Billot et al. (SynthSeg, Med Image Anal 2023;86:102789) and Hoopes et al. (SynthStrip,
NeuroImage 2022;260:119474): a network that never sees the same contrast twice learns shapes.
A third of our images has the contrast of a sequence (gradient echo at short and long echoes,
T1, T2, FLAIR, proton density) from the tissue values of the digital head; in the others every
tissue has any brightness. All get what scans suffer from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

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
    """An image in the making, and what is to be learnt from it.

    Parameters
    ----------
    image : ndarray of float32
        Brightness at 2 mm.
    target, side : ndarray of uint8
        Class and side (0 none, 1 left, 2 right).
    """

    image: Array
    target: NDArray[np.uint8]
    side: NDArray[np.uint8]


def draw_picture(shape: dict[str, NDArray[np.uint8]], rng: Random) -> Picture:
    """Draw a contrast on a shape, then spoil it as scans are spoilt."""
    fine = shape["fine"]
    image = _pooled(brightness(rng)[fine])
    picture = Picture(image, shape["target"].copy(), shape["side"].copy())
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


def _pooled(fine: Array) -> Array:
    k, j, i = WINDOW
    return fine.reshape(k, 2, j, 2, i, 2).mean(axis=(1, 3, 5), dtype=np.float32)


def _smooth(rng: Random, knots: int) -> Array:
    """Return a smooth field of SD about 1."""
    noise = torch.tensor(rng.normal(0, 1, (1, 1, knots, knots, knots)), dtype=torch.float32)
    return functional.interpolate(noise, size=WINDOW, mode="trilinear")[0, 0].numpy()


def _normal(rng: Random) -> Array:
    return rng.standard_normal(WINDOW, dtype=np.float32)


def _textures(picture: Picture, rng: Random) -> None:
    """Give every class its own graininess, and tissue a slow variation."""
    sd = rng.uniform(0, 0.08, len(INDEX)).astype(np.float32)
    sd[_AIR] = 0.0
    picture.image += sd[picture.target] * _normal(rng)
    picture.image *= 1 + rng.uniform(0, 0.06) * _smooth(rng, int(rng.integers(10, 40)))


def _add_lesions(picture: Picture, rng: Random) -> None:
    """Make patches of white matter brighter or darker; they stay white matter."""
    spots = (_smooth(rng, int(rng.integers(14, 34))) > rng.uniform(1.6, 2.4)) & (
        picture.target == _WHITE
    )
    picture.image[spots] *= rng.uniform(0.5, 1.7)


def _cut_hole(picture: Picture, rng: Random) -> None:
    """Take a piece of brain out, as a surgeon does; fluid (or air) fills it."""
    brain = np.argwhere(picture.target >= FIRST_OF_BRAIN)
    if len(brain) == 0:
        return
    center, radii = brain[rng.integers(len(brain))], rng.uniform(3, 14, 3)
    axes = np.ogrid[tuple(slice(0, n) for n in WINDOW)]
    distance = sum(((x - c) / r) ** 2 for x, c, r in zip(axes, center, radii, strict=True))
    hole = (distance < 1) & (picture.target >= FIRST_OF_BRAIN)
    fluid = picture.image[picture.target == _FLUID]
    filling = float(np.median(fluid)) if fluid.size and rng.uniform() < 0.7 else rng.uniform(0, 1)
    picture.image[hole] = filling
    picture.target[hole], picture.side[hole] = _FLUID, 0


def _drop_out(picture: Picture, rng: Random) -> None:
    """Take signal away near air: gradient echoes lose it above the sinuses and the ears."""
    near = np.argwhere(
        (picture.target == _AIR) & (np.roll(picture.target, -8, axis=0) >= FIRST_OF_BRAIN)
    )
    axes = np.ogrid[tuple(slice(0, n) for n in WINDOW)]
    for _ in range(rng.integers(1, 4) if len(near) else 0):
        center, reach = near[rng.integers(len(near))], rng.uniform(3, 10)
        parts = (((x - c) / reach) ** 2 for x, c in zip(axes, center, strict=True))
        distance = reduce(np.add, parts)
        picture.image *= 1 - np.exp(-distance.astype(np.float32)) * rng.uniform(0.3, 1.0)


def _bias(picture: Picture, rng: Random) -> None:
    """Brighten what is near a coil."""
    picture.image *= np.exp(rng.uniform(0, 0.45) * _smooth(rng, int(rng.integers(3, 6))))


def _blur(picture: Picture, rng: Random) -> None:
    """Blur along each axis by up to a voxel."""
    image = torch.from_numpy(picture.image)[None, None]
    for axis in range(3):
        share = rng.uniform(0, 0.25)
        kernel = torch.tensor([share, 1 - 2 * share, share], dtype=torch.float32)
        size, pad = [1, 1, 1, 1, 1], [0, 0, 0]
        size[axis + 2], pad[axis] = 3, 1
        image = functional.conv3d(image, kernel.view(size), padding=tuple(pad))
    picture.image = image[0, 0].numpy()


def _thicken_slices(picture: Picture, rng: Random) -> None:
    """Average over slices of up to 5 mm along one axis, then interpolate."""
    axis, thickness = rng.integers(3), rng.uniform(2.2, 5.0)
    size: list[int] = list(WINDOW)
    size[axis] = round(size[axis] * 2 / thickness)
    image = torch.from_numpy(picture.image)[None, None]
    thick = functional.interpolate(image, size=size, mode="area")
    picture.image = functional.interpolate(thick, size=WINDOW, mode="trilinear")[0, 0].numpy()


def _noise(picture: Picture, rng: Random) -> None:
    """Add noise as magnitudes have it: that of two channels."""
    sd = 10 ** rng.uniform(-2.3, -0.9) * float(picture.image.max())
    empty = (picture.target == _AIR) & (rng.uniform() < 0.4)
    noisy = np.hypot(picture.image + sd * _normal(rng), sd * _normal(rng))
    picture.image = np.where(empty, picture.image, noisy).astype(np.float32, copy=False)


def _bend_brightness(picture: Picture, rng: Random) -> None:
    """Apply a gamma."""
    top = max(float(picture.image.max()), 1e-6)
    gamma = float(np.exp(rng.normal(0, 0.25)))
    bent = (picture.image.clip(min=0) / top) ** np.float32(gamma)
    picture.image = bent.astype(np.float32, copy=False)


def _hide(picture: Picture, hidden: NDArray[np.bool_]) -> None:
    picture.image[hidden] = 0
    picture.target[hidden], picture.side[hidden] = _AIR, 0


def _cut_field_of_view(picture: Picture, rng: Random) -> None:
    """Cut the head below, above, or on both sides: missing neck, slabs."""
    rows = np.flatnonzero((picture.target >= FIRST_OF_BRAIN).any(axis=(1, 2)))
    if rows.size == 0:
        return
    low, high = int(rows[0]), int(rows[-1])
    kind = rng.uniform()
    bottom, top = 0, WINDOW[0]
    if kind < 0.75:
        bottom = max(0, int(low + rng.integers(-10, 14)))
    if kind > 0.6:
        top = int(high + rng.integers(-14, 8))
    if kind > 0.92:
        bottom = int(rng.integers(low, max(low + 1, high - 20)))
        top = bottom + int(rng.integers(20, 50))
    hidden = np.ones(WINDOW, bool)
    hidden[bottom : max(top, bottom + 20)] = False
    _hide(picture, hidden)


def _extract_brain(picture: Picture, rng: Random) -> None:
    """Set to 0 what a brain extraction takes off: all beyond 0 to 6 mm from the brain."""
    brain = torch.from_numpy((picture.target >= FIRST_OF_BRAIN).astype(np.float32))[None, None]
    for _ in range(rng.integers(0, 4)):
        brain = functional.max_pool3d(brain, 3, stride=1, padding=1)
    _hide(picture, brain[0, 0].numpy() == 0)


def _take_face_off(picture: Picture, rng: Random) -> None:
    """Set to 0 what lies before and below a plane, but for the brain and 1 cm around it."""
    brain = torch.from_numpy((picture.target >= FIRST_OF_BRAIN).astype(np.float32))[None, None]
    near = functional.max_pool3d(brain, 11, stride=1, padding=5)[0, 0].numpy() > 0
    k, j, _ = np.ogrid[tuple(slice(0, n) for n in WINDOW)]
    _hide(picture, ((k + j) < rng.uniform(60, 90)) & ~near)


def _flip(picture: Picture) -> None:
    """Exchange left and right."""
    picture.image = np.ascontiguousarray(picture.image[..., ::-1])
    picture.target = np.ascontiguousarray(picture.target[..., ::-1])
    swap = np.array([0, 2, 1], np.uint8)
    picture.side = np.ascontiguousarray(swap[picture.side[..., ::-1]])


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
