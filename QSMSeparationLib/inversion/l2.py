"""Closed-form inversion with a quadratic penalty on the gradient.

Bilgic et al., J Magn Reson Imaging 2014;40:181.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.fourier import inverse_rfftn
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.misfit import best_setting, field_power
from QSMSeparationLib.solvers.window import Window, scale_

_PAD = 0.25
_WEIGHTS = np.geomspace(0.02, 0.7, 7)
"""Among which that of least expected error is sought."""


def l2(maps: Maps, context: Context, *, regularisation: float) -> Tensor:
    """Minimize ||D chi - f||^2 + beta^2 ||grad chi||^2 over the periodic grid.

    The solution is chi(k) = D f / (D^2 + beta^2 L) with L the symbol of the Laplacian: one
    pair of transforms. Gradients are differences between voxels over their distance in mean
    voxel sizes, so beta has no unit and does not depend on the voxel size.

    Parameters
    ----------
    maps : Maps
        With ``local_field``.
    context : Context
        Progress.
    regularisation : float
        beta. 0: the one with the least error for the powers of sources and misfit in this field.

    Returns
    -------
    Tensor
        Net susceptibility in ppm, mean 0 over the mask, 0 outside.
    """
    (local_field,) = maps.need("local_field")
    window = Window(maps, _PAD)
    if not regularisation:
        power = field_power(maps, window)
        regularisation = best_setting(power, partial(_gain, window), _WEIGHTS)
    gain = _gain(window, regularisation)
    spectrum = scale_(torch.fft.rfftn(window.embed(local_field)), gain)
    return window.extract(inverse_rfftn(spectrum, window.padded))


def _gain(window: Window, beta: float) -> Tensor:
    """Return D / (D^2 + beta^2 L)."""
    gain = window.laplacian().mul_(beta**2).add_(window.dipole**2)
    gain[0, 0, 0] = 1.0  # D is 0 there as well
    return torch.div(window.dipole, gain, out=gain)
