"""Closed-form inversion with a quadratic penalty on the gradient.

Bilgic et al., J Magn Reson Imaging 2014;40:181.
"""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.fourier import inverse_rfftn
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.window import Window, scale_

_PAD = 0.25


def l2(maps: Maps, context: Context, *, regularisation: float) -> Tensor:
    """Minimise ||D chi - f||^2 + beta^2 ||grad chi||^2 over the periodic grid.

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
        beta.

    Returns
    -------
    Tensor
        Net susceptibility in ppm, mean 0 over the mask, 0 outside.
    """
    (local_field,) = maps.need("local_field")
    window = Window(maps, _PAD)
    gain = window.laplacian().mul_(regularisation**2).add_(window.dipole**2)
    gain[0, 0, 0] = 1.0  # D is 0 there as well
    gain = torch.div(window.dipole, gain, out=gain)
    spectrum = scale_(torch.fft.rfftn(window.embed(local_field)), gain)
    return window.extract(inverse_rfftn(spectrum, window.padded))
