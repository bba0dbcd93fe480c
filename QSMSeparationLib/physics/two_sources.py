"""Reversible relaxation of susceptibility sources: R2' = Dr+ |chi+| + Dr- |chi-|."""

from __future__ import annotations

from typing import Any, overload

import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics import tissue_prior
from QSMSeparationLib.physics.smoothing import sum_of_27


@overload
def r2prime_hz(
    chi_para_ppm: Tensor, chi_dia_ppm: Tensor, dr_para: float, dr_dia: float
) -> Tensor: ...


@overload
def r2prime_hz(
    chi_para_ppm: NDArray[Any], chi_dia_ppm: NDArray[Any], dr_para: float, dr_dia: float
) -> NDArray[Any]: ...


def r2prime_hz(chi_para_ppm: Any, chi_dia_ppm: Any, dr_para: float, dr_dia: float) -> Any:
    """Return R2' in Hz of signed sources in ppm.

    Parameters
    ----------
    chi_para_ppm, chi_dia_ppm : ndarray or Tensor
        chi+ >= 0 and chi- <= 0 in ppm.
    dr_para, dr_dia : float
        Relaxivities in Hz/ppm *at the field strength of the scan*
        (:func:`QSMSeparationLib.physics.constants.relaxivity`).
    """
    return dr_para * abs(chi_para_ppm) + dr_dia * abs(chi_dia_ppm)


BRAIN_MEAN_PPM = 0.009
"""Mean of chi+ + chi- over brains of the digital head (SD over people 0.003 ppm)."""


_GUIDE_PPM = 0.006
"""Edges of the guide below this are smoothed over."""


def prepare_net(maps: Maps) -> tuple[Tensor, Tensor]:
    """Return net chi at its true level and the mask, each (1, 1, k, j, i)."""
    (net,) = maps.need("net")
    mask = maps.mask[None, None].float()
    return (net + BRAIN_MEAN_PPM)[None, None] * mask, mask


def prepare_inputs(maps: Maps) -> tuple[Tensor, Tensor, Tensor]:
    """Return net chi at its true level, R2'/Dr and the mask, each (1, 1, k, j, i)."""
    (r2prime,) = maps.need("r2prime")
    net, mask = prepare_net(maps)
    return net, (r2prime / maps.mean_dr)[None, None] * mask, mask


def guided_closed_form(
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


def r2star_closed_form(
    net_ppm: Tensor,
    r2star_hz: Tensor,
    dr_para: Tensor | float,
    dr_dia: Tensor | float,
    mask: Tensor,
) -> Tensor:
    """Return chi+ and |chi-| in ppm of net chi and R2* at 3 T, where R2 follows the sources.

    R2* = R2 + R2' = free + (Dr+ + p) chi+ + (Dr- + d) |chi-| with the usual R2 of tissue
    (:mod:`QSMSeparationLib.physics.tissue_prior`), and chi+ - |chi-| = chi. Linear but for its bound
    at 0, and wrong by what R2 departs from usual tissue: a start for a network.

    Parameters
    ----------
    net_ppm : Tensor
        Net chi at its true level, (batch, 1, k, j, i).
    r2star_hz : Tensor
        R2*, alike.
    dr_para, dr_dia : Tensor or float
        Relaxivities in Hz/ppm; tensors must broadcast.
    mask : Tensor
        1 in the mask, 0 outside.
    """
    free = tissue_prior.R2_FREE_HZ + 3.0 * tissue_prior.R2_FREE_HZ_PER_T
    by_para = dr_para + 3.0 * tissue_prior.R2_PER_PARA_HZ_PER_PPM_T
    by_dia = dr_dia + 3.0 * tissue_prior.R2_PER_DIA_HZ_PER_PPM_T
    para = (r2star_hz - free + by_dia * net_ppm) / (by_para + by_dia)
    para = torch.maximum(para, net_ppm.clamp(min=0))
    return torch.cat([para, para - net_ppm], dim=1) * mask


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


def solve_two_sources(
    qsm_ppm: Tensor, rate_hz: Tensor, dr_para: float, dr_dia: float, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Solve the two equations for any rate that is linear in both sources.

    Returns
    -------
    chi_para_ppm, chi_dia_ppm : Tensor
        chi+ >= 0 and chi- <= 0, 0 outside the mask.
    """
    chi_para = (rate_hz + dr_dia * qsm_ppm) / (dr_para + dr_dia)
    chi_para = torch.maximum(chi_para, qsm_ppm.clamp(min=0)) * mask
    return chi_para, (qsm_ppm * mask - chi_para).clamp_(max=0)


def referenced(qsm_ppm: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Subtract the mean over the mask, the reference of net chi."""
    return (qsm_ppm - qsm_ppm[mask].mean()) * mask
