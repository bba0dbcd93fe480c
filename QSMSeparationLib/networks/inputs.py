"""What the networks see: maps in units near 1, and the closed form that they correct.

Separation networks take [net chi, local field, R2'/Dr, asymmetry, closed-form net chi, misfit]
with Dr the mean of Dr+ and Dr-, and asymmetry = (Dr+ - Dr-)/(Dr+ + Dr-) in the mask, so one network
serves any pair of relaxivities; misfit is how much of the field no source explains. They correct
:func:`QSMSeparationLib.physics.two_sources.guided_closed_form`. Without a spin echo
:func:`joint_inputs` has R2* in place of R2', and what the magnitude at TE 0 tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from QSMSeparationLib.data.axes import Triple
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.physics.spoiled import t1_weighting

NET_PPM = 0.03
FIELD_PPM = 0.012
RATE_PPM = 0.06
R2_HZ = 20.0
"""Typical sizes: the SD of net chi and field in a brain, mean R2'/Dr, and R2*."""

R2PRIME_OVER_R2STAR = 0.32
"""Mean R2' over mean R2* of brains at 3 T, what ``r2primenet`` corrects."""

MISFIT_PPM = 0.004
"""Usual SD of the misfit of a local field (2 to 8 ppb are measured)."""

SD_PPM = 0.01
"""Usual SD of a source; networks give logarithms of SDs over it."""

LOG_SD_RANGE = (-4.0, 3.0)
"""What networks may say: 0.2 to 200 ppb."""

R2STAR_LIMIT_HZ = 120.0
"""R2* above this is bone, air or a fit that failed; within convolutions it would spread."""


def separation_inputs(
    net_ppm: Tensor,
    field_ppm: Tensor,
    rate_ppm: Tensor,
    asymmetry: Tensor | float,
    net_l2_ppm: Tensor,
    mask: Tensor,
    misfit_ppm: Tensor | float,
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
    misfit_ppm : Tensor or float
        SD of what no source explains of the field; a tensor must broadcast.

    Returns
    -------
    Tensor
        (batch, 6, k, j, i).
    """
    parts = [
        net_ppm / NET_PPM,
        field_ppm / FIELD_PPM,
        rate_ppm / RATE_PPM,
        asymmetry + 0 * mask,
        net_l2_ppm / NET_PPM,
        _misfit(misfit_ppm, mask),
    ]
    return torch.cat(parts, dim=1) * mask


@dataclass(frozen=True, eq=False)
class MagnitudeAtTE0:
    """What the magnitude at TE 0 tells of water and T1, (batch, 1, k, j, i).

    Parameters
    ----------
    log_ratio : Tensor
        Logarithm of it over what it is around; 0 where it is not known.
    weighting : Tensor
        How much of it is T1's (:func:`QSMSeparationLib.physics.spoiled.t1_weighting`).
    known : Tensor
        1 where there is one, 0 else; broadcasts like the weighting.
    """

    log_ratio: Tensor
    weighting: Tensor
    known: Tensor

    @classmethod
    def none(cls, like: Tensor) -> MagnitudeAtTE0:
        """Return that of a scan without one."""
        nothing = torch.zeros_like(like)
        return cls(nothing, nothing, nothing)

    @classmethod
    def of(
        cls, s0: Tensor, mask: Tensor, spacing_kji: Triple, tr_s: float, flip_deg: float
    ) -> MagnitudeAtTE0:
        """Return that of a map of any scale; ``s0`` and ``mask`` are (k, j, i).

        It is told over what lies around: a receive coil is brighter on one side, and a network sees
        a few centimeters.
        """
        inside = mask.bool() & (s0 > 0)
        if not inside.any():
            return cls.none(mask[None, None].float())
        weight = inside.float()
        typical = s0[inside].median()
        ratio = (s0 / typical).clamp(*S0_RATIO_RANGE).log() * weight
        around = gaussian(ratio, _AROUND_MM, spacing_kji)
        around /= gaussian(weight, _AROUND_MM, spacing_kji).clamp(min=1e-3)
        ratio = (ratio - around) * weight
        return cls(
            ratio[None, None],
            (t1_weighting(tr_s, flip_deg) * weight)[None, None],
            weight[None, None],
        )


_AROUND_MM = 15.0
"""SD of what counts as around; training patches are 36 to 72 mm wide and lose their median."""

S0_RATIO_RANGE = (0.1, 5.0)
"""Magnitude at TE 0 over its median: fits beyond these are no tissue."""


def joint_inputs(
    net_ppm: Tensor,
    field_ppm: Tensor,
    r2star_hz: Tensor,
    net_l2_ppm: Tensor,
    start_ppm: Tensor,
    relaxivities: tuple[Tensor | float, Tensor | float],
    misfit_ppm: Tensor | float,
    te0: MagnitudeAtTE0,
    mask: Tensor,
) -> Tensor:
    """Stack the inputs of ``joint-net``.

    Parameters
    ----------
    net_ppm, field_ppm, net_l2_ppm, misfit_ppm, mask
        As for :func:`separation_inputs`.
    r2star_hz : Tensor
        R2* at 3 T.
    start_ppm : Tensor
        chi+ and |chi-| that are corrected
        (:func:`QSMSeparationLib.physics.two_sources.r2star_closed_form`), (batch, 2, k, j, i).
    relaxivities : pair of Tensor or float
        Dr+ and Dr- in Hz/ppm.
    te0 : MagnitudeAtTE0
        What is known of the magnitude at TE 0.

    Returns
    -------
    Tensor
        (batch, 12, k, j, i).
    """
    dr_para, dr_dia = relaxivities
    parts = [
        net_ppm / NET_PPM,
        field_ppm / FIELD_PPM,
        rate_inputs(r2star_hz),
        net_l2_ppm / NET_PPM,
        start_ppm / NET_PPM,
        (dr_para + dr_dia) / (2 * DR_HZ_PER_PPM) - 1 + 0 * mask,
        (dr_para - dr_dia) / (dr_para + dr_dia) + 0 * mask,
        _misfit(misfit_ppm, mask),
        2 * te0.log_ratio,
        te0.weighting + 0 * mask,
        te0.known + 0 * mask,
    ]
    return torch.cat(parts, dim=1) * mask


def fitted(inputs: Tensor, network: nn.Module) -> Tensor:
    """Return as many of the inputs as a network takes: some know of no misfit."""
    return inputs[:, : input_channels(network)]


def input_channels(network: nn.Module) -> int:
    """Return how many maps a network takes."""
    first = next(p for p in network.parameters() if p.dim() == 5)
    return first.shape[1] // getattr(network, "fold", 1) ** 3


def _misfit(misfit_ppm: Tensor | float, mask: Tensor) -> Tensor:
    """Return the logarithm of a misfit over the usual one, as a map."""
    return torch.log2((misfit_ppm + 0 * mask).clamp(min=MISFIT_PPM / 8) / MISFIT_PPM)


def sd_of(output: Tensor) -> Tensor:
    """Return SDs in ppm from what a network gives for them."""
    return SD_PPM * output.float().clamp(*LOG_SD_RANGE).exp()


QSM_INPUTS = 4
"""Of ``qsmnet`` as it is trained now; before, it corrected the closed-form inversion and saw two."""


def linear_inputs(field_ppm: Tensor, net_l2_ppm: Tensor) -> Tensor:
    """Stack the inputs of ``cycle-qsm``: the field and its closed-form (L2) inversion."""
    return torch.cat([field_ppm / FIELD_PPM, net_l2_ppm / NET_PPM], dim=1)


def qsm_inputs(
    field_ppm: Tensor,
    net_l2_ppm: Tensor,
    net_tv_ppm: Tensor,
    misfit_ppm: Tensor | float,
    mask: Tensor,
) -> Tensor:
    """Stack the inputs of ``qsmnet``: the field, both its inversions, and its misfit."""
    linear = linear_inputs(field_ppm, net_l2_ppm)
    return torch.cat([linear, net_tv_ppm / NET_PPM, _misfit(misfit_ppm, mask) * mask], dim=1)


def rate_inputs(r2star_hz: Tensor) -> Tensor:
    """Scale R2* for ``r2primenet``."""
    return r2star_hz.clamp(max=R2STAR_LIMIT_HZ) / R2_HZ


def starting_rate(r2star_hz: Tensor) -> Tensor:
    """Return the R2' that ``r2primenet`` corrects, in Hz."""
    return R2PRIME_OVER_R2STAR * r2star_hz.clamp(max=R2STAR_LIMIT_HZ)
