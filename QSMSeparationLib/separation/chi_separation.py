"""chi-separation (Shin et al., NeuroImage 2021;240:118371): both sources from one objective.

    minimize  1/2 |Wf (f - D(p - d))|^2 + k^2/2 |Wr (R2' - Dr+ p - Dr- d)/Dr|^2
              + 2 lambda |M grad(p - d)|_1 + lambda |Mr grad p|_1 + lambda |Mr grad d|_1

over p = chi+ >= 0 and d = |chi-| >= 0, in ppm. M and Mr are 0 on the strongest edges of net chi
and of R2' and 1 elsewhere (MEDI); k weighs a misfit of R2'/Dr against one of the field. The
paper solves it by Gauss-Newton steps with conjugate gradients. Here it is split (ADMM): the
field term, the three gradients and the pair (p, d) get copies, the sum and the difference of p
and d are then solved each on its own in k-space, and (p, d) voxel by voxel with its bounds. Each
frequency of the field is weighted by the misfit that the field itself shows, as in
:mod:`QSMSeparationLib.inversion.tv`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.fourier import inverse_rfftn
from QSMSeparationLib.physics.two_sources import solve_two_sources
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.misfit import field_power
from QSMSeparationLib.solvers.window import Window, scale_

_LAMBDA_OVER_MISFIT = 0.04
"""Of the misfit at the waves where it is least."""

_GRADIENT_PENALTY_OVER_LAMBDA = 100.0
_PAIR_PENALTY = 0.02
_CHECK_EVERY = 4
_BAD_RATE_HZ = (1.0, 30.0)
"""R2' outside this range is trusted ten times less, as in the paper (at 3 T)."""


def chi_separation(
    maps: Maps,
    context: Context,
    *,
    regularisation: float,
    rate_weight: float,
    edges: float,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm.

    Parameters
    ----------
    maps : Maps
        ``local_field``, ``net`` (the start) and ``r2prime``; ``trust`` if there is one.
    context : Context
        Progress.
    regularisation : float
        Multiplies the automatic lambda, proportional to the misfit of the field at the
        waves where it is least.
    rate_weight : float
        k, weight of the misfit of R2'/Dr.
    edges : float
        Share of the voxels that are taken as edges.
    iterations, tolerance
        Most iterations, and the relative change at which it stops.
    """
    solver = _Splitting(maps, regularisation, rate_weight, edges)
    report = context.report
    for done in range(1, iterations + 1):
        change = solver.iterate(measure=done % _CHECK_EVERY == 0)
        report(done, iterations)
        if change < tolerance:
            break
    report(iterations, iterations)
    para, dia = (solver.window.crop(source) * maps.mask for source in solver.pair)
    return para, dia.neg_().clamp_(max=0)


class _Splitting:
    """State of the iteration: p and d, copies and scaled duals."""

    def __init__(self, maps: Maps, regularisation: float, rate_weight: float, edges: float) -> None:
        self.window = window = Window(maps)
        local_field, net_ppm, r2prime = maps.need("local_field", "net", "r2prime")
        power = field_power(maps, window)
        strength = regularisation * _LAMBDA_OVER_MISFIT * power.least_sd_ppm
        trust = power.trust()
        self.doubt, self.trusted_dipole = 1 - trust, trust.mul_(window.dipole)
        del power
        mean_dr = maps.mean_dr
        self.rates = (maps.dr_para / mean_dr, maps.dr_dia / mean_dr)
        field = window.embed(local_field)
        weight = window.embed(maps.trust)
        self.field = field
        self.share = weight.square().div_(weight.square() + 1)
        self.rate = window.embed(r2prime / mean_dr)
        low, high = (v * maps.b0_tesla / 3.0 for v in _BAD_RATE_HZ)
        odd = (r2prime < low) | (r2prime > high)
        self.rate_weight = (rate_weight * weight * (1 - 0.9 * window.embed(odd.float()))) ** 2
        self.inside = window.embed(maps.mask.float())
        start = solve_two_sources(net_ppm, r2prime, maps.dr_para, maps.dr_dia, maps.mask)
        self.pair = [window.embed(start[0]), window.embed(-start[1])]
        self.solved = [p.clone() for p in self.pair]
        self.pair_duals = [torch.zeros_like(p) for p in self.pair]
        self.penalty = _GRADIENT_PENALTY_OVER_LAMBDA * strength
        net = window.embed(net_ppm)
        self.limits = [
            [m * (factor * strength / self.penalty) for m in masks]
            for factor, masks in (
                (2.0, self._edge_masks(net, edges)),
                (1.0, self._edge_masks(self.rate, edges)),
            )
        ]
        self.duals = [[torch.zeros_like(field) for _ in range(3)] for _ in range(3)]
        self.copies = [self._gradient(v) for v in (net, *self.pair)]
        self.field_copy, self.field_dual = field.clone(), torch.zeros_like(field)
        laplacian = window.laplacian()
        # p^2 + d^2 = (sum^2 + difference^2) / 2; net chi is the difference and has one more term.
        self.for_net = (
            self.trusted_dipole * window.dipole
            + 1.5 * self.penalty * laplacian
            + 0.5 * _PAIR_PENALTY
        )
        self.for_sum = 0.5 * self.penalty * laplacian + 0.5 * _PAIR_PENALTY

    def iterate(self, measure: bool) -> float:
        """Do one iteration; return its relative change if it is to be measured, else inf."""
        before = [p.clone() for p in self.pair] if measure else None
        net = self._solve()
        self._shrink(net)
        self._fit_field(net)
        self._fit_pair()
        if before is None:
            return float("inf")
        change = [(a - b).norm() ** 2 for a, b in zip(before, self.pair, strict=True)]
        size = [p.norm() ** 2 for p in self.pair]
        return float((sum(change) / torch.stack(size).sum().clamp(min=1e-20)).sqrt())

    def _solve(self) -> Tensor:
        """Solve for the sum and the difference in k-space; returns the difference."""
        targets = [p - u for p, u in zip(self.pair, self.pair_duals, strict=True)]
        divergences = [
            self._adjoint([c - u for c, u in zip(copy, dual, strict=True)])
            for copy, dual in zip(self.copies, self.duals, strict=True)
        ]
        of_net, of_para, of_dia = divergences
        right_net = of_net.add_(of_para - of_dia, alpha=0.5).mul_(self.penalty)
        right_net.add_(targets[0] - targets[1], alpha=0.5 * _PAIR_PENALTY)
        right_sum = (of_para + of_dia).mul_(0.5 * self.penalty)
        right_sum.add_(targets[0] + targets[1], alpha=0.5 * _PAIR_PENALTY)
        size = self.window.padded
        spectrum = torch.fft.rfftn(right_net)
        copy = torch.fft.rfftn(self.field_copy - self.field_dual)
        spectrum += self.trusted_dipole * copy
        scale_(spectrum, 1 / self.for_net)
        net = inverse_rfftn(spectrum, size)
        # The field, and the misfit that is likelier than a source: see ``inversion.tv``.
        scale_(spectrum, self.trusted_dipole).add_(scale_(copy, self.doubt))
        self.modeled = inverse_rfftn(spectrum, size)
        total = inverse_rfftn(scale_(torch.fft.rfftn(right_sum), 1 / self.for_sum), size)
        self.solved = [0.5 * (total + net), 0.5 * (total - net)]
        return net

    def _shrink(self, net: Tensor) -> None:
        """Threshold the three gradients softly, by 0 on edges."""
        for number, volume in enumerate((net, *self.solved)):
            limits = self.limits[0 if number == 0 else 1]
            for axis, step in enumerate(self._gradient(volume)):
                dual = self.duals[number][axis]
                step.add_(dual)
                torch.clamp(step, -limits[axis], limits[axis], out=dual)
                self.copies[number][axis] = step.sub_(dual)

    def _fit_field(self, net: Tensor) -> None:
        """Update the copy of D(p - d), drawn to the field where it is trusted, and its dual."""
        moved = self.modeled + self.field_dual
        self.field_copy = moved + (self.field - moved) * self.share
        self.field_dual = moved - self.field_copy

    def _fit_pair(self) -> None:
        """Update p and d voxel by voxel: R2' and both bounds."""
        a, b = self.rates
        p, d = (x + u for x, u in zip(self.solved, self.pair_duals, strict=True))
        k, rho = self.rate_weight, _PAIR_PENALTY
        # Free solution, then those on the bounds; the problem is convex with two variables.
        step = k * (self.rate - a * p - b * d) / (rho + k * (a * a + b * b))
        both = [p + a * step, d + b * step]
        only_p = ((rho * p + k * a * self.rate) / (rho + k * a * a)).clamp_(min=0)
        only_d = ((rho * d + k * b * self.rate) / (rho + k * b * b)).clamp_(min=0)
        para = torch.where(both[1] < 0, only_p, both[0])
        dia = torch.where(both[0] < 0, only_d, both[1])
        para, dia = (v.clamp_(min=0).mul_(self.inside) for v in (para, dia))
        self.pair_duals = [p - para, d - dia]
        self.pair = [para, dia]

    def _gradient(self, volume: Tensor) -> list[Tensor]:
        """Return the periodic forward differences over the voxel size."""
        return [
            (volume.roll(-1, axis) - volume).mul_(weight)
            for axis, weight in enumerate(self.window.step_weights)
        ]

    def _adjoint(self, steps: list[Tensor]) -> Tensor:
        """Return the adjoint of :meth:`_gradient`."""
        total = torch.zeros_like(steps[0])
        for axis, (step, weight) in enumerate(zip(steps, self.window.step_weights, strict=True)):
            total.add_(step.roll(1, axis) - step, alpha=weight)
        return total

    def _edge_masks(self, volume: Tensor, share: float) -> list[Tensor]:
        """Return 1 where the gradient is not among the strongest ``share`` within the mask."""
        masks = []
        for step in self._gradient(volume):
            inside = step.abs()[self.inside > 0]
            sample = inside[:: max(1, inside.numel() // 1_000_000)]
            masks.append((step.abs() <= torch.quantile(sample, 1 - share)).float())
        return masks
