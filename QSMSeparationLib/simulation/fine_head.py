"""What a drawn head is to the scanner: maps on a fine upright grid, and the box of its brain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from QSMSeparationLib.data.axes import Box
from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.simulation.microstructure import Fibers


@dataclass(frozen=True, eq=False)
class StateTable:
    """A value by label, and another by lesion.

    Parameters
    ----------
    by_label : Tensor
        Value of every label number.
    by_lesion : Tensor
        Value of every lesion number, from 1.
    """

    by_label: Tensor
    by_lesion: Tensor

    def on(self, labels: Tensor, lesions: Tensor) -> Tensor:
        """Return the value of every voxel."""
        values = self.by_label[labels.int()]
        within = lesions > 0
        values[within] = self.by_lesion[lesions[within].int()]
        return values


@dataclass(frozen=True, eq=False)
class FineHead:
    """Maps of a head on a fine upright grid.

    Parameters
    ----------
    geometry : Geometry
        The grid.
    labels : Tensor
        Label numbers, int16.
    lesions : Tensor
        Lesion numbers, int16.
    brain : Tensor
        Brain mask with ventricles and sulci, bool.
    chi_para_ppm, chi_dia_ppm : Tensor
        Sources with R2', signed; zero outside the brain.
    bulk_ppm : Tensor
        Susceptibility without R2', against outside air (so that outside is 0).
    r2_hz : Tensor
        Irreversible relaxation at 3 T.
    water, t1_s, relaxivity : StateTable
        Water content, T1 at 3 T, and the factor of R2' over Dr times the sources.
    box : tuple of slice
        Where the brain lies.
    fibers : Fibers, optional
        Directions of white matter; None for isotropic tissue.
    ages : dict of int to str
        Age of every lesion.
    drawn : dict
        What was drawn for the head beside anatomy and values, for the sidecar.
    """

    geometry: Geometry
    labels: Tensor
    lesions: Tensor
    brain: Tensor
    chi_para_ppm: Tensor
    chi_dia_ppm: Tensor
    bulk_ppm: Tensor
    r2_hz: Tensor
    water: StateTable
    t1_s: StateTable
    relaxivity: StateTable
    box: Box
    fibers: Fibers | None = None
    ages: dict[int, str] = field(default_factory=dict)
    drawn: dict[str, Any] = field(default_factory=dict)

    @property
    def box_geometry(self) -> Geometry:
        """The grid of the brain's box."""
        return cropped(self.geometry, self.box)


def coarse_factor(spacing_mm: float) -> int:
    """How many fine voxels make one of the coarse grid of about 1 mm."""
    return max(1, round(1.0 / spacing_mm))


def refined(coarse: Tensor, factor: int) -> Tensor:
    """Interpolate a map of the coarse grid to the fine one."""
    if factor == 1:
        return coarse
    return torch.nn.functional.interpolate(
        coarse[None, None], scale_factor=float(factor), mode="trilinear", align_corners=False
    )[0, 0]


def cropped(grid: Geometry, box: Box) -> Geometry:
    """Return the grid of a box."""
    shape = tuple(s.stop - s.start for s in box)
    origin = grid.world(np.array([float(s.start) for s in box]))
    return Geometry(shape, grid.spacing_mm, tuple(origin), grid.direction)


def even_box(box: Box, factor: int, shape: tuple[int, ...]) -> Box:
    """Grow a box by some voxels to a size that the factor divides, within the array."""
    grown = []
    for s, n in zip(box, shape, strict=True):
        start = max(0, s.start - 4 * factor) // factor * factor
        stop = min(n, s.stop + 4 * factor)
        grown.append(slice(start, start + (stop - start) // factor * factor))
    return tuple(grown)
