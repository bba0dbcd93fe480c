"""Separation by one coordinate network with two outputs, fitted to the scan in front of you.

chi+ and |chi-| are two non-negative functions of the place. One network gives both; it is fitted
to the local field and to R2' at once, without training data:

    1/2 |W (D(p - d) - f)|^2 / sd_f^2  +  Huber(W (Dr+ p + Dr- d - R2') / sd_r)
      + lambda_n |M grad(p - d)|_1  +  lambda_s |M sqrt(|grad p|^2 + |grad d|^2)|_1

p = chi+ >= 0, d = |chi-| >= 0; both noise levels are measured in the maps; M is 0 on the edges of
net chi and R2*. Sources share their edges, so their steps are penalized together. The network starts from
the guided closed form (:mod:`QSMSeparationLib.separation.guided`) and fits what that leaves. On
simulated heads its errors are those of that start within a point, half those of the plain closed
form; what it adds is a pair of maps that also explains the field.
"""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.networks.inputs import NET_PPM
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.separation.guided import guided_pair
from QSMSeparationLib.solvers.implicit import CoordinateMaps, GridEncoded
from QSMSeparationLib.solvers.implicit_terms import (
    HUBER,
    FieldTerm,
    Stopper,
    edge_guides,
    flat_tissue,
    set_rate,
    tv_gradient,
)
from QSMSeparationLib.solvers.noise import white_noise_sd
from QSMSeparationLib.solvers.window import Window

_RATE = 0.03
_EDGES = (0.6, 0.9)
_NET_TV_OVER_NOISE = 0.1
_SOURCE_TV_OVER_NOISE = 0.5
_SMALLEST_NOISE_HZ = 0.2
_SOFTNESS = 1e-2
"""b of the bound (x + sqrt(x^2 + b))/2 >= 0, over NET_PPM squared."""
_PATIENCE = 10


def inr_sep(
    maps: Maps,
    context: Context,
    *,
    regularisation: float,
    rate_weight: float,
    iterations: int,
) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm.

    Parameters
    ----------
    maps : Maps
        ``local_field``, ``net`` (start and edges) and ``r2prime``; ``trust`` and
        ``r2star`` (edges) if there are.
    context : Context
        Progress.
    regularisation : float
        Multiplies both weights of the total variation.
    rate_weight : float
        Multiplies the term of R2'.
    iterations : int
        Most steps.
    """
    net_ppm, r2prime = maps.need("net", "r2prime")
    report = context.report
    report(0, iterations)
    window = Window(maps)
    field, rate = FieldTerm(maps, window), _RateTerm(maps, r2prime, window)
    raw = torch.stack([_unbound(window.embed(s.abs())) for s in guided_pair(maps)])
    inside = window.embed(maps.mask.float())
    guides = [window.embed(net_ppm), *edge_guides(maps, window)]
    flat = flat_tissue(window, guides, *_EDGES)
    torch.manual_seed(0)
    network = GridEncoded(tuple(s.stop for s in window.inner), maps.spacing_kji, outputs=2)
    volume = CoordinateMaps(network.to(inside.device), window, outputs=2)
    optimizer = torch.optim.Adam(network.groups(_RATE), betas=(0.9, 0.99))
    net_strength = regularisation * _NET_TV_OVER_NOISE / field.noise_ppm
    source_strength = regularisation * _SOURCE_TV_OVER_NOISE / rate.noise_ppm
    stop = Stopper(_PATIENCE)
    for done in range(iterations):
        set_rate(optimizer, done, iterations)
        (para, dia), slopes = _bound(volume.evaluate() + raw)
        net = (para - dia) * inside
        of_net, held = field.gradient(net, flat)
        if stop(held):
            break
        of_net.add_(tv_gradient([net], flat, window.step_weights)[0], alpha=net_strength)
        of_each = tv_gradient([para * inside, dia * inside], flat, window.step_weights)
        of_rate = rate.gradient(para, dia)
        gradient = torch.stack(
            [
                of_each[0].mul_(source_strength).add_(of_net).add_(rate_weight * of_rate[0]),
                of_each[1].mul_(source_strength).sub_(of_net).add_(rate_weight * of_rate[1]),
            ]
        )
        gradient.mul_(slopes).mul_(inside).mul_(NET_PPM / float(inside.sum()))
        optimizer.zero_grad(set_to_none=True)
        volume.descend(gradient)
        optimizer.step()
        report(done + 1, iterations)
    report(iterations, iterations)
    (para, dia), _ = _bound(volume.evaluate() + raw)
    para, dia = (window.crop(source).clamp_(min=0) * maps.mask for source in (para, dia))
    return para, -dia


class _RateTerm:
    """Huber loss of Dr+ p + Dr- d - R2' over its noise; both in ppm by the mean of Dr."""

    def __init__(self, maps: Maps, r2prime_hz: Tensor, window: Window) -> None:
        mean_dr = maps.mean_dr
        self.shares = (maps.dr_para / mean_dr, maps.dr_dia / mean_dr)
        noise_hz = max(white_noise_sd(r2prime_hz, maps.mask), _SMALLEST_NOISE_HZ)
        self.noise_ppm = noise_hz / mean_dr
        self.rate = window.embed(r2prime_hz / mean_dr)
        self.weight = window.embed(maps.trust * r2prime_hz.isfinite())

    def gradient(self, para: Tensor, dia: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient with respect to both sources."""
        a, b = self.shares
        misfit = (a * para + b * dia - self.rate).div_(self.noise_ppm).clamp_(-HUBER, HUBER)
        misfit.mul_(self.weight).div_(self.noise_ppm)
        return a * misfit, b * misfit


def _bound(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sources in ppm, (x + sqrt(x^2 + b))/2 of what the network gives, and its slope."""
    root = torch.sqrt(raw.square() + _SOFTNESS)
    return (raw + root).mul_(0.5 * NET_PPM), (1 + raw / root).mul_(0.5)


def _unbound(source_ppm: Tensor) -> Tensor:
    """Return the x that gives a source: the inverse of :func:`_bound`."""
    y = (source_ppm / NET_PPM).clamp(min=0.02)
    return y - _SOFTNESS / (4 * y)
