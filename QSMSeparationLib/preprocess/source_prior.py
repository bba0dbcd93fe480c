"""Sources of the brain as far as relaxation shows them, for background removal.

The field of sources within the mask has a part that is harmonic there: no mean value tells it
from the background, and it is most of the error of a local field near the brain's edge. But
susceptibility goes with relaxation: cerebrospinal fluid, white matter, cortex and deep grey each
have their own. So sources c(r) = g(R2*(r)) + h(R2'(r)) + k(R2(r)) are laid through the brain,
piecewise linear curves whose values w at their knots fit what the mean values do see of this scan,

    minimize  sum_r | M_r (1 - S_r) (f - D c) |^2 + mu |w|^2     over w.

mu |w|^2 says that values differ by some ppb from knot to knot, and no more. It matters where a
curve makes a field that is nearly all harmonic: such a curve fits nearly nothing with any height.

Their field is taken off before the background is removed, and added again afterwards. Only the
harmonic part of it stays in the result: elsewhere the data decide, whatever the curves are.

Where susceptibility does not go with relaxation, the curves are chance. No mean value tells the
harmonic part, but whether curves hold can be seen: fitted to one half of the brain (cubes like
the fields of a chessboard), how much do they explain of the other, and how much of their own?
The ratio of the two, at most 1 and at least 0, is the share of the sources that is used.

A constant added to c is the field of a uniform brain, all of it harmonic: no data decide it.
It is chosen so that cerebrospinal fluid has the susceptibility of the tables, relative to the
tissue around the brain. Maps of susceptibility only get another reference by it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from QSMSeparationLib.data.axes import Triple
from QSMSeparationLib.physics.dipole import kspace_kernel
from QSMSeparationLib.physics.smoothing import gaussian, mean_of_blocks
from QSMSeparationLib.preprocess.smv import Frame, fitting_shells, shell_radii
from QSMSeparationLib.runtime.progress import Report, silent

_KNOTS = (0.01, 0.06, 0.16, 0.3, 0.5, 0.7, 0.85, 0.94, 0.98, 0.995)
"""Quantiles of a rate within the mask at which its curve has its knots."""

_HEIGHT_SD_PPM = 0.03
"""How much susceptibility differs between knots: net chi of tissues has an SD of 20 to 40 ppb."""

_ALIKE = 300
"""Blocks of voxels in which what sources leave of the field is one and the same: cubes of 13 mm.
Chosen on three settings heads, with their rates, mirrored ones, and depth as a rate."""

_RIDGE = 1e-6
"""Of the diagonal, for a solution where hats are one and the same."""
_CUBE_MM = 24.0
"""Edge of the cubes of the two halves: larger than nuclei and gyri, so that both hold all tissues."""

_COARSE_MM = 2.0
"""The curves are fitted on blocks of voxels of about this size: they have ten unknowns each."""

_SMOOTHING = 0.6
"""SD of the Gaussian that a rate is smoothed by, in voxels: its noise would flatten the curve."""

_MARGIN_MM = 20.0

_FLUID_PPM = 0.019
"""Susceptibility of cerebrospinal fluid against muscle (Marques et al., MRM 2021;86:526)."""

_FLUID_RATE = 0.45
"""Below this share of the brain's median R2* is fluid, at any field strength."""

_FLUID_SHARE = 1e-3
"""Of the brain, at the least, for fluid to be a reference: else the mean of the sources is 0."""


def sources_seen_in_rates(
    field_ppm: Tensor,
    mask: Tensor,
    trust: Tensor,
    rates_hz: Sequence[Tensor],
    spacing_kji: Triple,
    b0_kji: Triple,
    report: Report = silent,
) -> Tensor:
    """Return sources in ppm (0 outside the mask) that follow relaxation rates.

    Parameters
    ----------
    field_ppm : Tensor
        Total field, (k, j, i), without outliers.
    mask : Tensor
        Brain mask, bool.
    trust : Tensor
        Reliability of each voxel of the field, 0 to 1.
    rates_hz : sequence of Tensor
        R2* first, then others such as R2' and R2, in Hz; 0 where they are not known.
    spacing_kji, b0_kji : tuple of float
        Voxel size in mm, and the unit vector of B0 in array axes.
    report : Report
        Progress.
    """
    known = mask & (rates_hz[0] > 0)
    rates = _smoothed(rates_hz, known, spacing_kji) if known.any() else []
    hats = [hat for rate in rates for hat in _hats_over(rate)]
    if not hats:
        return torch.zeros_like(field_ppm)
    blocks = tuple(max(1, round(_COARSE_MM / step)) for step in spacing_kji)
    spacing = tuple(b * s for b, s in zip(blocks, spacing_kji, strict=True))
    share = mean_of_blocks(mask.float(), blocks)
    frame = Frame.around(share > 0, spacing, _MARGIN_MM)
    frame = replace(frame, mask=share[frame.box] > 0.999)
    shells, _ = fitting_shells(frame, spacing, shell_radii(spacing))
    weight = mean_of_blocks(trust * mask, blocks)[frame.box]

    def laid(values: Tensor) -> Tensor:
        return torch.zeros_like(field_ppm).masked_scatter_(known, values)

    def spectrum(volume: Tensor) -> Tensor:
        return frame.forward(mean_of_blocks(volume, blocks)[frame.box])

    def seen(field: Tensor) -> Tensor:
        rows = ((frame.backward(field * high_pass) * weight)[where] for where, high_pass in shells)
        return torch.cat(list(rows))

    # Periodic images of the sources lie outside the mask: mean values do not see their fields.
    dipole = kspace_kernel(frame.padded, spacing, b0_kji, mask.device)
    columns = []
    for number, hat in enumerate(hats):
        report(number, len(hats))
        columns.append(seen(spectrum(laid(hat)).mul_(dipole)))
    cubes = _chessboard(frame.mask, spacing)
    fit = _fitted(
        columns, seen(spectrum(field_ppm * mask)), torch.cat([cubes[w] for w, _ in shells])
    )
    parts = (h * hat for h, hat in zip(fit.heights, hats, strict=True))
    values = functools.reduce(torch.add, parts)
    fluid = values[rates[0] < _FLUID_RATE * rates[0].median()]
    sources = laid(values)
    if len(fluid) >= _FLUID_SHARE * len(values):
        sources.add_(mask * (_FLUID_PPM - fluid.median()))
    return sources.mul_(fit.holds)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Heights of the hats, and the share of them that holds where they were not fitted."""

    heights: Tensor
    holds: float


def _fitted(columns: list[Tensor], data: Tensor, half: Tensor) -> _Fit:
    """Fit columns to data, and see what a fit to each half (bool) tells of the other."""
    matrix = torch.stack(columns, dim=1)
    penalty = _ALIKE * float(data.square().mean()) / _HEIGHT_SD_PPM**2
    of_half = []
    for rows in (half, ~half):
        # In double precision: a product in single precision differs from run to run, and the
        # normal equations would make much of it.
        part, own = matrix[rows].double(), data[rows].double()
        of_half.append((part.T @ part, part.T @ own))
    (n1, b1), (n2, b2) = of_half
    w1, w2 = _solved(n1, b1, penalty), _solved(n2, b2, penalty)
    own = _explained(n1, b1, w1) + _explained(n2, b2, w2)
    other = _explained(n1, b1, w2) + _explained(n2, b2, w1)
    holds = min(1.0, max(0.0, other / own)) if own > 0 else 0.0
    return _Fit(_solved(n1 + n2, b1 + b2, penalty).float(), holds)


def _solved(normal: Tensor, right: Tensor, penalty: float) -> Tensor:
    """Solve normal equations with a penalty on the square of the solution."""
    ridged = normal + torch.diag(_RIDGE * normal.diagonal() + penalty)
    return torch.linalg.lstsq(ridged, right[:, None]).solution[:, 0]


def _explained(normal: Tensor, right: Tensor, heights: Tensor) -> float:
    """Return by how much |data|^2 exceeds |data - matrix heights|^2."""
    return float(2 * right @ heights - heights @ normal @ heights)


def _chessboard(mask: Tensor, spacing_kji: Triple) -> Tensor:
    """Return every other one of the cubes that fill an array."""
    total = torch.zeros(mask.shape, dtype=torch.long, device=mask.device)
    for axis, step in enumerate(spacing_kji):
        place = torch.arange(mask.shape[axis], device=mask.device) * step
        total += (place // _CUBE_MM).long().view([-1 if a == axis else 1 for a in range(3)])
    return total % 2 == 1


def _smoothed(rates_hz: Sequence[Tensor], known: Tensor, spacing_kji: Triple) -> list[Tensor]:
    """Return each rate in the known voxels, with less noise."""
    sd_mm = _SMOOTHING * min(spacing_kji)
    share = gaussian(known.float(), sd_mm, spacing_kji)[known].clamp_min(1e-3)
    return [gaussian(rate * known, sd_mm, spacing_kji)[known] / share for rate in rates_hz]


def _hats_over(values: Tensor) -> list[Tensor]:
    """Return the hat function of each knot over the values of a rate, mean 0.

    Their sum would be a uniform brain, of which only the harmonic part of the field is seen:
    hence the means.
    """
    picked = values[:: max(1, len(values) // 200_000)].double()
    quantiles = torch.tensor(_KNOTS, dtype=torch.float64, device=values.device)
    knots = torch.quantile(picked, quantiles).float().mul(10).round().div(10).unique()
    if len(knots) < 2:  # no contrast (to 0.1 Hz), no curve
        return []
    hats = []
    for n in range(len(knots)):
        hat = torch.ones_like(values)
        if n > 0:
            hat = hat.minimum((values - knots[n - 1]) / (knots[n] - knots[n - 1]))
        if n + 1 < len(knots):
            hat = hat.minimum((knots[n + 1] - values) / (knots[n + 1] - knots[n]))
        hat.clamp_(min=0)
        hats.append(hat - hat.mean())
    return hats
