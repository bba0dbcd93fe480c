"""What the networks see: maps in units near 1, and the closed form that they correct.

Separation networks take [net chi, local field, R2'/Dr, asymmetry, closed-form net chi] with Dr
the mean of Dr+ and Dr-, and asymmetry = (Dr+ - Dr-)/(Dr+ + Dr-) in the mask, so one network
serves any pair of relaxivities. They correct
:func:`QSMSeparationLib.physics.two_sources.guided_closed_form`.
"""

from __future__ import annotations

import torch
from torch import Tensor

NET_PPM = 0.03
FIELD_PPM = 0.012
RATE_PPM = 0.06
R2_HZ = 20.0
"""Typical sizes: the SD of net chi and field in a brain, mean R2'/Dr, and R2*."""

R2PRIME_OVER_R2STAR = 0.32
"""Mean R2' over mean R2* of brains at 3 T, what ``r2primenet`` corrects."""

R2STAR_LIMIT_HZ = 120.0
"""R2* above this is bone, air or a fit that failed; within convolutions it would spread."""


def separation_inputs(
    net_ppm: Tensor,
    field_ppm: Tensor,
    rate_ppm: Tensor,
    asymmetry: Tensor | float,
    net_l2_ppm: Tensor,
    mask: Tensor,
) -> Tensor:
    """Stack the inputs of a separation network.

    Parameters
    ----------
    net_ppm, field_ppm : Tensor
        Net chi and local field, (batch, 1, k, j, i).
    rate_ppm : Tensor
        R2' over the mean of Dr+ and Dr-.
    asymmetry : Tensor or float
        (Dr+ - Dr-)/(Dr+ + Dr-); a tensor must broadcast.
    net_l2_ppm : Tensor
        Closed-form (L2) inversion of the field: what the field says from far away, which no
        convolution of a few voxels can find, and without the prior of the other inversion.
    mask : Tensor
        1 in the mask, 0 outside.

    Returns
    -------
    Tensor
        (batch, 5, k, j, i).
    """
    parts = [
        net_ppm / NET_PPM,
        field_ppm / FIELD_PPM,
        rate_ppm / RATE_PPM,
        asymmetry + 0 * mask,
        net_l2_ppm / NET_PPM,
    ]
    return torch.cat(parts, dim=1) * mask


def qsm_inputs(field_ppm: Tensor, net_l2_ppm: Tensor) -> Tensor:
    """Stack the inputs of ``qsmnet``: the field and its closed-form (L2) inversion."""
    return torch.cat([field_ppm / FIELD_PPM, net_l2_ppm / NET_PPM], dim=1)


def rate_inputs(r2star_hz: Tensor) -> Tensor:
    """Scale R2* for ``r2primenet``."""
    return r2star_hz.clamp(max=R2STAR_LIMIT_HZ) / R2_HZ


def starting_rate(r2star_hz: Tensor) -> Tensor:
    """Return the R2' that ``r2primenet`` corrects, in Hz."""
    return R2PRIME_OVER_R2STAR * r2star_hz.clamp(max=R2STAR_LIMIT_HZ)
