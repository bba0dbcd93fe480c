"""Steps towards the data after a network: local means are restored from R2' and the field.

A network may pull a lesion towards the tissue it expects there. Averaged over a few millimetres
R2' has hardly any noise: the part of its misfit that survives a Gaussian of 1.5 mm (some 150
voxels of 1 mm) is given back to both sources, and likewise the misfit of the field, as far as
the dipole can be inverted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.inversion.window import Window
from QSMSeparationLib.maps import Maps

_SMOOTHING_MM = 1.5
_DIPOLE_FLOOR = 0.15


def refine(sources_ppm: Tensor, maps: Maps, steps: int) -> Tensor:
    """Return chi+ and |chi-| whose local means agree better with R2' and the field.

    Parameters
    ----------
    sources_ppm : Tensor
        chi+ and |chi-|, (2, k, j, i).
    maps : Maps
        ``r2prime_hz`` and ``field_ppm`` on the same grid.
    steps : int
        Number of steps.
    """
    window = Window(maps, 0.25)
    mean_dr = 0.5 * (maps.dr_para + maps.dr_dia)
    asymmetry = (maps.dr_para - maps.dr_dia) / (maps.dr_para + maps.dr_dia)
    rate, field = window.embed(maps.r2prime_hz / mean_dr), window.embed(maps.field_ppm)
    mask = window.embed(maps.mask.float())
    low_pass = _gaussian(window, maps)
    share = _filtered(mask, low_pass).clamp(min=0.2)
    inverse = window.dipole / (window.dipole**2 + _DIPOLE_FLOOR**2) * low_pass
    para, dia = (window.embed(source) for source in sources_ppm)
    for _ in range(steps):
        net = para - dia
        misfit = (field - _filtered(net, window.dipole)) * mask
        misfit -= misfit.sum() / mask.sum() * mask
        net_step = _filtered(misfit, inverse)
        rate_misfit = (rate - (1 + asymmetry) * para - (1 - asymmetry) * dia) * mask
        rate_step = _filtered(rate_misfit, low_pass) / share
        # The pair of steps that solves both equations (see ``starting_sources``).
        para_step = 0.5 * (rate_step + (1 - asymmetry) * net_step)
        para = (para + para_step).clamp_(min=0) * mask
        dia = (dia + para_step - net_step).clamp_(min=0) * mask
    return torch.stack([window.crop(source) for source in (para, dia)])


def _gaussian(window: Window, maps: Maps) -> Tensor:
    """Return the transfer function of the Gaussian on the half spectrum."""
    total = torch.zeros_like(window.dipole)
    for axis, (n, step) in enumerate(zip(window.padded, maps.spacing_kji, strict=True)):
        k = torch.fft.fftfreq(n, step, device=total.device)
        view = [1, 1, 1]
        view[axis] = -1
        total += (k[: total.shape[2]] if axis == 2 else k).view(view) ** 2
    return torch.exp(-2 * (torch.pi * _SMOOTHING_MM) ** 2 * total)


def _filtered(volume: Tensor, transfer: Tensor) -> Tensor:
    """Multiply by a real transfer function in k-space."""
    return torch.fft.irfftn(torch.fft.rfftn(volume) * transfer, s=volume.shape)
