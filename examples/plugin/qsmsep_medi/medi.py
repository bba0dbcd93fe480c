"""MEDI: an edge-aware total variation, solved by Gauss-Newton steps.

Minimizes lambda/2 |W (D chi - f)|^2 + |M grad chi|_1. M is 0
on the strongest steps of R2* (of the field, where R2* is not known) and 1 elsewhere, so that
borders which another image shows cost nothing. Each outer step replaces |g| by g^2 / |g| of the
last map and solves the quadratic problem by conjugate gradients (Liu et al., NeuroImage
2012;59:2560). Model error reduction (MERIT, Liu et al., Magn Reson Med 2013;69:467) lowers the
weight of voxels whose misfit is far larger than the noise.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.fourier import inverse_rfftn
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.noise import field_noise_ppm
from QSMSeparationLib.solvers.window import Window

_NOISE_OVER_LAMBDA = 0.15
"""lambda = 1 / (this times the noise of the field): the balance of ``tv``, whose L1 term is alike."""

_SOFTENING_PPM = 1e-3
"""Steps below this are smoothed quadratically: |g| is sqrt(g^2 + this^2)."""

_INNER_STEPS = 12
_INNER_TOLERANCE = 0.05
_OUTER_TOLERANCE = 0.02
"""The inner problem need not be exact (inexact Newton); ends when a step changes little."""

_MERIT_LIMIT = 6.0
"""Misfit over noise above which a voxel counts less, as in the paper."""


def medi(
    maps: Maps,
    context: Context,
    *,
    data_weight: float,
    edge_share: float,
    newton_steps: int,
    merit: bool,
) -> Tensor:
    """Return net susceptibility in ppm, mean 0 over the mask, 0 outside.

    Parameters
    ----------
    maps : Maps
        With ``local_field``; ``r2star`` gives the edges where it is there.
    context : Context
        Progress.
    data_weight : float
        Multiplies the automatic lambda.
    edge_share : float
        Share of the steps between neighbors in the brain that are edges.
    newton_steps : int
        Most outer steps.
    merit : bool
        Lower the weight of voxels that the model does not explain.
    """
    (local_field,) = maps.need("local_field")
    window = Window(maps)
    noise_ppm = field_noise_ppm(local_field, maps.mask)
    field = window.embed(local_field)
    weight = window.embed(maps.trust).square_()
    guide = field if maps.r2star is None else window.embed(maps.r2star)
    flat = _flat_tissue(guide, window.embed(maps.mask.float()) > 0, edge_share)
    strength = data_weight / (_NOISE_OVER_LAMBDA * noise_ppm)
    chi = torch.zeros_like(field)
    for done in range(newton_steps):
        context.report(done, newton_steps)
        step = _newton_step(chi, field, weight, flat, strength, window)
        chi += step
        if merit:
            weight = _lowered(weight, chi, field, noise_ppm, window)
        if step.norm() < _OUTER_TOLERANCE * chi.norm():
            break
    context.report(newton_steps, newton_steps)
    return window.extract(chi)


def _newton_step(
    chi: Tensor, field: Tensor, weight: Tensor, flat: list[Tensor], strength: float, window: Window
) -> Tensor:
    """Solve the quadratic problem about a map for the step to its minimum."""
    shares = [
        mask / torch.sqrt(step.square() + _SOFTENING_PPM**2)
        for mask, step in zip(flat, _gradient(chi, window), strict=True)
    ]

    def normal(volume: Tensor) -> Tensor:
        steps = [s * g for s, g in zip(shares, _gradient(volume, window), strict=True)]
        fitted = _field_of(weight * _field_of(volume, window), window)
        return _adjoint(steps, window).add_(fitted, alpha=strength)

    right = _field_of(weight * field, window).mul_(strength).sub_(normal(chi))
    return _conjugate_gradients(normal, right)


def _lowered(
    weight: Tensor, chi: Tensor, field: Tensor, noise_ppm: float, window: Window
) -> Tensor:
    """Return weights in which voxels with a large misfit count less."""
    misfit = (_field_of(chi, window) - field).abs_().div_(_MERIT_LIMIT * noise_ppm)
    return weight / misfit.clamp_(min=1.0).square_()


def _field_of(chi: Tensor, window: Window) -> Tensor:
    return inverse_rfftn(torch.fft.rfftn(chi) * window.dipole, window.padded)


def _gradient(volume: Tensor, window: Window) -> list[Tensor]:
    """Return periodic forward differences over the distance in mean voxel sizes."""
    return [
        (volume.roll(-1, axis) - volume) * step for axis, step in enumerate(window.step_weights)
    ]


def _adjoint(steps: list[Tensor], window: Window) -> Tensor:
    total = torch.zeros_like(steps[0])
    for axis, (step, size) in enumerate(zip(steps, window.step_weights, strict=True)):
        total.add_(step.roll(1, axis) - step, alpha=size)
    return total


def _flat_tissue(guide: Tensor, inside: Tensor, edge_share: float) -> list[Tensor]:
    """Return 1 where a step of the guide is no edge, for each axis; 0 out of the brain too."""
    flat = []
    for axis in range(3):
        both = inside & inside.roll(-1, axis)
        size = (guide.roll(-1, axis) - guide).abs()
        values = size[both]
        count = max(1, round((1 - edge_share) * values.numel()))
        limit = values.kthvalue(count).values if values.numel() else size.new_zeros(())
        flat.append((both & (size <= limit)).float())
    return flat


def _conjugate_gradients(normal: Callable[[Tensor], Tensor], right: Tensor) -> Tensor:
    """Solve a symmetric positive system roughly."""
    solution, residual, direction = torch.zeros_like(right), right.clone(), right.clone()
    energy = first = float(residual.square().sum())
    for _ in range(_INNER_STEPS):
        if energy <= _INNER_TOLERANCE**2 * first:
            break
        product = normal(direction)
        step = energy / float((direction * product).sum())
        solution.add_(direction, alpha=step)
        residual.sub_(product, alpha=step)
        before, energy = energy, float(residual.square().sum())
        direction.mul_(energy / before).add_(residual)
    return solution
