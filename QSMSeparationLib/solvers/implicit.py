"""Coordinate networks: maps as functions of the place, fitted to one subject.

:class:`Siren` is that of INR-QSM: sine layers on coordinates alone. :class:`GridEncoded` reads
features from dense grids of several resolutions at the place and decodes them by a small layer
of sines (after Mueller et al., ACM Trans Graph 2022;41:102; a brain is small enough for dense
grids in place of hashed ones).

A network is asked for some planes of a box and for the voxels there that count:
``network(planes, index) -> (outputs, voxels)``. :class:`CoordinateMaps` goes through the box part by
part, and a second time for the gradient, so that only one part is in memory.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from QSMSeparationLib.data.axes import Shape, Triple
from QSMSeparationLib.solvers.window import Window

_PART_VOXELS = 1 << 19
_FEATURE_SD = 1e-3


class Siren(nn.Module):
    """Sine layers on coordinates (Sitzmann et al., NeurIPS 2020; INR-QSM: 10 x 512, omega 40).

    Parameters
    ----------
    shape : tuple of int
        The box (k, j, i).
    spacing_kji : tuple of float
        Voxel size; coordinates are in mm over half the longest side, so -1 to 1.
    outputs, depth, width : int
        Maps, layers, and units a layer.
    omega : float
        Frequency of the sines.
    """

    at_once = 1 << 14

    def __init__(
        self,
        shape: Shape,
        spacing_kji: Triple,
        outputs: int = 1,
        depth: int = 10,
        width: int = 512,
        omega: float = 40.0,
    ) -> None:
        super().__init__()
        self.shape, self.omega = tuple(shape), omega
        half = max(n * s for n, s in zip(shape, spacing_kji, strict=True)) / 2
        self.scale = tuple(s / half for s in spacing_kji)
        sizes = [3] + [width] * (depth - 1)
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(width, outputs)
        for number, layer in enumerate([*layers, self.head]):
            bound = 1 / 3 if number == 0 else math.sqrt(6 / layer.in_features) / omega
            nn.init.uniform_(layer.weight, -bound, bound)
        nn.init.zeros_(self.head.bias)

    def forward(self, planes: slice, index: Tensor) -> Tensor:
        """Return the maps at voxels ``index`` of the flattened planes, (outputs, voxels)."""
        _, j_size, i_size = self.shape
        place = (
            index // (j_size * i_size) + planes.start,
            index // i_size % j_size,
            index % i_size,
        )
        x = torch.stack(
            [(p - (n - 1) / 2) * s for p, n, s in zip(place, self.shape, self.scale, strict=True)],
            dim=1,
        )
        for layer in self.layers:
            x = torch.sin(self.omega * layer(x))
        return self.head(x).T

    def groups(self, rate: float) -> list[dict[str, object]]:
        """Return parameters and their learning rates for an optimizer."""
        return [{"params": list(self.parameters()), "lr": rate}]


class GridEncoded(nn.Module):
    """Features from grids of several resolutions, trilinear, decoded by one layer of sines.

    Parameters
    ----------
    shape, spacing_kji : tuple
        The box and its voxel size.
    outputs : int
        Maps.
    steps : tuple of int
        Spacing of the grids, in units of the smallest voxel side; 1 is the voxels themselves.
    features, hidden : int
        Features a grid and sines in the layer.
    """

    at_once = _PART_VOXELS

    def __init__(
        self,
        shape: Shape,
        spacing_kji: Triple,
        outputs: int = 1,
        steps: tuple[int, ...] = (1, 2, 4, 8),
        features: int = 2,
        hidden: int = 16,
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        smallest = min(spacing_kji)
        self.grids = nn.ParameterList()
        for step in steps:
            size = [
                max(2, math.ceil(n * s / (step * smallest)) + 1) if step > 1 else n
                for n, s in zip(shape, spacing_kji, strict=True)
            ]
            self.grids.append(nn.Parameter(_FEATURE_SD * torch.randn(features, *size)))
        self.sines = nn.Linear(features * len(steps), hidden)
        self.head = nn.Linear(hidden, outputs)
        nn.init.uniform_(self.sines.bias, -1, 1)
        nn.init.normal_(self.head.weight, std=1 / math.sqrt(hidden))
        with torch.no_grad():  # maps start near 0, whatever the phases of the sines are
            self.head.bias.copy_(-self.head.weight @ torch.sin(self.sines.bias))

    def forward(self, planes: slice, index: Tensor) -> Tensor:
        """Return the maps at voxels ``index`` of the flattened planes, (outputs, voxels)."""
        features = [self._read(grid, planes).flatten(1)[:, index] for grid in self.grids]
        sines = torch.sin(
            torch.addmm(self.sines.bias[:, None], self.sines.weight, torch.cat(features))
        )
        return torch.addmm(self.head.bias[:, None], self.head.weight, sines)

    def _read(self, grid: Tensor, planes: slice) -> Tensor:
        """Interpolate a grid at some planes of the box."""
        if tuple(grid.shape[1:]) == self.shape:
            return grid[:, planes]
        last = grid.shape[1] - 1
        place = torch.arange(planes.start, planes.stop, device=grid.device)
        place = place * (last / max(1, self.shape[0] - 1))
        below = place.long().clamp(max=last - 1)
        mixed = torch.lerp(grid[:, below], grid[:, below + 1], (place - below).view(1, -1, 1, 1))
        return functional.interpolate(
            mixed, size=self.shape[1:], mode="bilinear", align_corners=True
        )

    def groups(self, rate: float) -> list[dict[str, object]]:
        """Return parameters and their learning rates for an optimizer."""
        layers = [*self.sines.parameters(), *self.head.parameters()]
        return [{"params": list(self.grids), "lr": rate}, {"params": layers, "lr": 0.1 * rate}]


class CoordinateMaps:
    """A network over the voxels of a mask, on the padded grid of a window.

    Parameters
    ----------
    network : nn.Module
        :class:`Siren` or :class:`GridEncoded` on the box of the window.
    window : Window
        Where the mask lies.
    outputs : int
        Maps.
    """

    def __init__(self, network: nn.Module, window: Window, outputs: int = 1) -> None:
        self.network, self.window, self.outputs = network, window, outputs
        inside = window.mask[window.box]
        count = max(1, _PART_VOXELS // (inside.shape[1] * inside.shape[2]))
        starts = range(0, inside.shape[0], count)
        slabs = [slice(start, min(start + count, inside.shape[0])) for start in starts]
        self.parts = [(s, inside[s].flatten().nonzero()[:, 0]) for s in slabs]

    @torch.no_grad()
    def evaluate(self) -> Tensor:
        """Return the maps on the padded grid, 0 outside the mask: (outputs, k, j, i)."""
        window = self.window
        maps = torch.zeros((self.outputs, *window.padded), device=window.mask.device)
        for planes, index in self.parts:
            box = maps[(slice(None), planes, *window.inner[1:])]
            part = torch.zeros((self.outputs, box[0].numel()), device=maps.device)
            for some in index.split(self.network.at_once):
                part[:, some] = self.network(planes, some)
            box.copy_(part.view(box.shape))
        return maps

    def descend(self, gradient: Tensor) -> None:
        """Add the gradient of the weights, given that of the maps on the padded grid."""
        for planes, index in self.parts:
            part = gradient[(slice(None), planes, *self.window.inner[1:])].flatten(1)
            for some in index.split(self.network.at_once):
                self.network(planes, some).backward(part[:, some])
