"""Truncated k-space division (Shmueli et al., Magn Reson Med 2009;62:1510)."""

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
_THRESHOLDS = np.geomspace(0.06, 0.5, 7)
"""Among which that of least expected error is sought."""


def tkd(maps: Maps, context: Context, *, threshold: float) -> Tensor:
    """Divide by the dipole where it is large enough.

    chi(k) = f(k) T(k) / c with T = 1 / D where |D| > t and sign(D) / t elsewhere. Truncation
    loses amplitude: a point of susceptibility comes back as the point spread function whose
    peak is c = mean over k of D T, so it is divided by c (Schweser et al., Magn Reson Med
    2013;69:1581).

    Parameters
    ----------
    maps : Maps
        With ``local_field``.
    context : Context
        Progress.
    threshold : float
        t, the smallest |D(k)| that is divided by (D lies within -2/3 and 1/3). 0: the one with the
        least error for the powers of sources and misfit in this field.

    Returns
    -------
    Tensor
        Net susceptibility in ppm, mean 0 over the mask, 0 outside.
    """
    (local_field,) = maps.need("local_field")
    window = Window(maps, _PAD)
    if not threshold:
        power = field_power(maps, window)
        threshold = best_setting(power, partial(_scaled_inverse, window), _THRESHOLDS)
    inverse = _scaled_inverse(window, threshold)
    spectrum = scale_(torch.fft.rfftn(window.embed(local_field)), inverse)
    return window.extract(inverse_rfftn(spectrum, window.padded))


def _scaled_inverse(window: Window, threshold: float) -> Tensor:
    """Return T / c."""
    inverse = truncated_inverse(window.dipole, threshold)
    return inverse.div_(window.spectral_mean(window.dipole * inverse))


def truncated_inverse(dipole: Tensor, threshold: float) -> Tensor:
    """Return 1 / D where |D| > threshold, and sign(D) / threshold elsewhere (0 where D = 0)."""
    floor = dipole.sign() / threshold
    return torch.where(dipole.abs() > threshold, 1 / dipole, floor)
