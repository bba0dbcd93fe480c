"""Spherical mean values: what they leave of a field is local, whatever lies outside the mask.

The field of sources outside a ball is harmonic within it, so its mean over the ball is its
value at the center (Schweser et al., NeuroImage 2011;54:2789). A ball cut out of voxels obeys
this only roughly: beside an air cavity, where the background is a thousand times the local
field, that error is as large as the local field. The weights are therefore corrected, by the
smallest change, so that the mean is *exact* for all harmonic polynomials up to some degree.
It holds for any voxel shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.axes import Box, Shape, Triple
from QSMSeparationLib.data.maps import mask_box
from QSMSeparationLib.physics.fourier import good_size, inverse_rfftn

RADII_MM = (8.0, 4.0)
_SUBVOXELS = 5
_LARGEST_GAIN = 0.45
"""Largest root of the sum of squared weights: more and the mean is as noisy as a voxel."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The box of a mask with a margin that keeps spheres and dipoles from wrapping round.

    Parameters
    ----------
    mask : Tensor
        The mask in the box.
    box : tuple of slice
        Where the box lies in the whole grid.
    shape : tuple of int
        The whole grid.
    padded : tuple of int
        Transform sizes.
    """

    mask: Tensor
    box: Box
    shape: Shape
    padded: Shape

    @classmethod
    def around(cls, mask: Tensor, spacing_kji: Triple, margin_mm: float) -> Frame:
        """Return the frame of a mask."""
        box = mask_box(mask)
        inner = mask[box]
        padded = tuple(
            good_size(n + math.ceil(margin_mm / s))
            for n, s in zip(inner.shape, spacing_kji, strict=True)
        )
        return cls(inner, box, tuple(mask.shape), padded)

    def forward(self, values: Tensor) -> Tensor:
        """Return the half spectrum of values in the box."""
        return torch.fft.rfftn(values, s=self.padded)

    def backward(self, spectrum: Tensor) -> Tensor:
        """Return the values in the box of a half spectrum."""
        k, j, i = self.mask.shape
        return inverse_rfftn(spectrum, self.padded)[:k, :j, :i]

    def uncrop(self, values: Tensor) -> Tensor:
        """Return values of the box on the whole grid, 0 elsewhere."""
        whole = torch.zeros(self.shape, dtype=values.dtype, device=values.device)
        whole[self.box] = values
        return whole


def ball(spacing_kji: Triple, radius_mm: float) -> NDArray[np.float64]:
    """Return the share of each voxel that lies in a ball, as weights of sum 1 (odd sizes)."""
    half = [math.ceil(radius_mm / s + 0.5) for s in spacing_kji]
    r2 = np.zeros((1, 1, 1))
    for axis, (h, s) in enumerate(zip(half, spacing_kji, strict=True)):
        n = (2 * h + 1) * _SUBVOXELS
        x = (np.arange(n) - (n - 1) / 2) * s / _SUBVOXELS
        r2 = r2 + np.expand_dims(x**2, tuple(a for a in range(3) if a != axis))
    shape = [v for h in half for v in (2 * h + 1, _SUBVOXELS)]
    share = (r2 <= radius_mm**2).reshape(shape).mean(axis=(1, 3, 5))
    return share / share.sum()


def mean_value_weights(spacing_kji: Triple, radius_mm: float) -> NDArray[np.float64]:
    """Return weights of a ball that average harmonic polynomials to their central value.

    Degree 6 where the ball has voxels enough to do that without amplifying noise, else 4 or
    2. (Odd degrees cancel by symmetry.)
    """
    weights = ball(spacing_kji, radius_mm)
    inside = weights > 1e-3 * weights.max()
    index = np.argwhere(inside) - (np.array(weights.shape) - 1) / 2
    points = index * np.asarray(spacing_kji) / radius_mm
    start = weights[inside] / weights[inside].sum()
    best = start
    for degree in (2, 4, 6):
        moments = np.concatenate([np.ones((1, len(start))), _harmonics(points, degree)])
        target = np.zeros(len(moments))
        target[0] = 1.0
        root = np.sqrt(start)
        change = root * (np.linalg.pinv(moments * root, rcond=1e-6) @ (target - moments @ start))
        if np.linalg.norm(start + change) > _LARGEST_GAIN:
            break
        best = start + change
    weights = np.zeros_like(weights)
    weights[inside] = best
    return weights


def _harmonics(points: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Return the harmonic polynomials up to ``degree`` that are even in x, y and z at points.

    All others average to 0 over weights as symmetric as a ball. Of the monomials of a degree,
    they are what the Laplacian, d^2/dx^2 x^a = a (a - 1) x^(a - 2), takes to 0.
    """
    rows = []
    for n in range(2, degree + 1, 2):
        powers, lower = _even_powers(n), _even_powers(n - 2)
        laplacian = np.zeros((len(lower), len(powers)))
        for column, power in enumerate(powers):
            for axis, a in enumerate(power):
                left = tuple(p - 2 * (axis == other) for other, p in enumerate(power))
                if a:
                    laplacian[lower.index(left), column] = a * (a - 1)
        null_space = np.linalg.svd(laplacian)[2][len(lower) :]
        monomials = np.stack([np.prod(points**power, axis=1) for power in powers])
        rows.append(null_space @ monomials)
    return np.concatenate(rows)


def _even_powers(degree: int) -> list[Shape]:
    """Return the even exponents of three variables that sum to an even degree."""
    evens = range(0, degree + 1, 2)
    return [(a, b, degree - a - b) for a in evens for b in evens if a + b <= degree]


def spectrum(weights: NDArray[np.float64], frame: Frame) -> Tensor:
    """Return the (real) half spectrum of an even stencil on the frame's transform sizes."""
    kernel = torch.zeros(frame.padded, device=frame.mask.device)
    k, j, i = weights.shape
    kernel[:k, :j, :i] = torch.from_numpy(weights).to(kernel)
    shift = [-(n // 2) for n in weights.shape]
    return torch.fft.rfftn(torch.roll(kernel, shift, (0, 1, 2))).real.contiguous()


def shell_radii(spacing_kji: Triple) -> tuple[float, ...]:
    """Return the radii of the balls in mm, largest first.

    The smallest takes in the diagonal neighbors: 27 points, one voxel off the edge.
    """
    smallest = 1.2 * math.sqrt(sum(s * s for s in spacing_kji) / 3)
    return tuple(sorted((*RADII_MM, smallest), reverse=True))


def fitting_shells(
    frame: Frame, spacing_kji: Triple, radii_mm: tuple[float, ...]
) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Divide a mask by the largest ball that fits about each voxel.

    Returns
    -------
    shells : list of (where, high_pass)
        For each radius, largest first: the voxels that use it (bool), and the half spectrum
        of identity minus mean value.
    left : Tensor
        Voxels in which not even the smallest ball fits.
    """
    mask_spectrum = frame.forward(frame.mask.float())
    left = frame.mask.clone()
    shells = []
    for radius in radii_mm:
        weights = mean_value_weights(spacing_kji, radius)
        footprint = (weights != 0) / np.count_nonzero(weights)
        covered = frame.backward(mask_spectrum * spectrum(footprint, frame)) > 1 - 1e-4
        where = covered & left
        left = left & ~covered
        shells.append((where, spectrum(weights, frame).neg_().add_(1.0)))
    return shells, left
