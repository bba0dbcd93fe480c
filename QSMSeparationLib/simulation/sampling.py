"""From the fine upright grid of the head to the voxels of a scan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.axes import Shape
from QSMSeparationLib.data.volume import Geometry


def divided_slab(grid: Geometry, start: int, stop: int, division: Shape) -> Geometry:
    """Return slices ``start`` to ``stop`` of a grid with every voxel divided along each axis."""
    shape = ((stop - start), *grid.shape[1:])
    spacing = tuple(s / d for s, d in zip(grid.spacing_kji, division, strict=True))[::-1]
    first = [start - 0.5 + 0.5 / division[0], -0.5 + 0.5 / division[1], -0.5 + 0.5 / division[2]]
    return Geometry(
        tuple(n * d for n, d in zip(shape, division, strict=True)),
        spacing,
        tuple(grid.world(np.asarray(first))),
        grid.direction,
    )


def sample(stack: Tensor, fine: Geometry, grid: Geometry) -> Tensor:
    """Sample the fine maps at the voxels of another grid (linear, 0 outside)."""
    matrix, offset = fine.index_affine(grid)
    shift = np.rint(offset)
    if np.allclose(matrix, np.eye(3), atol=1e-6) and np.allclose(offset, shift, atol=1e-3):
        return _crop(stack, shift.astype(int), grid.shape)
    size = torch.tensor(fine.shape, dtype=torch.float64)
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    places = []
    for axis in (2, 1, 0):  # grid_sample wants (x, y, z) = (i, j, k) in -1 ... 1
        along = [
            matrix[axis, a] * axes[a].view([-1 if n == a else 1 for n in range(3)])
            for a in range(3)
        ]
        place = (along[0] + along[1] + along[2] + offset[axis]) * (2 / (size[axis] - 1)) - 1
        places.append(place.float())
    return torch.nn.functional.grid_sample(
        stack[None], torch.stack(places, dim=-1)[None], mode="bilinear", align_corners=True
    )[0]


def _crop(stack: Tensor, start: NDArray[np.int_], shape: tuple[int, ...]) -> Tensor:
    """Cut a box out of the fine maps, with 0 where it reaches beyond them."""
    result = torch.zeros((stack.shape[0], *shape))
    source, target = [slice(None)], [slice(None)]
    for a, n, size in zip(start, shape, stack.shape[1:], strict=True):
        low, high = max(0, int(a)), min(size, int(a) + n)
        source.append(slice(low, max(low, high)))
        target.append(slice(low - int(a), max(low, high) - int(a)))
    result[tuple(target)] = stack[tuple(source)]
    return result


def nearest(volumes: Sequence[Tensor], fine: Geometry, grid: Geometry) -> list[NDArray]:
    """Return values of fine volumes at the center of every voxel of another grid (0 outside)."""
    matrix, offset = fine.index_affine(grid)
    axes = [np.arange(n, dtype=np.float32) for n in grid.shape]
    inside = np.ones(grid.shape, dtype=bool)
    flat = np.zeros(grid.shape, dtype=np.int64)
    for axis, n in enumerate(fine.shape):
        place = np.full(grid.shape, offset[axis] + 1e-4, dtype=np.float32)
        for a in range(3):
            place += np.float32(matrix[axis, a]) * axes[a].reshape(
                [-1 if m == a else 1 for m in range(3)]
            )
        index = np.rint(place).astype(np.int64)
        inside &= (index >= 0) & (index < n)
        flat = flat * n + index.clip(0, n - 1)

    def pick(values: Tensor) -> NDArray:
        return np.where(inside, values.numpy().ravel()[flat], 0).astype(values.numpy().dtype)

    return [pick(volume) for volume in volumes]
