"""Where tissue borders are seen in R2* (or the magnitude), total variation should not smooth them.

As in MEDI (Liu et al., NeuroImage 2012;59:2560), but with the border taken from R2* where it is
known, since the sensitivity and T1 weighting of the magnitude have borders of their own, and with
a weight that falls smoothly instead of a mask.
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
_TYPICAL_R2STAR_HZ = 20.0
"""Of a brain at 3 T; a magnitude is scaled to this median, so that one smallest step holds."""
_MAD_TO_SD = 1.4826


def edge_weights(maps: Maps, window: Window) -> list[Tensor]:
    """Return the weight of the gradient of chi along each axis, on the window's grid.

    exp(-(step / s)^2) of the step of R2* (else of the magnitude) to the next voxel, with s the
    spread (median absolute step) in the brain: noise and slow variation keep their weight,
    borders lose it.

    Parameters
    ----------
    maps : Maps
        With ``r2star`` or ``magnitude``.
    window : Window
        Where the inversion computes.
    """
    smooth = smoothed_borders(maps, window)
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


def shows_borders(maps: Maps) -> bool:
    """Return True if there is a map that shows where tissues meet."""
    return maps.r2star is not None or maps.magnitude is not None


def smoothed_borders(maps: Maps, window: Window) -> Tensor:
    """Return R2*, else the magnitude, without its finest noise, on the window's grid.

    It is 0 outside the mask.
    """
    if maps.r2star is not None:
        values = maps.r2star.nan_to_num()
    else:
        (magnitude,) = maps.need("magnitude")
        values = magnitude.nan_to_num()
        values = values * (_TYPICAL_R2STAR_HZ / values[maps.mask].median().clamp(min=1e-12))
    known = torch.where(maps.mask, values, 0.0)
    return window.embed(gaussian(known, _SMOOTHING * min(maps.spacing_kji), maps.spacing_kji))
