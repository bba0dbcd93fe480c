"""Closed form with R2' smoothed along the edges of net chi: what the networks start from.

Noise of R2' goes straight through the closed form (2 Hz are 9 ppb in each source). Net chi has
hardly any white noise and shares the edges of both sources, so a guided filter takes most of
the noise away and little of the anatomy. Net chi comes with mean 0 over the brain, but the two
equations need its true level: the mean of brains of the digital head is added.
"""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.maps import Maps
from QSMSeparationLib.progress import Report, silent
from QSMSeparationLib.smoothing import sum_of_27

BRAIN_MEAN_PPM = 0.009
"""Mean of chi+ + chi- over brains of the digital head (SD over people 0.003 ppm)."""

_GUIDE_PPM = 0.006
"""Edges of the guide below this are smoothed over."""


def closed_form_guided(maps: Maps, *, report: Report = silent) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm from net chi and R2'.

    Parameters
    ----------
    maps : Maps
        ``qsm_ppm`` and ``r2prime_hz``, with ``dr_para`` and ``dr_dia``.
    report : callable
        Progress.
    """
    report(0, 1)
    net, rate, mask = known_terms(maps)
    para, dia = starting_sources(net, rate, maps.dr_asymmetry, mask)[0]
    return para, -dia


def known_terms(maps: Maps) -> tuple[Tensor, Tensor, Tensor]:
    """Return net chi at its true level, R2'/Dr and the mask, each (1, 1, k, j, i)."""
    qsm_ppm, r2prime_hz = maps.need("qsm_ppm", "r2prime_hz")
    mask = maps.mask[None, None].float()
    net = (qsm_ppm + BRAIN_MEAN_PPM)[None, None] * mask
    return net, (r2prime_hz / maps.mean_dr)[None, None] * mask, mask


def starting_sources(
    net_ppm: Tensor, rate_ppm: Tensor, asymmetry: Tensor | float, mask: Tensor
) -> Tensor:
    """Return chi+ and |chi-| in ppm, bounded at 0, (batch, 2, k, j, i).

    From Dr+ chi+ + Dr- |chi-| = R2' and chi+ - |chi-| = chi with Dr the mean of Dr+ and Dr-
    and a = (Dr+ - Dr-)/(Dr+ + Dr-): chi+ = (R2'/Dr + (1 - a) chi)/2.

    Parameters
    ----------
    net_ppm : Tensor
        Net chi at its true level, (batch, 1, k, j, i).
    rate_ppm : Tensor
        R2'/Dr.
    asymmetry : Tensor or float
        a; a tensor must broadcast.
    mask : Tensor
        1 in the mask, 0 outside.
    """
    smooth = guided(rate_ppm, net_ppm, mask)
    para = 0.5 * (smooth + (1 - asymmetry) * net_ppm)
    return torch.cat([para, para - net_ppm], dim=1).clamp_(min=0) * mask


def guided(volume: Tensor, guide: Tensor, mask: Tensor) -> Tensor:
    """Smooth a map while keeping the edges that it shares with a guide.

    In every block of 3^3 voxels the map is fitted as a line over the guide, and each voxel takes
    the mean of the lines of its blocks (He et al., IEEE Trans Pattern Anal Mach Intell
    2013;35:1397). Net chi has hardly any white noise and the edges of both sources.

    Parameters
    ----------
    volume, guide, mask : Tensor
        (batch, 1, k, j, i); the mask is 1 and 0.
    """
    share = sum_of_27(mask).clamp_(min=1.0)

    def mean(values: Tensor) -> Tensor:
        return sum_of_27(values * mask).div_(share)

    mean_guide, mean_volume = mean(guide), mean(volume)
    spread = (mean(guide * guide) - mean_guide**2).clamp_(min=0)
    slope = (mean(guide * volume) - mean_guide * mean_volume) / (spread + _GUIDE_PPM**2)
    offset = mean_volume - slope * mean_guide
    return (mean(slope) * guide + mean(offset)) * mask
