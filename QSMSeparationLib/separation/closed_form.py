"""Closed-form separation: two linear equations in two unknowns, voxel by voxel.

    chi+ + chi-           = chi          (net susceptibility)
    Dr+ chi+ - Dr- chi-   = R2'          (relaxivity model; chi- is negative)

solved by chi+ = (R2' + Dr- chi) / (Dr+ + Dr-) and chi- = chi - chi+. Where R2' is smaller
than the net susceptibility alone would cause (R2' < Dr |chi|, noise or model error), no
pair of signed sources fits both; there the net susceptibility is kept and the other source
is 0, so that chi+ + chi- = chi in every voxel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.maps import Maps
from QSMSeparationLib.progress import Report, silent


def closed_form(maps: Maps, *, report: Report = silent) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm from net chi and R2'.

    Parameters
    ----------
    maps : Maps
        ``qsm_ppm`` and ``r2prime_hz``, with ``dr_para`` and ``dr_dia``.
    report : callable
        Progress.
    """
    qsm_ppm, r2prime_hz = maps.need("qsm_ppm", "r2prime_hz")
    report(0, 1)
    return solve(qsm_ppm, r2prime_hz, maps.dr_para, maps.dr_dia, maps.mask)


def solve(
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


def infeasible(maps: Maps) -> Tensor:
    """Return where no pair of signed sources explains both net chi and R2' (bool)."""
    qsm_ppm, r2prime_hz = maps.need("qsm_ppm", "r2prime_hz")
    caused = torch.where(qsm_ppm > 0, maps.dr_para * qsm_ppm, -maps.dr_dia * qsm_ppm)
    return maps.mask & (r2prime_hz < caused)
