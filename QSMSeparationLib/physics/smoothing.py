"""Smoothing of volumes: a Gaussian in mm, sums over the nearest neighbors, means over blocks.

All of them are sums of shifted volumes, several times as fast as pooling or convolving one channel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.data.axes import Triple


def gaussian(volume: Tensor, sigma_mm: float, spacing_kji: Triple) -> Tensor:
    """Convolve a real (k, j, i) volume with a Gaussian; beyond the border lies 0.

    A Gaussian much wider than a voxel is applied on a coarser grid (blocks of at most half
    a sigma), which changes the result by less than a per cent and costs a fraction.
    """
    block = [max(1, int(sigma_mm / (2 * step))) for step in spacing_kji]
    work = mean_of_blocks(volume, block)
    for axis in range(3):
        kernel = _kernel(sigma_mm, spacing_kji[axis] * block[axis], block[axis], volume)
        work = _convolved(work, kernel, axis)
    if max(block) > 1:
        factors = [float(b) for b in block]
        fine = functional.interpolate(work[None, None], scale_factor=factors, mode="trilinear")
        work = fine[0, 0]
    k, j, i = volume.shape
    return work[:k, :j, :i].contiguous()


def mean_of_blocks(volume: Tensor, block: Sequence[int]) -> Tensor:
    """Return the means over blocks of voxels; incomplete blocks are completed with 0."""
    k, j, i = (-n % b for n, b in zip(volume.shape[-3:], block, strict=True))
    whole = functional.pad(volume, (0, i, 0, j, 0, k))
    return over_blocks(whole, block, torch.add) / math.prod(block)


def over_blocks(
    volume: Tensor, block: Sequence[int], combine: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Combine the voxels of each block of the last three axes, which they must divide."""
    for axis, size in zip((-3, -2, -1), block, strict=True):
        parted = volume.unflatten(axis, (-1, size))
        volume = functools.reduce(combine, parted.unbind(axis))
    return volume


def sum_of_27(volume: Tensor) -> Tensor:
    """Sum over 3 x 3 x 3 voxels of the last three axes, those beyond the border counted as 0."""
    kernel = torch.ones(3)
    for axis in (-3, -2, -1):
        volume = _convolved(volume, kernel, axis)
    return volume


def _convolved(volume: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Convolve along one axis with a symmetric kernel."""
    middle = len(kernel) // 2
    half = kernel[middle:].tolist()
    result = volume * half[0]
    n = volume.shape[axis]
    for shift, weight in enumerate(half[1:n], start=1):
        rest = n - shift
        result.narrow(axis, shift, rest).add_(volume.narrow(axis, 0, rest), alpha=weight)
        result.narrow(axis, 0, rest).add_(volume.narrow(axis, shift, rest), alpha=weight)
    return result


def _kernel(sigma_mm: float, step_mm: float, block: int, like: Tensor) -> Tensor:
    """Return the sampled Gaussian; the variance that block averaging already brought is taken off."""
    averaged = (block**2 - 1) / 12 * (step_mm / block) ** 2
    variance = max(sigma_mm**2 - averaged, (0.1 * step_mm) ** 2)
    reach = max(1, math.ceil(3.0 * math.sqrt(variance) / step_mm))
    x = torch.arange(-reach, reach + 1, device=like.device, dtype=torch.float32) * step_mm
    kernel = torch.exp(-0.5 * x * x / variance)
    return kernel / kernel.sum()
