"""Sources of the brain as far as R2* shows them, for background removal.

The field of sources within the mask has a part that is harmonic there: no mean value tells it
from the background, and it is most of the error of a local field near the brain's edge. But
susceptibility goes with R2*: cerebrospinal fluid, white matter, cortex and deep grey each have
their own of both. So sources c(r) = g(R2*(r)) are laid through the brain, with g the piecewise
linear curve that fits best what the mean values do see of this scan,

    minimise  sum_r | M_r (1 - S_r) (f - D g(R2*)) |^2   over the values of g at its knots.

Their field is taken off before the background is removed, and added again afterwards. Only the
harmonic part of it stays in the result: elsewhere the data decide, whatever g is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.preprocess._smooth import gaussian
from QSMSeparationLib.preprocess.smv import Frame, Triple, fitting_shells, shell_radii
from QSMSeparationLib.progress import Report, silent

_KNOTS = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.995)
"""Quantiles of R2* within the mask at which the curve has its knots."""

_RIDGE = 1e-3
_COARSE_MM = 2.0
"""The curve is fitted on blocks of voxels of about this size: it has eight unknowns."""

_SMOOTHING = 0.6
"""SD of the Gaussian that R2* is smoothed by, in voxels: its noise would flatten the curve."""

_MARGIN_MM = 20.0


def sources_seen_in_r2star(
    field_ppm: Tensor,
    mask: Tensor,
    trust: Tensor,
    r2star_hz: Tensor,
    spacing_kji: Triple,
    b0_kji: Triple,
    report: Report = silent,
) -> Tensor:
    """Return sources in ppm (mean 0 over the mask, 0 outside) that follow R2*.

    Parameters
    ----------
    field_ppm : Tensor
        Total field, (k, j, i), without outliers.
    mask : Tensor
        Brain mask, bool.
    trust : Tensor
        Reliability of each voxel of the field, 0 to 1.
    r2star_hz : Tensor
        R2* in Hz; 0 where it is not known.
    spacing_kji, b0_kji : tuple of float
        Voxel size in mm, and the unit vector of B0 in array axes.
    report : Report
        Progress.
    """
    features = _features(r2star_hz, mask, spacing_kji)
    if len(features) < 2:
        return torch.zeros_like(field_ppm)
    blocks = tuple(max(1, int(_COARSE_MM / step + 0.01)) for step in spacing_kji)
    spacing = tuple(b * s for b, s in zip(blocks, spacing_kji, strict=True))
    inside = _pool(mask.float(), blocks) > 0.999
    frame = Frame.around(inside, spacing, _MARGIN_MM)
    shells, _ = fitting_shells(frame, spacing, shell_radii(spacing))
    weight = _pool(trust * mask, blocks)[frame.box]

    def seen(field: Tensor) -> Tensor:
        spectrum = frame.forward(field[frame.box] * frame.mask)
        rows = (
            (frame.backward(spectrum * high_pass) * weight)[where] for where, high_pass in shells
        )
        return torch.cat(list(rows))

    dipole = DipoleOperator(tuple(inside.shape), spacing, b0_kji, pad=0.5, device=mask.device)
    columns = []
    for number, feature in enumerate(features):
        report(number, len(features))
        columns.append(seen(dipole(_pool(feature, blocks))))
    matrix = torch.stack(columns, dim=1)
    normal = matrix.T @ matrix
    normal.diagonal().mul_(1 + _RIDGE)
    values = torch.linalg.lstsq(normal, (matrix.T @ seen(_pool(field_ppm, blocks)))[:, None])
    return sum(v * f for v, f in zip(values.solution[:, 0], features, strict=True))


def _features(r2star_hz: Tensor, mask: Tensor, spacing_kji: Triple) -> list[Tensor]:
    """Return the hat function of each knot over R2*, mean 0 over the mask.

    Their sum would be a uniform brain, of which only the harmonic part of the field is seen:
    hence the means.
    """
    known = mask & (r2star_hz > 0)
    share = gaussian(known.float(), _SMOOTHING * min(spacing_kji), spacing_kji)
    smooth = gaussian(r2star_hz * known, _SMOOTHING * min(spacing_kji), spacing_kji)
    values = (smooth / share.clamp_min(1e-3))[known]
    if len(values) < 2:
        return []
    picked = values[:: max(1, len(values) // 200_000)].double()
    quantiles = torch.tensor(_KNOTS, dtype=torch.float64, device=mask.device)
    # To 0.1 Hz: without contrast there is one knot, and no curve.
    knots = torch.quantile(picked, quantiles).float().mul(10).round().div(10).unique()
    features = []
    for n in range(len(knots)):
        hat = torch.ones_like(values)
        if n > 0:
            hat = hat.minimum((values - knots[n - 1]) / (knots[n] - knots[n - 1]))
        if n + 1 < len(knots):
            hat = hat.minimum((knots[n + 1] - values) / (knots[n + 1] - knots[n]))
        feature = torch.zeros_like(r2star_hz)
        feature[known] = hat.clamp_(min=0)
        features.append(torch.where(known, feature - feature[known].mean(), 0.0))
    return features


def _pool(volume: Tensor, blocks: tuple[int, int, int]) -> Tensor:
    """Return the means over blocks of voxels (0 beyond the border)."""
    if max(blocks) == 1:
        return volume
    short = [-n % b for n, b in zip(volume.shape, blocks, strict=True)]
    padded = functional.pad(volume, (0, short[2], 0, short[1], 0, short[0]))
    return functional.avg_pool3d(padded[None, None], blocks)[0, 0]
