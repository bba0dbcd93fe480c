"""Where tissue borders are seen in R2*, total variation should not smooth them.

As in MEDI (Liu et al., NeuroImage 2012;59:2560), but with the border taken from R2* and not from
the magnitude, whose sensitivity and T1 weighting have borders of their own, and with a weight
that falls smoothly instead of a mask.
"""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.solvers.window import Window, difference

_SMOOTHING = 0.7
"""SD of the Gaussian that R2* is smoothed by first, in voxels."""

_SMALLEST_WEIGHT = 0.1
_SMALLEST_STEP_HZ = 0.1
_MAD_TO_SD = 1.4826


def edge_weights(maps: Maps, window: Window) -> list[Tensor]:
    """Return the weight of the gradient of chi along each axis, on the window's grid.

    exp(-(step / s)^2) of the step of R2* to the next voxel, with s the spread (median absolute
    step) in the brain: noise and slow variation keep their weight, borders lose it.

    Parameters
    ----------
    maps : Maps
        With ``r2star``.
    window : Window
        Where the inversion computes.
    """
    smooth = smoothed_r2star(maps, window)
    inside = window.embed(maps.mask.float()) > 0
    weights = []
    everything = slice(0, smooth.shape[0])
    for axis in range(3):
        step = torch.empty_like(smooth)
        difference(smooth, everything, axis, out=step)
        step.abs_()
        scale = max(_MAD_TO_SD * float(step[inside].median()), _SMALLEST_STEP_HZ)
        step.div_(scale).square_().neg_().exp_()
        weights.append(step.mul_(1 - _SMALLEST_WEIGHT).add_(_SMALLEST_WEIGHT))
    return weights


def smoothed_r2star(maps: Maps, window: Window) -> Tensor:
    """Return R2* (0 outside the mask) without its finest noise, on the window's grid."""
    (r2star_hz,) = maps.need("r2star")
    known = torch.where(maps.mask, r2star_hz.nan_to_num(), 0.0)
    return window.embed(gaussian(known, _SMOOTHING * min(maps.spacing_kji), maps.spacing_kji))
