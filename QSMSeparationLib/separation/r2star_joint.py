"""Separation from net chi and R2* together, with R2 that follows the sources.

Without a spin echo R2* = R2 + R2' is one number for three unknowns. R2 is none of them freely: it
rises with iron and with myelin, and usual values of tissue are known
(:mod:`QSMSeparationLib.physics.tissue_prior`). For every class of tissue chi+, |chi-|, R2* and net
chi are jointly normal, so that the expected sum of the sources

    E[chi+ + |chi-| given net chi, R2*] = sum over classes of P(class) (a + b net chi + c R2*)

is linear in both measurements within a class, and the classes are weighted by how well they explain
both. Net chi is kept, so both sources follow from it and the sum. No network, no training; R2
that does not follow the prior biases it, but less than a fixed share of R2*.

The same mixture says how sure that is: the squared error to expect is the variance that a class
leaves open plus the spread between the classes that are likely. It grows with the distance of the
measurements from the prior, of which a mixture of normal distributions knows nothing by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.physics import tissue_prior
from QSMSeparationLib.physics.tissue_prior import TissueClass
from QSMSeparationLib.physics.two_sources import prepare_net, solve_two_sources
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.misfit import net_error_ppm
from QSMSeparationLib.solvers.noise import white_noise_sd

_LEAST_R2STAR_SD_HZ = 1.0
"""Error of R2* beside its noise: dephasing, fit, borders. R2* is not smoothed along the edges of net
chi: its texture is not that of net chi, and lesions lose contrast (slopes on settings heads of
chi+ 0.75, 0.57, 0.41 with the guided filter and 0.88, 0.67, 0.55 without)."""

_KNOWN_SHARE = 0.995
"""Share of the prior within the contour beyond which measurements are unusual."""

_NET_RANGE_PPM = (-0.3, 0.5)
_R2STAR_RANGE_HZ = (0.0, 200.0)
_TABLE = (401, 401)
"""The estimate is tabulated over what a brain can hold: 2 ppb and 0.5 Hz (at 3 T) a step."""


@dataclass(frozen=True)
class Setting:
    """What the joint distribution of sources and measurements rests on.

    Parameters
    ----------
    dr_para, dr_dia : float
        Relaxivities of R2' at the field strength.
    b0_tesla : float
        Field strength.
    net_sd_ppm, r2star_sd_hz : float
        Errors of both measurements.
    """

    dr_para: float
    dr_dia: float
    b0_tesla: float
    net_sd_ppm: float = 0.006
    r2star_sd_hz: float = _LEAST_R2STAR_SD_HZ

    @property
    def r2star_range_hz(self) -> tuple[float, float]:
        """Range of R2* in the table."""
        low, high = (rate * self.b0_tesla / 3.0 for rate in _R2STAR_RANGE_HZ)
        return low, high


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected of the sources for measurements of net chi and R2*.

    Parameters
    ----------
    total : Tensor
        chi+ + |chi-| in ppm.
    para_sd, dia_sd : Tensor
        SD of the error of (total + net) / 2 and of (total - net) / 2, in ppm.
    r2prime_sd : Tensor
        SD of the error of the R2' of both, in Hz.
    distance : Tensor
        How far the measurements lie from the prior, in units of the contour that holds
        ``_KNOWN_SHARE`` of it.
    """

    total: Tensor
    para_sd: Tensor
    dia_sd: Tensor
    r2prime_sd: Tensor
    distance: Tensor


def r2star_joint(maps: Maps, context: Context) -> Separated:
    """Return chi+ >= 0 and chi- <= 0 in ppm from net chi and R2*, with their SDs and R2'.

    Parameters
    ----------
    maps : Maps
        ``net`` and ``r2star``, with ``dr_para``, ``dr_dia`` and ``b0_tesla``; ``local_field`` tells
        how far net chi can be trusted.
    context : Context
        Not used: it takes a second.
    """
    (r2star,) = maps.need("r2star")
    net, inside = (one[0, 0] for one in prepare_net(maps))
    expected = expect(net, r2star.float(), setting_of(maps))
    para, dia = solve_two_sources(net, expected.total, 1.0, 1.0, maps.mask)
    farther = expected.distance.clamp(min=1) * inside
    return Separated(
        para,
        dia,
        chi_para_sd=expected.para_sd * farther,
        chi_dia_sd=expected.dia_sd * farther,
        r2prime=maps.dr_para * para - maps.dr_dia * dia,
        r2prime_sd=expected.r2prime_sd * farther,
        unusual=(expected.distance > 1) & maps.mask,
    )


def setting_of(maps: Maps) -> Setting:
    """Return relaxivities, field strength and the errors of the measurements of a head."""
    (r2star,) = maps.need("r2star")
    return Setting(
        maps.dr_para,
        maps.dr_dia,
        maps.b0_tesla,
        net_error_ppm(maps),
        max(_LEAST_R2STAR_SD_HZ, white_noise_sd(r2star, maps.mask)),
    )


def expected_sum(
    net_ppm: Tensor, r2star_hz: Tensor, dr_para: float, dr_dia: float, b0_tesla: float
) -> Tensor:
    """Return the expected chi+ + |chi-| in ppm for net chi at its true level and R2*."""
    return expect(net_ppm, r2star_hz, Setting(dr_para, dr_dia, b0_tesla)).total


def expect(net_ppm: Tensor, r2star_hz: Tensor, setting: Setting) -> Expected:
    """Return what is expected of the sources.

    Parameters
    ----------
    net_ppm, r2star_hz : Tensor
        Measurements, (k, j, i); net chi at its true level.
    setting : Setting
        Relaxivities, field strength and errors.
    """
    rates = setting.r2star_range_hz
    nets, rows = (
        torch.linspace(low, high, n, device=net_ppm.device, dtype=torch.float64)
        for (low, high), n in zip((_NET_RANGE_PPM, rates), _TABLE, strict=True)
    )
    table = _table(nets[:, None], rows[None, :], setting)
    place = torch.stack([_between(r2star_hz, rates), _between(net_ppm, _NET_RANGE_PPM)], dim=-1)
    flat = place.reshape(1, 1, -1, 2)
    values = functional.grid_sample(
        table[None].float(), flat, align_corners=True, padding_mode="border"
    )
    return Expected(*values.reshape(len(table), *net_ppm.shape))


def _between(values: Tensor, limits: tuple[float, float]) -> Tensor:
    """Return values as -1 to 1 between two limits."""
    low, high = limits
    return (values.float() - low) * (2 / (high - low)) - 1


def _table(net: Tensor, r2star: Tensor, setting: Setting) -> Tensor:
    """Mix the classes by how well each explains the measurements; one layer a field of Expected."""
    classes = [_within_class(row, net, r2star, setting) for row in tissue_prior.CLASSES]
    logs, para, dia = (
        torch.stack([getattr(c, n) for c in classes]) for n in ("log", "para", "dia")
    )
    weights = torch.softmax(logs, dim=0)
    total = (weights * (para + dia).clamp(min=0)).sum(0)
    # Gain of a quantity by chi+ and |chi-|, and its estimate: net chi is kept as it was measured.
    found_para, found_dia = 0.5 * (total + net), 0.5 * (total - net)
    layers = [total]
    for a, b in ((1.0, 0.0), (0.0, 1.0), (setting.dr_para, setting.dr_dia)):
        off = a * (para - found_para) + b * (dia - found_dia)
        open_variance = torch.tensor([c.variance(a, b) for c in classes], dtype=torch.float64)
        error = (weights * (off.square() + open_variance.to(off)[:, None, None])).sum(0)
        layers.append(error.sqrt())
    found_rate = setting.dr_para * found_para + setting.dr_dia * found_dia
    layers[-1] = torch.hypot(layers[-1], tissue_prior.RELAXIVITY_SCATTER * found_rate)
    return torch.stack([*layers, _distance(torch.logsumexp(logs, dim=0))])


def _distance(log_density: Tensor) -> Tensor:
    """Return the distance from the prior, 1 on the contour that holds the known share of it.

    Within a normal distribution it is that of Mahalanobis over the contour's.
    """
    sorted_logs = log_density.flatten().sort(descending=True).values
    held = torch.softmax(sorted_logs, dim=0).cumsum(0)
    contour = sorted_logs[int((held < _KNOWN_SHARE).sum())]
    peak = sorted_logs[0]
    return ((peak - log_density) / (peak - contour)).clamp(min=0).sqrt()


@dataclass(frozen=True, eq=False)
class _ClassEstimate:
    """log P(measurements, class), expected sources, and what is left open of them."""

    log: Tensor
    para: Tensor
    dia: Tensor
    covariance: tuple[float, float, float]

    def variance(self, by_para: float, by_dia: float) -> float:
        """Return the variance of by_para chi+ + by_dia |chi-| that the measurements leave open."""
        para, both, dia = self.covariance
        return by_para**2 * para + 2 * by_para * by_dia * both + by_dia**2 * dia


def _within_class(
    row: TissueClass, net: Tensor, r2star: Tensor, setting: Setting
) -> _ClassEstimate:
    """Return what a class makes of the measurements: all is jointly normal."""
    b0 = setting.b0_tesla
    gain_para = setting.dr_para + tissue_prior.R2_PER_PARA_HZ_PER_PPM_T * b0
    gain_dia = setting.dr_dia + tissue_prior.R2_PER_DIA_HZ_PER_PPM_T * b0
    free = tissue_prior.R2_FREE_HZ + tissue_prior.R2_FREE_HZ_PER_T * b0 + row.d_hz
    r2prime = setting.dr_para * row.para + setting.dr_dia * row.dia
    para_var, dia_var = row.para_sd**2, row.dia_sd**2
    # Covariance of (net, R2*), then that of each source with both.
    net_var = para_var + dia_var + setting.net_sd_ppm**2
    cross = gain_para * para_var - gain_dia * dia_var
    rate_var = (
        gain_para**2 * para_var
        + gain_dia**2 * dia_var
        + tissue_prior.R2_RESIDUAL_HZ**2
        + setting.r2star_sd_hz**2
        + (tissue_prior.RELAXIVITY_SCATTER * r2prime) ** 2
    )
    determinant = net_var * rate_var - cross**2
    net_off = net - (row.para - row.dia)
    rate_off = r2star - (free + gain_para * row.para + gain_dia * row.dia)
    squared = rate_var * net_off**2 - 2 * cross * net_off * rate_off + net_var * rate_off**2
    log = math.log(row.share) - 0.5 * math.log(determinant) - 0.5 * squared / determinant
    with_para, with_dia = (para_var, gain_para * para_var), (-dia_var, gain_dia * dia_var)
    (para_net, para_rate), (dia_net, dia_rate) = (
        (
            (rate_var * with_net - cross * with_rate) / determinant,
            (net_var * with_rate - cross * with_net) / determinant,
        )
        for with_net, with_rate in (with_para, with_dia)
    )
    return _ClassEstimate(
        log,
        row.para + para_net * net_off + para_rate * rate_off,
        row.dia + dia_net * net_off + dia_rate * rate_off,
        (
            para_var - para_net * with_para[0] - para_rate * with_para[1],
            -para_net * with_dia[0] - para_rate * with_dia[1],
            dia_var - dia_net * with_dia[0] - dia_rate * with_dia[1],
        ),
    )
