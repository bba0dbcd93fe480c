"""Weighted total variation by ADMM, which believes the field no more than it deserves.

Minimizes over chi and a misfit m of the field

    1/2 ||W (D chi + m - f)||^2 + 1/2 ||C m||^2 + lambda sum_a ||e_a w_a grad_a chi||_1,

with e_a small on the borders that R2* shows (``edges``) and w_a for the voxel size. The weight W
lives in image space (0 outside the mask, where the field is not known), dipole and misfit in
k-space: each gets its own splitting variable, as in FANSI (Milovic et al., Magn Reson Med
2018;80:814), so that all steps are closed-form (total variation for QSM: Bilgic et al., Magn Reson
Med 2014;72:1444).

What no source explains in a real field is far from white: at long waves it is a hundred times
stronger than at those of two voxels. C follows its spectrum, which the field itself shows
(:mod:`QSMSeparationLib.solvers.misfit`); m then costs nothing but a share q(k) of trust in each
frequency, and the start is Wiener's filter, which has the long waves right.

Total variation takes contrast from small objects: of lesions, a fifth. So what is left of the field
is added to it and the minimum sought again (Bregman iteration; Osher et al., Multiscale Model Simul
2005;4:460), which gives contrast back before it gives back misfit: in as many rounds as the share
of the misfit in the field allows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.fourier import inverse_rfftn
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.edges import edge_weights, shows_borders
from QSMSeparationLib.solvers.misfit import FieldPower, field_power, misfit_share, wiener
from QSMSeparationLib.solvers.window import Window, difference, scale_

_LAMBDA_OVER_MISFIT = 0.17
"""Of the misfit where it is least, in the finest waves, which are wholly trusted (settings heads;
on a real field the map then has the SD that its sources' power lets expect)."""

_EDGE_GAIN = 5 / 3
"""With borders known, the rest may be smoothed this much more."""

_ROUNDS_TIMES_SHARE = 1.25
_ROUNDS = (2, 3)
"""Rounds by the misfit: the first number over the share of the misfit in the SD of the field, within
these (settings heads with 0 to 8 ppb of misfit)."""

_GRADIENT_PENALTY_OVER_LAMBDA = 300.0
_SLAB_VOXELS = 1 << 18
_CHECK_EVERY = 4


def tv(
    maps: Maps,
    context: Context,
    *,
    regularisation: float,
    iterations: int,
    rounds: int,
    tolerance: float,
    edges: bool,
) -> Tensor:
    """Invert the local field with total variation, weighted by ``maps.trust``.

    Parameters
    ----------
    maps : Maps
        With ``local_field``, and ``r2star`` or ``magnitude`` for borders.
    context : Context
        Progress.
    regularisation : float
        Multiplies the automatic lambda, which is proportional to the misfit of the field at the
        waves where it is least.
    iterations : int
        Most iterations of a round.
    rounds : int
        The first one and the Bregman rounds after it: more give contrast back, and misfit. 0: as
        many as the misfit of this field allows.
    tolerance : float
        End a round when an iteration changes the map by less than this share of its norm.
    edges : bool
        Do not smooth across the borders that R2* or the magnitude shows, where one is given.

    Returns
    -------
    Tensor
        Net susceptibility in ppm, mean 0 over the mask, 0 outside.
    """
    (local_field,) = maps.need("local_field")
    report = context.report
    report(0, 1)
    window = Window(maps)
    power = field_power(maps, window)
    rounds = rounds or rounds_for(power, maps)
    strength = regularisation * _LAMBDA_OVER_MISFIT * power.least_sd_ppm
    borders = None
    if edges and shows_borders(maps):
        borders = edge_weights(maps, window)
        strength *= _EDGE_GAIN
    solver = _Admm(
        window,
        window.embed(local_field),
        window.embed(maps.trust * local_field.isfinite()),
        strength,
        borders,
        power.trust(),
    )
    solver.start_from(wiener(maps, power))
    for number in range(rounds):
        if number:
            solver.return_misfit()
        for done in range(1, iterations + 1):
            change = solver.iterate(measure=done % _CHECK_EVERY == 0)
            report(number * iterations + done, rounds * iterations)
            if change < tolerance:
                break
    report(rounds * iterations, rounds * iterations)
    return window.extract(solver.chi)


def rounds_for(power: FieldPower, maps: Maps) -> int:
    """Return how many rounds the misfit of a field allows."""
    fewest, most = _ROUNDS
    return min(max(int(_ROUNDS_TIMES_SHARE / misfit_share(maps, power) + 0.5), fewest), most)


class _Admm:
    """State of the iteration; all buffers are made once, all steps work in place.

    With z the copy of the weighted gradient and u its scaled dual, soft thresholding gives
    u = clamp(grad chi + u, +-t) and z - u = (grad chi + u_old) - 2 u, so z need not be kept;
    likewise for the copy of D chi and its dual. The duals of the gradient are stored divided
    by w_a, which turns the threshold into t / w_a and spares a pass.
    """

    def __init__(
        self,
        window: Window,
        field: Tensor,
        weight: Tensor,
        strength: float,
        borders: list[Tensor] | None = None,
        trust: Tensor | None = None,
    ) -> None:
        penalty = _GRADIENT_PENALTY_OVER_LAMBDA * strength
        self.shape = window.padded
        self.weights = window.step_weights
        threshold = strength / penalty
        self.limits = [threshold / w for w in self.weights]
        self.borders = borders
        if borders is not None:
            for border, limit in zip(borders, self.limits, strict=True):
                border.mul_(limit)
        self.measured = field
        self.known = weight > 0
        self.field = field.clone()
        # Share of the misfit that the data term takes away: W^2 / (W^2 + 1), penalty 1.
        self.model = field * weight
        self.share = weight.square_().div_(weight + 1)
        self.dipole = window.dipole
        # With trust q, the best m is (1 - q) (t - D chi) for a copy t of the field: see ``_solve``.
        self.doubt = None if trust is None else 1 - trust
        self.trusted_dipole = self.dipole if trust is None else trust.mul_(self.dipole)
        self.from_gradient = window.laplacian().mul_(penalty)
        self.from_gradient.addcmul_(self.trusted_dipole, self.dipole)
        self.from_gradient[0, 0, 0] = 1.0
        self.from_field = self.trusted_dipole / self.from_gradient
        self.from_gradient.reciprocal_().mul_(penalty)
        self.from_gradient[0, 0, 0] = 0.0
        self.chi = torch.zeros_like(field)
        self.previous = torch.zeros_like(field)
        self.gradient_duals = [torch.zeros_like(field) for _ in range(3)]
        self.field_dual = torch.zeros_like(field)
        self.divergence = torch.zeros_like(field)
        self.spectra = [torch.empty_like(self.dipole, dtype=torch.complex64) for _ in range(2)]
        planes = self.shape[0]
        if field.device.type == "cpu":  # small enough for the cache: memory is the bottleneck
            planes = max(1, _SLAB_VOXELS // (self.shape[1] * self.shape[2]))
        self.slabs = [
            slice(start, min(start + planes, self.shape[0]))
            for start in range(0, self.shape[0], planes)
        ]
        self.scratch = torch.empty((planes, *self.shape[1:]), device=field.device)

    def start_from(self, chi: Tensor) -> None:
        """Begin at a map on the grid of the window, in place of 0."""
        chi = chi * self.known
        self.chi.copy_(chi)
        for axis, weight in enumerate(self.weights):
            _add_adjoint(
                chi.roll(-1, axis) - chi, slice(0, len(chi)), axis, weight**2, self.divergence
            )
        outside = inverse_rfftn(scale_(torch.fft.rfftn(chi), self.dipole), self.shape)
        torch.where(self.known, self.measured, outside, out=self.model)

    def iterate(self, measure: bool) -> float:
        """Do one iteration; return its relative change if it is to be measured, else inf."""
        if measure:
            self.previous.copy_(self.chi)
        self._solve()
        self._shrink_gradient()
        self._fit_field()
        if not measure:
            return math.inf
        change = self.previous.sub_(self.chi).norm() / self.chi.norm().clamp_min(1e-20)
        return float(change)

    def return_misfit(self) -> None:
        """Add the misfit D chi - f to the field that is fitted: a Bregman round begins."""
        spectrum = scale_(torch.fft.rfftn(self.chi), self.dipole)
        misfit = inverse_rfftn(spectrum, self.shape).sub_(self.measured).mul_(self.known)
        self.field.sub_(misfit)

    def _solve(self) -> None:
        """Find chi and D chi + m from both copies: diagonal in k-space."""
        ours, other = self.spectra
        torch.fft.rfftn(self.divergence, out=ours)
        torch.fft.rfftn(self.model, out=other)
        scale_(ours, self.from_gradient)
        for part, its in ((ours.real, other.real), (ours.imag, other.imag)):
            part.addcmul_(its, self.from_field)
        inverse_rfftn(ours, self.shape, out=self.chi)
        scale_(ours, self.trusted_dipole)
        if self.doubt is not None:
            for part, its in ((ours.real, other.real), (ours.imag, other.imag)):
                part.addcmul_(its, self.doubt)
        inverse_rfftn(ours, self.shape, out=self.model)

    def _shrink_gradient(self) -> None:
        """Update the duals of the gradient; leave grad^T (z - u) in ``divergence``."""
        self.divergence.zero_()
        for slab in self.slabs:
            for axis, weight in enumerate(self.weights):
                step = self.scratch[: slab.stop - slab.start]
                dual = self.gradient_duals[axis][slab]
                difference(self.chi, slab, axis, out=step)
                step.add_(dual)
                if self.borders is None:
                    torch.clamp(step, -self.limits[axis], self.limits[axis], out=dual)
                else:
                    limit = self.borders[axis][slab]
                    torch.minimum(step, limit, out=dual)
                    torch.maximum(dual, -limit, out=dual)
                step.sub_(dual, alpha=2)
                _add_adjoint(step, slab, axis, weight**2, self.divergence)

    def _fit_field(self) -> None:
        """Update the copy of D chi and its dual; leave their difference in ``model``."""
        for slab in self.slabs:
            model, dual = self.model[slab], self.field_dual[slab]
            model.add_(dual)
            torch.sub(model, self.field[slab], out=dual)
            dual.mul_(self.share[slab])
            model.sub_(dual, alpha=2)


def _add_adjoint(step: Tensor, slab: slice, axis: int, factor: float, out: Tensor) -> None:
    """Add ``factor`` times the adjoint difference of some planes to the volume ``out``."""
    here = out[slab]
    here.sub_(step, alpha=factor)
    if axis == 0:
        stop = min(slab.stop, out.shape[0] - 1)
        count = stop - slab.start
        out[slab.start + 1 : stop + 1].add_(step[:count], alpha=factor)
        if count < len(step):
            out[0].add_(step[-1], alpha=factor)
        return
    n = here.shape[axis]
    here.narrow(axis, 1, n - 1).add_(step.narrow(axis, 0, n - 1), alpha=factor)
    here.select(axis, 0).add_(step.select(axis, n - 1), alpha=factor)
