"""The field of a whole head in free space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.physics.fourier import good_size
from QSMSeparationLib.physics.smoothing import mean_of_blocks

_COARSE = 8
_FREE_SPACE_FACTOR = 3.0


def free_space_field(chi_ppm: Tensor, spacing_mm: float, pad: float = 0.12) -> Tensor:
    """Return the field in ppm of an object in free space, B0 along k, isotropic voxels.

    A convolution on a box that is barely larger than the object is periodic: the object's
    images add their own field. That field has no source within the box and is smooth, so
    it is found on a grid eight times coarser, as the difference between a convolution in
    a much larger box and one in the same box, and taken away. This costs a fraction of
    padding the fine grid.

    Parameters
    ----------
    chi_ppm : Tensor
        Susceptibility against the surrounding (which is 0), shape (k, j, i).
    spacing_mm : float
        Voxel size.
    pad : float
        Margin of the fine box as a fraction of each side.
    """
    box = [_COARSE * good_size(math.ceil(n * (1 + pad) / _COARSE)) for n in chi_ppm.shape]
    field = _periodic(chi_ppm, box, spacing_mm)
    coarse = mean_of_blocks(chi_ppm, (_COARSE,) * 3)
    coarse_box = [n // _COARSE for n in box]
    free_box = [good_size(math.ceil(n * _FREE_SPACE_FACTOR)) for n in coarse_box]
    images = _periodic(coarse, coarse_box, spacing_mm * _COARSE)
    images -= _periodic(coarse, free_box, spacing_mm * _COARSE)
    _subtract_interpolated(field, images)
    return field


def _periodic(chi_ppm: Tensor, box: list[int], spacing_mm: float) -> Tensor:
    """Convolve in a periodic box and return the part where the object lies."""
    spacing = (spacing_mm,) * 3
    operator = DipoleOperator(tuple(box), spacing, (1.0, 0.0, 0.0), pad=0.0)
    padded = torch.nn.functional.pad(
        chi_ppm,
        [
            v
            for n, b in zip(reversed(chi_ppm.shape), reversed(box), strict=True)
            for v in (0, b - n)
        ],
    )
    k, j, i = chi_ppm.shape
    return operator(padded)[:k, :j, :i].clone()


def _subtract_interpolated(field: Tensor, coarse: Tensor) -> None:
    """Subtract a coarse map from a fine one, interpolated linearly slab by slab."""
    plane_size = tuple(n * _COARSE for n in coarse.shape[1:])
    planes = torch.nn.functional.interpolate(
        coarse[None], size=plane_size, mode="bilinear", align_corners=False
    )[0, :, : field.shape[1], : field.shape[2]]
    for k in range(field.shape[0]):
        place = min(max((k + 0.5) / _COARSE - 0.5, 0.0), coarse.shape[0] - 1.0)
        below = min(int(place), max(0, coarse.shape[0] - 2))
        above = min(below + 1, coarse.shape[0] - 1)
        field[k] -= torch.lerp(planes[below], planes[above], place - below)
