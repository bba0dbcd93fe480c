"""How chi+ and chi- vary within tissues: not one value a label.

A real map at 3 T has SD 29 ppb over the brain, and 20 (robust 13.6) without what varies over
3 mm; a head of one value a tissue and no veins has 14 and 10. The maps made here are factors on a coarse grid
(k, j, i) of about 1 mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from QSMSeparationLib.simulation.tissues import (
    ATLAS_CORTEX_PPB,
    DEEP_GREY,
    LABELS,
    TISSUES,
    Tissue,
)

LENGTHS_MM = (0.8, 2.0, 6.0)
_SHARES = (0.55, 0.3, 0.15)
SD_RANGE = (0.20, 0.50)
NUCLEUS_SLOPE_SD, NUCLEUS_SD = 0.2, 0.2
"""Iron of a nucleus over its length (the pallidum's is denser in front), and within it."""
_NUCLEUS_LENGTH_MM = 2.0
# Deep layers hold more iron and myelin than the surface (Fukunaga 2010): factor at the white
# matter and at the pial surface.
_CORTEX_PARA, _CORTEX_DIA = (1.4, 0.6), (1.7, 0.3)
_BAND_MM, _BAND_PARA = 2.0, 1.25
"""Iron below the cortex, in the U fibers (Fukunaga 2010)."""
_FACTOR_LIMITS = (0.15, 4.0)

VEIN_PPB = (100.0, 210.0)
"""chi of veins as maps show them, up to about the 190 ppb of Ridani et al. 2026: with these and the
small veins the SD of net chi without what varies over 3 mm is that of real maps."""
NUCLEI_RANGE, CORTEX_RANGE = (0.8, 1.7), (0.7, 1.5)
"""Iron of nuclei and cortex over people beside age."""
PATIENT_WHITE_PPB = (15.0, 27.0)
"""chi+ and |chi-| of normal-appearing white matter in patients."""
_NUCLEI = (*DEEP_GREY, "subthalamic nucleus", "pulvinar", "accumbens")
_CORTEX = ("cortex", "cerebellar cortex")


@dataclass(frozen=True)
class Contrast:
    """What one person's contrast is: factors on iron, chi+ of veins."""

    nuclei: float
    cortex: float
    vein_ppb: float


def draw_contrast(seed: int) -> Contrast:
    """Draw the contrast of one person."""
    rng = np.random.default_rng([seed, 9301])
    nuclei, cortex = (float(np.exp(rng.uniform(*np.log(r)))) for r in (NUCLEI_RANGE, CORTEX_RANGE))
    return Contrast(nuclei, cortex, float(rng.uniform(*VEIN_PPB)))


def with_contrast(
    tissues: Mapping[str, Tissue], contrast: Contrast, patient: bool
) -> dict[str, Tissue]:
    """Give a person contrast: cortex as atlases have it, iron that differs, darker veins."""
    return {name: _recast(name, tissue, contrast, patient) for name, tissue in tissues.items()}


def _recast(name: str, tissue: Tissue, contrast: Contrast, patient: bool) -> Tissue:
    usual = TISSUES[name]
    para, dia = tissue.chi_para_ppb, tissue.chi_dia_ppb
    if name in _CORTEX:
        para *= contrast.cortex * ATLAS_CORTEX_PPB[0] / TISSUES["cortex"].chi_para_ppb
        dia *= ATLAS_CORTEX_PPB[1] / -TISSUES["cortex"].chi_dia_ppb
        return replace(tissue, chi_para_ppb=para, chi_dia_ppb=dia, d_hz=tissue.d_hz - usual.d_hz)
    if name in _NUCLEI:
        para *= contrast.nuclei
    elif name == "vein":
        para = contrast.vein_ppb
    elif tissue.white and patient:
        white = TISSUES["white matter"]
        para *= PATIENT_WHITE_PPB[0] / white.chi_para_ppb
        dia *= PATIENT_WHITE_PPB[1] / -white.chi_dia_ppb
    return replace(tissue, chi_para_ppb=para, chi_dia_ppb=dia)


def source_factors(
    labels: NDArray[np.integer], spacing_mm: float, sd: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return factors of chi+ and chi- on a grid of labels.

    Parameters
    ----------
    labels : ndarray
        Label numbers (k, j, i).
    spacing_mm : float
        Isotropic voxel size.
    sd : float
        SD of the texture (``SD_RANGE``).
    rng : numpy.random.Generator
        Source of all draws.
    """
    para, dia = (1 + sd * correlated(labels.shape, spacing_mm, rng) for _ in range(2))
    nuclei = sd / max(SD_RANGE) * _within_nuclei(labels, spacing_mm, rng)
    para += torch.from_numpy(nuclei)
    for factor, profile in zip((para, dia), _cortical(labels, spacing_mm), strict=True):
        factor *= torch.from_numpy(profile)
    return para.clamp_(*_FACTOR_LIMITS), dia.clamp_(*_FACTOR_LIMITS)


def correlated(shape: tuple[int, ...], spacing_mm: float, rng: np.random.Generator) -> Tensor:
    """Return noise of SD 1 that is correlated over 0.8, 2 and 6 mm."""
    total = torch.zeros(shape)
    for length, share in zip(LENGTHS_MM, _SHARES, strict=True):
        part = torch.from_numpy(_smooth_noise(shape, spacing_mm, length, rng))
        total += part * (share**0.5)
    return total


def _smooth_noise(
    shape: tuple[int, ...], spacing_mm: float, length_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return white noise through a Gaussian of a length, made SD 1; wide ones on every third voxel."""
    thin = 3 if length_mm > 4 * spacing_mm else 1
    coarse = tuple(-(-n // thin) + 1 for n in shape)
    noise = rng.standard_normal(coarse, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, length_mm / spacing_mm / thin, truncate=3.0)
    noise /= noise.std()
    if thin == 1:
        return noise[tuple(slice(n) for n in shape)]
    whole = torch.nn.functional.interpolate(
        torch.from_numpy(noise)[None, None], scale_factor=float(thin), mode="trilinear"
    )[0, 0]
    return whole[tuple(slice(n) for n in shape)].contiguous().numpy()


def _within_nuclei(
    labels: NDArray[np.integer], spacing_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return what iron varies by within each nucleus: a slope over it, and clumps."""
    found = np.zeros(labels.shape, dtype=np.float32)
    boxes = ndimage.find_objects(labels.astype(np.int32))
    for number, name in LABELS.items():
        box = boxes[number - 1] if 0 < number <= len(boxes) else None
        if name not in _NUCLEI or box is None:
            continue
        own = labels[box] == number
        value = NUCLEUS_SD * _smooth_noise(own.shape, spacing_mm, _NUCLEUS_LENGTH_MM, rng)
        for axis, n in enumerate(own.shape):
            slope = rng.normal(0, NUCLEUS_SLOPE_SD)
            along = np.linspace(-1, 1, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32)
            value = value + np.float32(slope) * along.reshape(
                [-1 if a == axis else 1 for a in range(3)]
            )
        found[box][own] = value[own] - value[own].mean()
    return found


def _cortical(
    labels: NDArray[np.integer], spacing_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return factors of chi+ and chi- over the depth of the cortex, and of the band below it."""
    cortex = np.isin(labels, [n for n, name in LABELS.items() if name in _CORTEX])
    white = np.isin(labels, [n for n, name in LABELS.items() if TISSUES[name].white])
    para = np.ones(labels.shape, dtype=np.float32)
    dia = np.ones(labels.shape, dtype=np.float32)
    if not cortex.any() or not white.any():
        return para, dia
    to_white = np.asarray(ndimage.distance_transform_edt(~white), np.float32)
    to_pia = np.asarray(ndimage.distance_transform_edt(cortex | white), np.float32)
    depth = (to_white / np.maximum(to_white + to_pia, 1e-3))[cortex]
    for factor, (inner, outer) in ((para, _CORTEX_PARA), (dia, _CORTEX_DIA)):
        profile = inner + (outer - inner) * depth
        factor[cortex] = profile / profile.mean()
    to_cortex = np.asarray(ndimage.distance_transform_edt(~cortex), np.float32)
    band = white & (to_cortex * spacing_mm < _BAND_MM)
    para[band] *= np.float32(_BAND_PARA)
    return para, dia
