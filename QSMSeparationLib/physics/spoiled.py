"""Steady state of a spoiled gradient echo, and how far its magnitude is T1's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_TISSUE_T1_S = 1.1
"""Between white matter (0.85 s) and cortex (1.4 s) at 3 T."""


def signal_at_te0(water: Tensor, t1_s: Tensor, tr_s: float, flip_deg: float | Tensor) -> Tensor:
    """Steady-state signal of a spoiled gradient echo at TE = 0 (Ernst)."""
    e1 = torch.exp(-tr_s / t1_s.clamp(min=1e-3))
    flip = torch.deg2rad(torch.as_tensor(flip_deg, dtype=water.dtype))
    return water * torch.sin(flip) * (1 - e1) / (1 - torch.cos(flip) * e1)


def t1_weighting(tr_s: float, flip_deg: float) -> float:
    """Return -d log signal / d log T1 at a usual T1: 0 is proton density, 1 is T1 alone."""
    e1 = math.exp(-tr_s / _TISSUE_T1_S)
    cosine = math.cos(math.radians(flip_deg))
    # d log((1 - e1) / (1 - c e1)) / d log T1, with d e1 / d log T1 = e1 TR / T1.
    slope = -1 / (1 - e1) + cosine / (1 - cosine * e1)
    return -slope * e1 * tr_s / _TISSUE_T1_S
