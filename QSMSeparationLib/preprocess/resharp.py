"""Background removal by regularized deconvolution of mean values, up to the brain's edge.

RESHARP (Sun and Wilman, MRM 2014;71:1151) solves M (1 - S) x = M (1 - S) f for the local
field x, with one ball S, a penalty on |x|^2, and a mask eroded by the radius of the ball.
Here the ball is the largest of several that fits about each voxel, and x is not free: it is
nearly the field D c of sources c within the mask, with a penalty that expects neighbors alike,

    minimize  sum_r | M_r (1 - S_r) (f - K P m u) |^2 + lambda |u|^2,     K^2 = D^2 + q^2,

P a low-pass filter. Harmonic functions, which the mean values cannot see, are thereby chosen
as sources of the brain make them, and x is defined where no ball fits. With q = 0 x would be the
field of isotropic sources c = P m u alone, but for signs that do not matter to a prior. A real
local field holds more, of much the same spectrum (anisotropy, microstructure): that is q, without
which all that lies on the cone of the dipole would be taken for background.

A few conjugate gradients solve it, preconditioned by what the operator would be if there were
brain everywhere. More of them fit the noise: 8 are as good as 25 without the preconditioner.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from QSMSeparationLib.data.axes import Shape, Triple
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.dipole import kspace_kernel
from QSMSeparationLib.physics.fourier import squared_frequency
from QSMSeparationLib.preprocess.smv import Frame, fitting_shells, shell_radii
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.runtime.progress import Report

Operator = Callable[[Tensor], Tensor]

_LAMBDA = 3e-3
_CORRELATION_MM = 20.0
"""Sources are taken as alike up to wavelengths of this length; shorter ones fall off as 1/k."""

_UNEXPLAINED = 0.17
"""What sources do not explain of a field, over what they would make with a dipole of 1 at every
angle: in a measured field it has .33 of their power (2016 challenge, 5.1 ppb without white noise
beside 8.9), the dipole has 4/45 on average, and sqrt(.33 * 4/45) = .17."""

_GAIN = 3.0
_SOFTENING = 0.1
"""Added to the diagonal that the preconditioner inverts: what is hardly seen stays for later."""

_GIVEN_BACK = 0.75
"""Share of what the fit leaves of the mean values: it is field finer than the prior expects, and
noise."""

_MARGIN_MM = 20.0


def resharp(maps: Maps, context: Context, *, background_iterations: int) -> tuple[Tensor, Tensor]:
    """Return the local field in ppm and the mask, in which all of it holds."""
    (field,) = maps.need("total_field")
    mask, spacing_kji, b0_kji = maps.mask, maps.spacing_kji, maps.b0_kji
    frame = Frame.around(mask, spacing_kji, _MARGIN_MM)
    shells, _ = fitting_shells(frame, spacing_kji, shell_radii(spacing_kji))
    inside, field, trust = frame.mask, field[frame.box], maps.trust[frame.box]
    smooth = _low_pass(frame.padded, spacing_kji, mask.device)
    model = kspace_kernel(frame.padded, spacing_kji, b0_kji, mask.device)
    model = model.square_().add_(_UNEXPLAINED**2).sqrt_().mul_(smooth)
    del smooth
    rows = [(where * trust, high_pass) for where, high_pass in shells]
    del shells
    inverse = _diagonal(rows, model, inside).add_(_SOFTENING).reciprocal_()

    def adjoint_of_rows(spectrum: Tensor) -> Tensor:
        total = torch.zeros_like(spectrum)
        for trust, high_pass in rows:
            part = frame.backward(spectrum * high_pass) * trust
            total.addcmul_(frame.forward(part), high_pass)
        return frame.backward(total.mul_(model)).mul_(inside)

    def normal(u: Tensor) -> Tensor:
        return adjoint_of_rows(frame.forward(u).mul_(model)).add_(u, alpha=_LAMBDA)

    def condition(u: Tensor) -> Tensor:
        return frame.backward(frame.forward(u).mul_(inverse)).mul_(inside)

    data = frame.forward(field * inside)
    u = _conjugate_gradient(
        normal, condition, adjoint_of_rows(data), background_iterations, context.report
    )
    spectrum = frame.forward(u).mul_(model)
    data.sub_(spectrum)
    local = frame.backward(spectrum).mul_(inside)
    for trust, high_pass in rows:
        local.add_(frame.backward(data * high_pass) * (trust > 0), alpha=_GIVEN_BACK)
    return frame.uncrop(local), mask


def _low_pass(shape: Shape, spacing_kji: Triple, device: torch.device) -> Tensor:
    """Return the prior's filter on the half spectrum."""
    total = squared_frequency(shape, spacing_kji, device)
    return total.mul_(_CORRELATION_MM**2).add_(1.0).rsqrt_().mul_(_GAIN)


def _diagonal(rows: list[tuple[Tensor, Tensor]], model: Tensor, inside: Tensor) -> Tensor:
    """Return the operator's spectrum if each shell's share of the brain were spread evenly."""
    total = torch.zeros_like(model)
    for trust, high_pass in rows:
        total.addcmul_(high_pass, high_pass, value=float(trust.sum() / inside.sum()))
    return total.mul_(model).mul_(model)


def _conjugate_gradient(
    normal: Operator,
    condition: Operator,
    right: Tensor,
    iterations: int,
    report: Report,
    tolerance: float = 2e-3,
) -> Tensor:
    """Solve a symmetric positive system, preconditioned; ``right`` is used up."""
    x, direction = torch.zeros_like(right), torch.zeros_like(right)
    before, limit = math.inf, None
    for iteration in range(iterations):
        report(iteration, iterations)
        better = condition(right)
        energy = torch.dot(right.flatten(), better.flatten()).item()
        limit = energy * tolerance**2 if limit is None else limit
        if energy <= limit:
            break
        direction.mul_(energy / before).add_(better)
        product = normal(direction)
        step = energy / torch.dot(direction.flatten(), product.flatten()).item()
        x.add_(direction, alpha=step)
        right.sub_(product, alpha=step)
        before = energy
    return x
