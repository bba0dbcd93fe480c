"""Truncated k-space division (Shmueli et al., Magn Reson Med 2009;62:1510)."""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.fourier import inverse_rfftn
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.window import Window, scale_

_PAD = 0.25


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
        t, the smallest |D(k)| that is divided by (D lies within -2/3 and 1/3).

    Returns
    -------
    Tensor
        Net susceptibility in ppm, mean 0 over the mask, 0 outside.
    """
    (local_field,) = maps.need("local_field")
    window = Window(maps, _PAD)
    inverse = truncated_inverse(window.dipole, threshold)
    inverse /= _spectral_mean(window.dipole * inverse, window.padded[2])
    spectrum = scale_(torch.fft.rfftn(window.embed(local_field)), inverse)
    return window.extract(inverse_rfftn(spectrum, window.padded))


def truncated_inverse(dipole: Tensor, threshold: float) -> Tensor:
    """Return 1 / D where |D| > threshold, and sign(D) / threshold elsewhere (0 where D = 0)."""
    floor = dipole.sign() / threshold
    return torch.where(dipole.abs() > threshold, 1 / dipole, floor)


def _spectral_mean(half: Tensor, n: int) -> Tensor:
    """Return the mean over the whole spectrum of a quantity known on the half spectrum."""
    columns = half.mean(dim=(0, 1))
    twice = columns[1 : (n + 1) // 2].sum()
    once = columns[0] + (columns[n // 2] if n % 2 == 0 else 0.0)
    return (once + 2 * twice) / n
