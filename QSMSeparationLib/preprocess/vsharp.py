"""V-SHARP: mean values over the largest ball that fits, undone by one truncated division.

Wu et al., MRM 2012;67:137; Li et al., NeuroImage 2011;55:1645.
"""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.preprocess.smv import Frame, fitting_shells
from QSMSeparationLib.runtime.context import Context

_LARGEST_MM = 12.0
_STEP_MM = 1.5
_TRUNCATION = 0.05


def vsharp(maps: Maps, context: Context) -> tuple[Tensor, Tensor]:
    """Return the local field in ppm and the voxels in which a ball fits."""
    (field,) = maps.need("total_field")
    mask, spacing_kji = maps.mask, maps.spacing_kji
    frame = Frame.around(mask, spacing_kji, 2 * _LARGEST_MM)
    smallest = 1.2 * max(spacing_kji)
    radii = [_LARGEST_MM]
    while radii[-1] - _STEP_MM > smallest:
        radii.append(radii[-1] - _STEP_MM)
    radii.append(smallest)
    data = frame.forward(field[frame.box] * frame.mask)
    shells, left = fitting_shells(frame, spacing_kji, tuple(radii))
    filtered = torch.zeros(frame.mask.shape, device=mask.device)
    for done, (where, high_pass) in enumerate(shells):
        context.report(done, len(shells))
        filtered += frame.backward(data * high_pass).mul_(where)
    inverse = shells[0][1]
    inverse = torch.where(inverse.abs() > _TRUNCATION, 1.0 / inverse, 0.0)
    fits = frame.mask & ~left
    local = frame.backward(frame.forward(filtered).mul_(inverse)) * fits
    return frame.uncrop(local), frame.uncrop(fits)
