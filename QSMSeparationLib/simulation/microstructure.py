"""White matter that is not isotropic: fiber directions and what they do to field and decay.

Arrays are (k, j, i) along (S, P, L); B0 is along k, and vectors are (k, j, i), too. Amplitudes
at 3 T, each drawn over its range; 0 is isotropic tissue:

* chi- is a tensor, cylindrical about the fiber: chi along it minus chi across it is 13.6 to
  19.2 ppb in cord (van Gelderen et al. 2015, torque balance) and -0.015 to 0.032 ppm over tracts
  (Ridani et al. 2026), that is up to 0.65 of abs(chi-). The mean over directions is chi-, which is
  what maps from many orientations show, and what the truth says.
* Myelin shifts the frequency of the water between its sheaths, by a negative amount across B0
  (Wharton and Bowtell; Kim et al. 2015); of the 0.5 abs(chi-) sin^2 of a purely longitudinal
  arrangement (He and Yablonskiy 2009) most is cancelled by exchange, so 0 to 0.3 is drawn.
* T2* falls from 57 ms along to 49 ms across B0 (Bender and Klose 2010, 3 T): 2.9 Hz. R2' and R2
  share it (Bauer et al. 2025 find both to depend on direction).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from QSMSeparationLib.physics.dipole import padded_shape
from QSMSeparationLib.physics.fourier import inverse_rfftn
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.simulation.tissues import LABELS, TISSUES

RATIO_RANGE = (0.3, 0.65)
OFFSET_RANGE = (0.0, 0.3)
RATE_RANGE_HZ = (1.5, 4.0)
RATE_SHARE_RANGE = (0.3, 0.7)
MYELIN_PPB = 30.0
"""abs(chi-) of white matter, to which the rates above belong."""
MEAN_SIN2 = 2 / 3
"""Mean of sin^2 over all directions: the rates of a tissue are those of that mean."""

# Main direction of the fibers, (S, P, L). Textbook anatomy.
_TRACTS: Mapping[str, tuple[float, float, float]] = {
    "corpus callosum genu": (0.0, 0.3, 1.0),
    "corpus callosum body": (0.2, 0.0, 1.0),
    "corpus callosum splenium": (0.1, 0.3, 1.0),
    "anterior internal capsule": (0.3, 1.0, 0.3),
    "posterior internal capsule": (1.0, 0.1, 0.2),
    "retrolenticular capsule": (0.4, 1.0, 0.3),
    "anterior corona radiata": (0.6, 1.0, 0.3),
    "superior corona radiata": (1.0, 0.1, 0.3),
    "posterior corona radiata": (0.8, 0.7, 0.2),
    "optic radiation": (0.1, 1.0, 0.3),
    "sagittal stratum": (0.2, 1.0, 0.1),
    "superior longitudinal fasciculus": (0.1, 1.0, 0.1),
    "cerebral peduncle": (1.0, 0.2, 0.3),
    "brain stem": (1.0, 0.1, 0.0),
}
_GYRAL_SMOOTHING_MM = 2.0
_BLEND_MM = 2.5
_WANDER_MM = 12.0
_WANDER_WEIGHT = 0.4
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_WHITE_LABELS = [n for n, name in LABELS.items() if TISSUES[name].white]
_CORTEX_LABELS = [n for n, name in LABELS.items() if name in ("cortex", "cerebellar cortex")]


@dataclass(frozen=True)
class Anisotropy:
    """Amplitudes of one person.

    Parameters
    ----------
    ratio : float
        (chi along - chi across the fiber) / abs(chi-).
    offset : float
        Frequency offset across B0 / abs(chi-), counted negative.
    r2prime_hz, r2_hz : float
        How much R2' and R2 of white matter are higher across B0 than along it.
    """

    ratio: float = 0.0
    offset: float = 0.0
    r2prime_hz: float = 0.0
    r2_hz: float = 0.0


@dataclass(frozen=True, eq=False)
class Fibers:
    """White matter of one head.

    Parameters
    ----------
    factor : int
        Fine voxels along one of the coarse grid that the directions lie on.
    direction : Tensor
        From :func:`fiber_directions`, on the coarse grid of the brain's box.
    anisotropy : Anisotropy
        Amplitudes.
    """

    factor: int
    direction: Tensor
    anisotropy: Anisotropy


def draw_anisotropy(rng: np.random.Generator) -> Anisotropy:
    """Draw amplitudes over the range of the literature."""
    ratio, offset = rng.uniform(*RATIO_RANGE), rng.uniform(*OFFSET_RANGE)
    rate, share = rng.uniform(*RATE_RANGE_HZ), rng.uniform(*RATE_SHARE_RANGE)
    return Anisotropy(float(ratio), float(offset), float(share * rate), float((1 - share) * rate))


def white_matter(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return where the labels are white matter."""
    return np.isin(labels, _WHITE_LABELS)


def fiber_directions(
    labels: NDArray[np.integer], spacing_mm: float, rng: np.random.Generator
) -> Tensor:
    """Return unit vectors (3, k, j, i) along the fibers of white matter, 0 elsewhere.

    Labeled tracts run as textbooks say. Elsewhere fibers climb towards the cortex they belong
    to, and wander. Both are blended as orientation tensors, so directions are smooth in between,
    and a fiber has no sign.
    """
    white = white_matter(labels)
    inside = torch.from_numpy(white.astype(np.float32))
    guess = _climbing(labels, spacing_mm) + _WANDER_WEIGHT * _wandering(
        labels.shape, spacing_mm, rng
    )
    for number in np.unique(labels[white]):
        axis = _TRACTS.get(LABELS[int(number)])
        if axis is not None:
            own = torch.from_numpy(labels == number)
            for a in range(3):
                guess[a][own] = 1.5 * axis[a] / math.hypot(*axis) + 0.2 * guess[a][own]
    tensors = {}
    for a, b in _PAIRS:
        tensors[a, b] = gaussian(guess[a] * guess[b] * inside, _BLEND_MM, (spacing_mm,) * 3)
    return _main_direction(tensors, guess) * inside


def _climbing(labels: NDArray[np.integer], spacing_mm: float) -> Tensor:
    """Slope of the distance to the cortex, about 1 long."""
    cortex = np.isin(labels, _CORTEX_LABELS)
    if not cortex.any():
        return torch.zeros((3, *labels.shape))
    distance = np.asarray(ndimage.distance_transform_edt(~cortex, sampling=spacing_mm), np.float32)
    smooth = gaussian(torch.from_numpy(distance), _GYRAL_SMOOTHING_MM, (spacing_mm,) * 3)
    return torch.stack(torch.gradient(smooth, spacing=spacing_mm))


def _wandering(shape: tuple[int, ...], spacing_mm: float, rng: np.random.Generator) -> Tensor:
    """Smooth random vectors of about unit length per axis."""
    knots = [max(3, round(n * spacing_mm / _WANDER_MM)) for n in shape]
    noise = torch.from_numpy(rng.standard_normal((1, 3, *knots), dtype=np.float32))
    return 1.6 * torch.nn.functional.interpolate(noise, size=tuple(shape), mode="trilinear")[0]


def _main_direction(tensors: dict[tuple[int, int], Tensor], start: Tensor) -> Tensor:
    """Main eigenvector of symmetric tensors, by power iteration."""
    vector = start + 1e-3
    for _ in range(10):
        vector = torch.stack([_row(tensors, vector, axis) for axis in range(3)])
        vector /= torch.linalg.vector_norm(vector, dim=0).clamp_(min=1e-9)
    return vector


def _row(tensors: dict[tuple[int, int], Tensor], vector: Tensor, axis: int) -> Tensor:
    """One component of symmetric tensors times vectors."""
    total = torch.zeros_like(vector[0])
    for other in range(3):
        total += tensors[min(axis, other), max(axis, other)] * vector[other]
    return total


def sin2_to_b0(direction: Tensor) -> Tensor:
    """Return sin^2 of the angle between the fibers and B0; its mean where there are none."""
    fiber = (direction * direction).sum(dim=0) > 0.5
    return torch.where(fiber, 1 - direction[0] ** 2, torch.tensor(MEAN_SIN2)).clamp_(0, 1)


def fiber_field(
    dia_ppm: Tensor, direction: Tensor, spacing_mm: float, anisotropy: Anisotropy
) -> Tensor:
    """Return the field in ppm that white matter adds to that of its mean chi-.

    Parameters
    ----------
    dia_ppm : Tensor
        chi- <= 0, its mean over directions, (k, j, i).
    direction : Tensor
        From :func:`fiber_directions`.
    spacing_mm : float
        Isotropic voxel size.
    anisotropy : Anisotropy
        Amplitudes.
    """
    fiber = (direction * direction).sum(dim=0)
    strength = -anisotropy.ratio * dia_ppm * fiber
    field = _tensor_field(
        strength * (direction[0] ** 2 - fiber / 3),
        strength * direction[0] * direction[1],
        strength * direction[0] * direction[2],
        spacing_mm,
    )
    offset = anisotropy.offset * dia_ppm * (sin2_to_b0(direction) - MEAN_SIN2) * fiber
    return field + offset


def _tensor_field(along: Tensor, cross_j: Tensor, cross_i: Tensor, spacing_mm: float) -> Tensor:
    """Field of a traceless tensor with the elements (kk, kj, ki), B0 along k (Liu 2010)."""
    shape = tuple(along.shape)
    padded = padded_shape(shape, 0.25)
    waves, crosses = [], []
    for axis, n in enumerate(padded):
        wave = torch.fft.fftfreq(n, spacing_mm)
        wave = wave[: n // 2 + 1].abs() if axis == 2 else wave
        cross = wave.clone()
        if n % 2 == 0:
            cross[n // 2] = 0.0  # +k and -k share this sample; cross terms cancel there
        view = [-1 if a == axis else 1 for a in range(3)]
        waves.append(wave.view(view))
        crosses.append(cross.view(view))
    square = waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2
    square[0, 0, 0] = 1.0
    spectrum = torch.fft.rfftn(along, s=padded) * (1 / 3 - waves[0] ** 2 / square)
    for element, cross in ((cross_j, crosses[1]), (cross_i, crosses[2])):
        spectrum -= torch.fft.rfftn(element, s=padded) * (crosses[0] * cross / square)
    spectrum[0, 0, 0] = 0.0  # as the dipole has it: the field is known up to a constant
    k, j, i = shape
    return inverse_rfftn(spectrum, padded)[:k, :j, :i].clone()


def rate_changes(dia_ppm: Tensor, sin2: Tensor, anisotropy: Anisotropy) -> tuple[Tensor, Tensor]:
    """Return what direction adds to R2' and R2 in Hz at 3 T; 0 on average over directions."""
    myelin = (-1000 * dia_ppm / MYELIN_PPB).clamp_(max=3.0) * (sin2 - MEAN_SIN2)
    return anisotropy.r2prime_hz * myelin, anisotropy.r2_hz * myelin
