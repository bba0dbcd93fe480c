"""Separation from net chi and R2* together, with R2 that follows the sources.

Without a spin echo R2* = R2 + R2' is one number for three unknowns. R2 is none of them freely: it
rises with iron and with myelin, and usual values of tissue are known
(:mod:`QSMSeparationLib.physics.tissue_prior`). For every class of tissue chi+, |chi-|, R2* and net
chi are jointly normal, so that the expected sum of the sources

    E[chi+ + |chi-| given net chi, R2*] = sum over classes of P(class) (a + b net chi + c R2*)

is linear in both measurements within a class, and the classes are weighted by how well they explain
both. Net chi is kept, so both sources follow from it and the sum. No network, no training; R2
that does not follow the prior biases it, but less than a fixed share of R2*.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics import tissue_prior
from QSMSeparationLib.physics.tissue_prior import TissueClass
from QSMSeparationLib.physics.two_sources import guided, prepare_net, solve_two_sources
from QSMSeparationLib.runtime.context import Context

_NET_SD_PPM = 0.006
"""Error of net chi in a voxel of an inversion, as it was on held-out heads."""

_R2STAR_SD_HZ = 1.0
"""Noise of R2* at a usual SNR, after the guided filter."""

_NET_RANGE_PPM = (-0.3, 0.5)
_R2STAR_RANGE_HZ = (0.0, 200.0)
_TABLE = (801, 801)
"""The estimate is tabulated over what a brain can hold: 1 ppb and 0.25 Hz (at 3 T) a step."""


def r2star_joint(maps: Maps, context: Context) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm from net chi and R2*.

    Parameters
    ----------
    maps : Maps
        ``net`` and ``r2star``, with ``dr_para``, ``dr_dia`` and ``b0_tesla``.
    context : Context
        Not used: it takes a second.
    """
    (r2star,) = maps.need("r2star")
    net, mask = prepare_net(maps)
    rate = guided(r2star[None, None].float() * mask, net, mask)[0, 0]
    net = net[0, 0]
    total = expected_sum(net, rate, maps.dr_para, maps.dr_dia, maps.b0_tesla)
    return solve_two_sources(net, total, 1.0, 1.0, maps.mask)


def expected_sum(
    net_ppm: Tensor, r2star_hz: Tensor, dr_para: float, dr_dia: float, b0_tesla: float
) -> Tensor:
    """Return the expected chi+ + |chi-| in ppm for net chi at its true level and R2*.

    Parameters
    ----------
    net_ppm, r2star_hz : Tensor
        Measurements, (k, j, i).
    dr_para, dr_dia : float
        Relaxivities of R2' at the field strength.
    b0_tesla : float
        Field strength.
    """
    scale = b0_tesla / 3.0
    rates = (_R2STAR_RANGE_HZ[0] * scale, _R2STAR_RANGE_HZ[1] * scale)
    nets, rows = (
        torch.linspace(low, high, n, device=net_ppm.device, dtype=torch.float64)
        for (low, high), n in zip((_NET_RANGE_PPM, rates), _TABLE, strict=True)
    )
    table = _table(nets[:, None], rows[None, :], dr_para, dr_dia, b0_tesla)
    place = torch.stack([_between(r2star_hz, rates), _between(net_ppm, _NET_RANGE_PPM)], dim=-1)
    flat = place.reshape(1, 1, -1, 2)
    values = functional.grid_sample(
        table[None, None].float(), flat, align_corners=True, padding_mode="border"
    )
    return values.reshape(net_ppm.shape)


def _between(values: Tensor, limits: tuple[float, float]) -> Tensor:
    """Return values as -1 to 1 between two limits."""
    low, high = limits
    return (values.float() - low) * (2 / (high - low)) - 1


def _table(net: Tensor, r2star: Tensor, dr_para: float, dr_dia: float, b0_tesla: float) -> Tensor:
    """Mix the classes' estimates by how well each class explains the measurements."""
    terms = [
        _class_estimate(row, net, r2star, dr_para, dr_dia, b0_tesla) for row in tissue_prior.CLASSES
    ]
    logs = torch.stack([log for log, _ in terms])
    weights = torch.softmax(logs, dim=0)
    return (weights * torch.stack([total for _, total in terms])).sum(0)


def _class_estimate(
    row: TissueClass, net: Tensor, r2star: Tensor, dr_para: float, dr_dia: float, b0_tesla: float
) -> tuple[Tensor, Tensor]:
    """Return log P(measurements, class) and the class's estimate of the sum, both joint normal."""
    gain_para = dr_para + tissue_prior.R2_PER_PARA_HZ_PER_PPM_T * b0_tesla
    gain_dia = dr_dia + tissue_prior.R2_PER_DIA_HZ_PER_PPM_T * b0_tesla
    free = tissue_prior.R2_FREE_HZ + tissue_prior.R2_FREE_HZ_PER_T * b0_tesla + row.d_hz
    r2prime = dr_para * row.para + dr_dia * row.dia
    para_var, dia_var = row.para_sd**2, row.dia_sd**2
    rate_noise = (
        tissue_prior.R2_RESIDUAL_HZ**2
        + _R2STAR_SD_HZ**2
        + (tissue_prior.RELAXIVITY_SCATTER * r2prime) ** 2
    )
    # Covariance of (net, R2*), and of the sum with both.
    net_var = para_var + dia_var + _NET_SD_PPM**2
    cross = gain_para * para_var - gain_dia * dia_var
    rate_var = gain_para**2 * para_var + gain_dia**2 * dia_var + rate_noise
    with_net = para_var - dia_var
    with_rate = gain_para * para_var + gain_dia * dia_var
    determinant = net_var * rate_var - cross**2
    net_off = net - (row.para - row.dia)
    rate_off = r2star - (free + gain_para * row.para + gain_dia * row.dia)
    squared = rate_var * net_off**2 - 2 * cross * net_off * rate_off + net_var * rate_off**2
    log = math.log(row.share) - 0.5 * math.log(determinant) - 0.5 * squared / determinant
    by_net = (rate_var * with_net - cross * with_rate) / determinant
    by_rate = (net_var * with_rate - cross * with_net) / determinant
    return log, (row.para + row.dia + by_net * net_off + by_rate * rate_off).clamp(min=0)
