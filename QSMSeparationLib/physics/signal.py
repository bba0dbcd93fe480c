"""Signal equations of the gradient-echo and the spin-echo train."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from QSMSeparationLib.physics.constants import hz_per_ppm


def gradient_echo(
    m0: Tensor, r2star_hz: Tensor, field_ppm: Tensor, echo_time_s: float, b0_tesla: float
) -> Tensor:
    """Return the complex signal M0 exp(-R2* TE) exp(+2 pi i gamma/2pi B0 TE field).

    Parameters
    ----------
    m0 : Tensor
        Signal at TE = 0; may be complex to carry the receive phase.
    r2star_hz, field_ppm : Tensor
        Relaxation rate in Hz and field in ppm.
    echo_time_s, b0_tesla : float
        Echo time in seconds, field strength in tesla.
    """
    angle = field_ppm * (2 * math.pi * hz_per_ppm(b0_tesla) * echo_time_s)
    return torch.polar(torch.exp(r2star_hz * -echo_time_s), angle).mul_(m0)


def spin_echo(m0: Tensor, r2_hz: Tensor, echo_time_s: float) -> Tensor:
    """Return the magnitude M0 exp(-R2 TE) of a spin echo with perfect refocusing."""
    return m0 * torch.exp(r2_hz * -echo_time_s)
