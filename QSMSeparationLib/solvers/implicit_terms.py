"""What a coordinate network is fitted to: field, edges, and voxels held out to know when to stop.

All terms give their gradient with respect to the map; the network passes it on to its weights.
Losses are in units of the noise, so the same settings serve any scan.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.fourier import inverse_rfftn
from QSMSeparationLib.physics.smoothing import sum_of_27
from QSMSeparationLib.solvers.edges import shows_borders, smoothed_borders
from QSMSeparationLib.solvers.misfit import FieldPower
from QSMSeparationLib.solvers.noise import field_noise_ppm
from QSMSeparationLib.solvers.window import Window, scale_

_HELD_OUT = 0.02
HUBER = 2.0
"""Misfits above this many SD count by their size, not their square: voxels beside veins and
calcifications, whose field within a voxel no map of that resolution explains."""
_CORNER_PPM = 6e-4
"""Steps below this are penalized by their square, larger ones by their size."""


class FieldTerm:
    """1/2 |W (D chi - f)|^2 + g/2 |M grad(D chi - f)|^2, over the variance of the noise.

    Two in a hundred voxels are left out of both: on them :meth:`gradient` measures how well the
    map explains a field that it was not fitted to.

    Parameters
    ----------
    maps : Maps
        ``local_field``, and ``trust`` where known.
    window : Window
        Padded grid.
    consistency : float
        g, weight of the gradient of the misfit in flat tissue.
    power : FieldPower, optional
        Of the field: each of its frequencies then counts by the trust it deserves, and the noise is
        its misfit where that is least.
    """

    def __init__(
        self,
        maps: Maps,
        window: Window,
        consistency: float = 0.0,
        power: FieldPower | None = None,
    ) -> None:
        (field_ppm,) = maps.need("local_field")
        self.window, self.consistency = window, consistency
        self.trust = None if power is None else power.trust()
        noise_ppm = field_noise_ppm(field_ppm, maps.mask)
        self.noise_ppm = noise_ppm if power is None else power.least_sd_ppm
        self.field = window.embed(field_ppm)
        weight = window.embed(maps.trust * field_ppm.isfinite())
        draw = torch.rand(window.padded, generator=torch.Generator().manual_seed(1))
        self.held = (draw.to(weight.device) < _HELD_OUT) & (weight > 0.1 * weight.max())
        self.weight = weight * ~self.held

    def known_field(self) -> Tensor:
        """Return the field on the grid of the scan, held-out voxels replaced by their neighbors."""
        known = (self.weight > 0).float()
        around = sum_of_27(self.field * known) / sum_of_27(known).clamp(min=1.0)
        return self.window.crop(torch.where(self.held, around, self.field))

    def gradient(self, chi: Tensor, flat: list[Tensor] | None) -> tuple[Tensor, float]:
        """Return the gradient, and the misfit of the held-out voxels over the noise.

        Parameters
        ----------
        chi : Tensor
            Map in ppm on the padded grid.
        flat : list of Tensor, optional
            M along each axis: 1 in flat tissue, 0 on edges.
        """
        size, dipole = self.window.padded, self.window.dipole
        spectrum = scale_(torch.fft.rfftn(chi), dipole)
        misfit = inverse_rfftn(spectrum, size).sub_(self.field)
        held = float(misfit[self.held].square().mean().sqrt()) / self.noise_ppm
        limit = HUBER * self.noise_ppm
        misfit.mul_(self.weight).clamp_(-limit, limit)
        if self.trust is not None:
            misfit = inverse_rfftn(scale_(torch.fft.rfftn(misfit), self.trust), size)
        pull = misfit_gradient(misfit, self.weight, flat, self.consistency)
        spectrum = scale_(torch.fft.rfftn(pull), dipole)
        return inverse_rfftn(spectrum, size).div_(self.noise_ppm**2), held


def misfit_gradient(
    misfit: Tensor, weight: Tensor, flat: list[Tensor] | None, consistency: float
) -> Tensor:
    """Return the gradient of 1/2 |m|^2 + g/2 |M grad m|^2 by D chi, m the weighted misfit."""
    pull = misfit * weight
    for axis, share in enumerate(flat or ()):
        step = (misfit.roll(-1, axis) - misfit).mul_(share).mul_(consistency)
        pull += (step.roll(1, axis) - step).mul_(weight)
    return pull


def edge_guides(maps: Maps, window: Window) -> list[Tensor]:
    """Return maps other than chi that show tissue borders: R2* or magnitude, slightly smoothed."""
    return [smoothed_borders(maps, window)] if shows_borders(maps) else []


def flat_tissue(window: Window, guides: list[Tensor], low: float, high: float) -> list[Tensor]:
    """Return 1 where no guide has an edge, falling to 0 on the strongest ones, along each axis.

    The weight W_G of INR-QSM: (q_high - |step|) / (q_high - q_low) between two quantiles of the
    steps within the mask.

    Parameters
    ----------
    window : Window
        Padded grid.
    guides : list of Tensor
        Maps on it.
    low, high : float
        Quantiles.
    """
    inside = window.embed(window.mask.float()) > 0
    flat = []
    for axis in range(3):
        share = torch.ones(window.padded, device=inside.device)
        both = inside & inside.roll(-1, axis)
        for guide in guides:
            step = (guide.roll(-1, axis) - guide).abs_()
            sample = step[both]
            sample = sample[:: max(1, len(sample) // 1_000_000)]
            bounds = torch.quantile(sample, torch.tensor([low, high], device=sample.device))
            width = (bounds[1] - bounds[0]).clamp(min=1e-12)
            share = torch.minimum(share, ((bounds[1] - step) / width).clamp_(0, 1))
        flat.append(share * both)
    return flat


def tv_gradient(
    maps: list[Tensor], flat: list[Tensor], step_weights: tuple[float, ...]
) -> list[Tensor]:
    """Return the gradient of the edge-weighted total variation, joint over the maps.

    sum over voxels and axes of M sqrt(sum over maps of step^2 + c^2).
    """
    found = [torch.zeros_like(m) for m in maps]
    for axis, (share, weight) in enumerate(zip(flat, step_weights, strict=True)):
        steps = [(m.roll(-1, axis) - m).mul_(weight) for m in maps]
        size = torch.stack([s.square() for s in steps]).sum(0).add_(_CORNER_PPM**2).sqrt_()
        for total, step in zip(found, steps, strict=True):
            step.div_(size).mul_(share).mul_(weight)
            total += step.roll(1, axis) - step
    return found


def set_rate(optimizer: torch.optim.Optimizer, done: int, of: int) -> None:
    """Set the learning rates to their share of the highest: a short rise, then half a cosine."""
    share = min(1.0, (done + 1) / 5) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done / of)))
    for group in optimizer.param_groups:
        group["lr"] = share * group.setdefault("highest", group["lr"])


class Stopper:
    """Early stopping on the misfit of held-out voxels.

    Parameters
    ----------
    patience : int
        Stop after so many looks in a row that were worse than the best by a hundredth.
    """

    def __init__(self, patience: int) -> None:
        self.patience, self.best, self.worse = patience, math.inf, 0

    def __call__(self, held: float) -> bool:
        """Return whether to stop."""
        self.best = min(self.best, held)
        self.worse = self.worse + 1 if held > 1.01 * self.best else 0
        return self.worse >= self.patience
