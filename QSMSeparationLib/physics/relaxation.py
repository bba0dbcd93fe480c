"""Reversible relaxation of susceptibility sources: R2' = Dr+ |chi+| + Dr- |chi-|."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

ArrayT = TypeVar("ArrayT", np.ndarray, torch.Tensor)


def r2prime_hz(chi_para_ppm: ArrayT, chi_dia_ppm: ArrayT, dr_para: float, dr_dia: float) -> ArrayT:
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
