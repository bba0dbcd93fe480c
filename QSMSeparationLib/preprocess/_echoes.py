"""Echoes of a scan within the box of its mask, served one at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.axes import Box, Shape, Triple
from QSMSeparationLib.data.maps import mask_box
from QSMSeparationLib.runtime.errors import InputError


def wrap(phase_rad: Tensor) -> Tensor:
    """Return the phase moved by whole turns into [-pi, pi]."""
    turns = torch.round(phase_rad / (2 * math.pi))
    return phase_rad - turns.mul_(2 * math.pi)


@dataclass(eq=False)
class Echoes:
    """Magnitude and phase of the echoes in the box of the mask.

    Nothing is copied until an echo is asked for: a whole-head scan in float32 is large,
    and one echo at a time is all that any step needs.

    Parameters
    ----------
    times : tuple of float
        Echo times in seconds.
    mask : Tensor
        The mask in the box.
    spacing_kji : tuple of float
        Voxel size in mm.
    box, shape
        Where the box lies in the whole grid.
    unit : float
        Magnitude that counts as 1: the median of the first echo in the mask.
    readout_rad : Tensor, optional
        Phase added to echoes 0, 2, ... and taken off echoes 1, 3, ... by the readout.
    """

    times: tuple[float, ...]
    mask: Tensor
    spacing_kji: Triple
    box: Box
    shape: Shape
    unit: float
    _magnitude: Tensor = field(repr=False)
    _phase: Tensor = field(repr=False)
    readout_rad: Tensor | None = None

    @classmethod
    def crop(
        cls,
        magnitude: Tensor | NDArray[np.float32],
        phase_rad: Tensor | NDArray[np.float32],
        echo_times_s: tuple[float, ...],
        mask: Tensor | NDArray[np.bool_],
        spacing_kji: Triple,
    ) -> Echoes:
        """Check that the parts fit together, and crop them to the mask."""
        magnitude, phase_rad = torch.as_tensor(magnitude), torch.as_tensor(phase_rad)
        times = tuple(float(t) for t in echo_times_s)
        mask = torch.as_tensor(mask, device=magnitude.device).bool()
        if len(times) < 2:
            raise InputError("a field map needs at least two echoes; this scan has one")
        if magnitude.shape != phase_rad.shape or magnitude.shape != (len(times), *mask.shape):
            raise InputError(
                f"magnitude {tuple(magnitude.shape)}, phase {tuple(phase_rad.shape)}, mask "
                f"{tuple(mask.shape)} and {len(times)} echo times do not fit together"
            )
        if not mask.any():
            raise InputError("the brain mask is empty; give one with --mask")
        box = mask_box(mask)
        inside = mask[box]
        unit = float(magnitude[0][box][inside].float().median())
        if not (math.isfinite(unit) and unit > 0):
            raise InputError("the magnitude of the first echo is zero or not a number in the mask")
        return cls(times, inside, spacing_kji, box, tuple(mask.shape), unit, magnitude, phase_rad)

    def magnitude(self, echo: int) -> Tensor:
        """Return the magnitude of one echo, in units of ``unit``, 0 outside the mask."""
        values = self._magnitude[echo][self.box].to(torch.float32) / self.unit
        return torch.where(self.mask, torch.nan_to_num_(values, 0.0, 0.0, 0.0), 0.0)

    def phase(self, echo: int) -> Tensor:
        """Return the phase of one echo without the phase of the readout, 0 outside the mask."""
        values = self._phase[echo][self.box].to(torch.float32)
        if self.readout_rad is not None:
            values = values - self.readout_rad if echo % 2 == 0 else values + self.readout_rad
        return torch.where(self.mask, torch.nan_to_num(values, 0.0, 0.0, 0.0), 0.0)

    def uncrop(self, values: Tensor) -> Tensor:
        """Return values of the box on the whole grid, 0 elsewhere and outside the mask."""
        whole = torch.zeros(self.shape, dtype=values.dtype, device=values.device)
        whole[self.box] = torch.where(self.mask, values, torch.zeros_like(values))
        return whole
