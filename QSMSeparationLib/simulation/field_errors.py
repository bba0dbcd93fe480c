"""The misfit of a real local field: what no isotropic source explains.

Measured at 3 T against a map from twelve orientations (2016 challenge): the difference between
the local field and that of the map has SD 5.9 ppb, and 3.7, 3.0, 2.2, 1.3, 0.4 ppb after
Gaussians of SD 1, 2, 4, 8, 16 mm; the field is 1.08 times that of the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from QSMSeparationLib.data.axes import Triple
from QSMSeparationLib.physics.smoothing import gaussian

SD_RANGE_PPB = (2.0, 8.0)
STRONG_SD_RANGE_PPB = (5.0, 12.0)
GAIN_RANGE = (0.95, 1.10)
SCALES_MM = (0.0, 1.0, 2.0, 4.0, 8.0)
SPECTRUM = (1.0, 0.627, 0.508, 0.373, 0.220)
"""SD of the misfit after a Gaussian of each scale, relative to the SD of all of it."""
LENGTHS_MM = (0.0, 0.7, 1.5, 4.0, 7.0)
"""Gaussians of these SD make the random part (0: white); they span the spectrum above."""
LARGEST_FIBER_SHARE = 0.8
"""White matter alone explains this much of the misfit's SD at most."""
_FIBER_EXCESS, _VESSEL_EXCESS, _EDGE_EXCESS = 0.4, 0.8, 0.6
_EDGE_MM = 4.0
_VESSEL_MM = 1.5


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Where a misfit is larger; float maps (k, j, i) between 0 and 1.

    Parameters
    ----------
    mask : Tensor
        Brain.
    fibers, vessels : Tensor
        White matter; veins and arteries.
    """

    mask: Tensor
    fibers: Tensor
    vessels: Tensor


def misfit(
    known: Tensor, place: Surroundings, spacing: Triple, sd_ppm: float, rng: np.random.Generator
) -> Tensor:
    """Fill up a known misfit by a random one to an SD with the measured spectrum.

    Parameters
    ----------
    known : Tensor
        What white matter makes, ppm; scaled down where it is nearly all or more.
    place : Surroundings
        Mask, and where the misfit is larger.
    spacing : tuple of float
        Voxel size in mm.
    sd_ppm : float
        SD of the sum over the mask.
    rng : numpy.random.Generator
        Source of the random part.
    """
    mask = place.mask
    known = _demeaned(known, mask)
    sd = _sd(known, mask)
    known *= min(1.0, LARGEST_FIBER_SHARE * sd_ppm / max(sd, 1e-12))
    random = _random_part(known, place, spacing, sd_ppm, rng)
    both = known + random
    return both * (sd_ppm / max(_sd(both, mask), 1e-12))


def spectrum(field: Tensor, mask: Tensor, spacing: Triple) -> list[float]:
    """Return the SD over the mask after a Gaussian of each of ``SCALES_MM``."""
    return [_sd(_smoothed(field, mask, scale, spacing), mask) for scale in SCALES_MM]


def _random_part(
    known: Tensor, place: Surroundings, spacing: Triple, sd_ppm: float, rng: np.random.Generator
) -> Tensor:
    """Draw what the spectrum of the known part leaves open."""
    mask = place.mask
    weight = _weight(place, spacing)
    parts, spectra = [], []
    for length in LENGTHS_MM:
        noise = torch.from_numpy(rng.standard_normal(tuple(mask.shape), dtype=np.float32))
        part = gaussian(noise, length, spacing) if length > 0 else noise
        part = _demeaned(part * weight, mask)
        part /= _sd(part, mask)
        parts.append(part)
        spectra.append(np.square(spectrum(part, mask, spacing)))
    target = np.square(np.asarray(SPECTRUM) * sd_ppm)
    wanted = np.clip(target - np.square(spectrum(known, mask, spacing)), 0.02 * target, None)
    relative = 1 / np.sqrt(wanted)
    shares, _ = nnls(np.stack(spectra, axis=1) * relative[:, None], wanted * relative)
    total = torch.zeros_like(mask)
    for part, share in zip(parts, shares, strict=True):
        total += part * float(np.sqrt(share))
    return total


def _weight(place: Surroundings, spacing: Triple) -> Tensor:
    """Return where the misfit is larger: at fibers, at vessels and at the brain's edge."""
    edge = 1 - _smoothed(place.mask, torch.ones_like(place.mask), _EDGE_MM, spacing)
    near = (gaussian(place.vessels, _VESSEL_MM, spacing) * 10).clamp_(max=1.0)
    excess = _FIBER_EXCESS * place.fibers + _VESSEL_EXCESS * near + _EDGE_EXCESS * 2 * edge
    return (1 + excess) * place.mask


def _smoothed(field: Tensor, mask: Tensor, scale_mm: float, spacing: Triple) -> Tensor:
    """Smooth within the mask alone."""
    if scale_mm == 0:
        return field * mask
    weight = gaussian(mask, scale_mm, spacing).clamp_(min=1e-3)
    return gaussian(field * mask, scale_mm, spacing) / weight * mask


def _demeaned(field: Tensor, mask: Tensor) -> Tensor:
    return (field - (field * mask).sum() / mask.sum().clamp(min=1)) * mask


def _sd(field: Tensor, mask: Tensor) -> float:
    inside = field[mask > 0.5]
    return float(inside.std()) if inside.numel() > 1 else 0.0
