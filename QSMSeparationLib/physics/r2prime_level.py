"""The level of R2' of a scan over what usual tissue has: how far the usual relaxivity fits it.

R2' of white matter is given 3.9 to 10 Hz by different protocols where its sources, with 114 Hz/ppm at
3 T, say 5.4: echo times, macroscopic gradients and the fit of R2 all scale it. Two things of a scan
tell its scale. Usual brains have a median of 42 ppb of chi+ + |chi-| (SD 14 % over people), and in
voxels of much iron R2' grows with net chi by the relaxivity itself.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM, REFERENCE_B0_T

USUAL_SUM_PPM = 0.0443
"""Median of R2' over the relaxivity in brains of the digital head, as scans measure it: the median of
the sources, 0.042, and what noise and clipping at 0 add to it."""

_SHARES = (0.75, 0.25)
"""Weights of the level and of the slope, whose errors are 12 and 20 % on heads for settings."""
_SHRINKAGE = 0.9
"""Towards a scale of 1: of both together 7 % is left, where protocols differ by 23 %."""
_NET_PPM = (0.02, 0.10)
"""Net chi over its mean in which the slope is taken: iron, but neither veins nor hemorrhage."""
_BINS, _LEAST_VOXELS = 8, 30
_EDGE = 6
"""Voxels at the border of the mask that count for no slope: dephasing near air."""
_RANGE = (0.4, 2.5)


def r2prime_scale(r2prime_hz: Tensor, net_ppm: Tensor, mask: Tensor, b0_tesla: float) -> float:
    """Return R2' of a scan over what usual tissue has with a relaxivity of 114 Hz/ppm at 3 T.

    Parameters
    ----------
    r2prime_hz, net_ppm : Tensor
        Measured R2' and net chi, (k, j, i).
    mask : Tensor
        Brain mask, bool.
    b0_tesla : float
        Field strength; R2' of the same tissue grows with it.
    """
    usual_hz = DR_HZ_PER_PPM * b0_tesla / REFERENCE_B0_T
    inside = r2prime_hz[mask]
    if not inside.numel() or float(inside.median()) <= 0:
        return 1.0
    level = float(inside.median()) / (usual_hz * USUAL_SUM_PPM)
    slope = _slope(r2prime_hz, net_ppm, mask) / usual_hz
    parts, shares = [level], [1.0]
    if slope > 0:
        parts, shares = [level, slope], list(_SHARES)
    logs = (
        s * math.log(min(max(p, _RANGE[0]), _RANGE[1])) for p, s in zip(parts, shares, strict=True)
    )
    return math.exp(_SHRINKAGE * sum(logs))


def _slope(r2prime_hz: Tensor, net_ppm: Tensor, mask: Tensor) -> float:
    """Return dR2'/dchi in Hz/ppm where there is iron; 0 where there is too little of it."""
    share = _mean_of_27(mask.float()).clamp(min=1e-3)
    net, rate = (_mean_of_27(m * mask) / share for m in (net_ppm, r2prime_hz))
    inner = -functional.max_pool3d(-mask[None, None].float(), 2 * _EDGE + 1, 1, _EDGE)[0, 0] > 0.5
    edges = torch.linspace(*_NET_PPM, _BINS + 1).tolist()
    points = []
    for low, high in pairwise(edges):
        here = inner & (net >= low) & (net < high)
        count = int(here.sum())
        if count > _LEAST_VOXELS:
            points.append((float(net[here].mean()), float(rate[here].median()), count))
    if len(points) < 3:
        return 0.0
    x, y, weight = torch.tensor(points, dtype=torch.float64).T
    x, y = (v - (v * weight).sum() / weight.sum() for v in (x, y))
    return float((weight * x * y).sum() / (weight * x * x).sum())


def _mean_of_27(volume: Tensor) -> Tensor:
    return functional.avg_pool3d(volume[None, None].float(), 3, 1, 1)[0, 0]
