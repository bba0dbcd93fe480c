"""Voxels that no two sources explain: R2' is smaller than net chi alone would cause.

Imports no torch, so that lesions can be measured without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

ArrayT = TypeVar("ArrayT", "np.ndarray", "Tensor")

ROUNDING_HZ = 1e-4
"""A shortage of R2' below this is rounding: float32 holds 1000 Hz to 6e-5 Hz."""


def infeasible(net_ppm: ArrayT, r2prime_hz: ArrayT, dr_para: float, dr_dia: float) -> ArrayT:
    """Return where no pair of signed sources explains both net chi and R2'.

    chi+ = chi + |chi-| >= 0 makes R2' = Dr+ chi+ + Dr- |chi-| at least Dr+ chi where chi > 0,
    and Dr- |chi| where it is negative.

    Parameters
    ----------
    net_ppm, r2prime_hz : ndarray or Tensor
        Net chi and R2'.
    dr_para, dr_dia : float
        Relaxivities in Hz/ppm at the field strength of the scan.
    """
    least = net_ppm * (dr_para * (net_ppm > 0) - dr_dia * (net_ppm <= 0))
    return r2prime_hz < least - ROUNDING_HZ
