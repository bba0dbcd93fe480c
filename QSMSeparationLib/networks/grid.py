"""The grid of the networks: isotropic voxels with B0 along the first axis.

Maps that lie so already (also after a swap of axes) go through untouched; all others are
interpolated onto an upright grid around the brain, and the result back.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.data.axes import Shape
from QSMSeparationLib.data.maps import Maps

SPACING_MM = (0.75, 1.5)
"""Voxel sizes that the networks were trained on."""

_STRAIGHT_COSINE = math.cos(math.radians(4.0))
_ISOTROPIC = 1.08
_PLANES = 8
"""Planes that are interpolated at a time: memory for the places, work for every core."""


class NetworkGrid:
    """Where the networks work for given maps.

    Parameters
    ----------
    maps : Maps
        Where the head lies.

    Attributes
    ----------
    resampled : bool
        Whether maps are interpolated.
    spacing_mm : float
        Voxel size of the grid.
    """

    def __init__(self, maps: Maps) -> None:
        spacing, b0 = maps.spacing_kji, maps.b0_kji
        self.shape = tuple(maps.mask.shape)
        along = max(range(3), key=lambda axis: abs(b0[axis]))
        self.order = (along, *(a for a in range(3) if a != along))
        mean = math.prod(spacing) ** (1 / 3)
        straight = abs(b0[along]) / math.hypot(*b0) >= _STRAIGHT_COSINE
        isotropic = max(spacing) / min(spacing) <= _ISOTROPIC
        within = SPACING_MM[0] / 1.05 <= mean <= SPACING_MM[1] * 1.05
        self.resampled = not (straight and isotropic and within)
        self.spacing_mm = min(max(mean, SPACING_MM[0]), SPACING_MM[1]) if self.resampled else mean
        if self.resampled:
            self._prepare(maps)

    def to_network(self, maps: Tensor) -> Tensor:
        """Return maps of the scan, (..., k, j, i), on this grid."""
        if not self.resampled:
            return _permuted(maps, self.order)
        return _sampled(maps.float(), self._there, self._grid_shape)

    def from_network(self, maps: Tensor) -> Tensor:
        """Return maps of this grid, (..., k, j, i), on the grid of the scan."""
        if not self.resampled:
            return _permuted(maps, tuple(self.order.index(axis) for axis in range(3)))
        return _sampled(maps, self._back, self.shape)

    def _prepare(self, maps: Maps) -> None:
        """Lay an upright grid around the brain; both affine maps are between voxel indices."""
        device = maps.mask.device
        spacing = torch.tensor(maps.spacing_kji, dtype=torch.float64)
        turn = _upright_axes(torch.tensor(maps.b0_kji, dtype=torch.float64), self.order)
        inside = maps.mask.nonzero().double().cpu()
        corners = _corners(inside.amin(0) - 1, inside.amax(0) + 1) * spacing
        upright = corners @ turn.T
        low, high = upright.amin(0), upright.amax(0)
        self._grid_shape = tuple(int(n) for n in torch.ceil((high - low) / self.spacing_mm) + 1)
        # index on the scan's grid = there(index on this grid), in mm along the scan's axes
        matrix = (turn.T * self.spacing_mm) / spacing[:, None]
        offset = (turn.T @ low) / spacing
        self._there = _Affine(matrix, offset, self.shape, device)
        inverse = torch.linalg.inv(matrix)
        self._back = _Affine(inverse, -inverse @ offset, self._grid_shape, device)


def upright_maps(maps: Maps, grid: NetworkGrid, *names: str) -> Maps:
    """Return some of the maps on the grid of the networks, 0 outside the mask."""
    given = [m.nan_to_num() for m in maps.need(*names)]
    share, *found = grid.to_network(torch.stack([maps.mask.float(), *given]))
    mask = share > 0.5
    tensors: dict[str, Any] = {n: m * mask for n, m in zip(names, found, strict=True)}
    return Maps(
        mask,
        (grid.spacing_mm,) * 3,
        (1.0, 0.0, 0.0),
        maps.b0_tesla,
        dr_para=maps.dr_para,
        dr_dia=maps.dr_dia,
        **tensors,
    )


class _Affine:
    """Target index to source index, for a source of a given shape."""

    def __init__(
        self, matrix: Tensor, offset: Tensor, source: tuple[int, ...], device: torch.device
    ) -> None:
        self.matrix, self.offset = matrix.float().to(device), offset.float().to(device)
        self.source = source


def _upright_axes(b0: Tensor, order: Shape) -> Tensor:
    """Return the rows: B0, then two axes as near to the array's own as can be, (k, j, i) in mm."""
    along = b0 / b0.norm()
    along = along * torch.sign(along[order[0]])
    second = torch.zeros(3, dtype=torch.float64)
    second[order[1]] = 1.0
    second -= (second @ along) * along
    second /= second.norm()
    third = torch.linalg.cross(along, second)
    third *= torch.sign(third[order[2]])
    return torch.stack([along, second, third])


def _corners(low: Tensor, high: Tensor) -> Tensor:
    """Return the eight corners of a box, (8, 3)."""
    return torch.cartesian_prod(*torch.stack([low, high]).T)


def _permuted(maps: Tensor, order: Shape) -> Tensor:
    """Put the last three axes in another order."""
    lead = maps.ndim - 3
    return maps.permute(*range(lead), *(lead + axis for axis in order)).contiguous()


def _sampled(maps: Tensor, affine: _Affine, shape: tuple[int, ...]) -> Tensor:
    """Interpolate linearly, some planes at a time (on all cores); 0 outside the source."""
    channels = maps.reshape(-1, *maps.shape[-3:])
    result = torch.empty((len(channels), *shape), device=maps.device)
    last = torch.tensor(affine.source, device=maps.device) - 1
    k, j, i = (torch.arange(n, device=maps.device, dtype=torch.float32) for n in shape)
    matrix = affine.matrix
    plane = matrix[:, 1] * j[:, None, None] + matrix[:, 2] * i[None, :, None] + affine.offset
    for start in range(0, shape[0], _PLANES):
        planes = slice(start, start + _PLANES)
        index = plane + matrix[:, 0] * k[planes, None, None, None]
        # grid_sample takes (x, y, z) = (i, j, k) from -1 to 1 between the outer voxel centers.
        place = (2 * index / last.clamp(min=1) - 1).flip(-1)
        sampled = functional.grid_sample(
            channels.expand(len(index), *channels.shape),
            place[:, None],
            mode="bilinear",
            align_corners=True,
        )
        result[:, planes] = sampled[:, :, 0].transpose(0, 1)
    return result.reshape(*maps.shape[:-3], *shape)
