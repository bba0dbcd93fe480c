"""Checks of the data that a reader of the maps would want to see, each with its number.

Every function takes arrays and returns a :class:`~QSMSeparationLib.data.check.Check`; nothing is
raised or printed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.check import Check, Status
from QSMSeparationLib.physics.constants import REFERENCE_B0_T
from QSMSeparationLib.physics.feasible import infeasible
from QSMSeparationLib.preprocess.phase_sign import DECIDED, PhaseSign

Array = Tensor | NDArray
_GOOD_SIGN = 0.6


def check_phase_sign(sign: PhaseSign) -> Check:
    """Say how surely the sign of the phase is known."""
    limits = f"pass from {_GOOD_SIGN:g}, fail below {DECIDED:g}"
    status = _above(sign.confidence, _GOOD_SIGN, DECIDED)
    advice = "" if status == "pass" else "see that veins and deep grey matter are bright in net chi"
    return Check("phase sign", status, sign.confidence, "confidence", limits, advice)


def check_r2star(r2star_hz: Array, mask: Array, b0_tesla: float) -> Check:
    """Compare the median R2* of the brain with what the field strength lets expect."""
    factor = b0_tesla / REFERENCE_B0_T
    low, high = 10.0 * factor, 40.0 * factor
    value = _median(_inside(r2star_hz, mask))
    limits = f"pass {low:.0f} to {high:.0f} Hz at {b0_tesla:g} T, fail outside half to twice that"
    status = _between(value, low, high, low / 2, high * 2)
    advice = "" if status == "pass" else "check echo times (seconds) and the unit of the map (1/s)"
    return Check("R2* of the brain", status, value, "Hz", limits, advice)


def check_feasible(
    r2prime_hz: Array, net_chi_ppm: Array, mask: Array, dr_para: float, dr_dia: float
) -> Check:
    """Say in how many voxels R2' is too small for the net susceptibility.

    There no pair of chi+ >= 0 and chi- <= 0 explains both maps.
    """
    net, r2prime = _inside(net_chi_ppm, mask), _inside(r2prime_hz, mask)
    short = infeasible(net, r2prime, dr_para, dr_dia).float()
    value = 100 * float(short.mean()) if len(short) else math.nan
    status = _below(value, 35.0, 60.0)
    advice = "" if status == "pass" else "check the reference of net chi, R2 and the relaxivity"
    return Check("infeasible voxels", status, value, "%", "pass to 35 %, fail above 60 %", advice)


def check_r2prime_level(scale: float) -> Check:
    """Compare the level of R2' with that of usual tissue at the usual relaxivity."""
    status = _between(scale, 0.77, 1.3, 0.5, 2.0)
    advice = (
        ""
        if status == "pass"
        else "chi+ and |chi-| are wrong by about this factor; see --dr-auto, and look at R2"
    )
    limits = "pass 0.77 to 1.3, fail outside 0.5 to 2"
    return Check("level of R2'", status, scale, "times the usual", limits, advice)


def check_mask_volume(mask: Array, voxel_volume_mm3: float) -> Check:
    """Compare the volume of the brain mask with that of adult brains."""
    value = float(_tensor(mask).bool().sum()) * voxel_volume_mm3 / 1e6
    status = _between(value, 1.0, 1.9, 0.6, 2.3)
    limits = "pass 1.0 to 1.9 l, fail below 0.6 or above 2.3 l"
    advice = "" if status == "pass" else "look at the brain mask; correct it or give one"
    return Check("brain mask volume", status, value, "l", limits, advice)


def check_masks_agree(mask: Array, other: Array) -> Check:
    """Compare the mask with one that was found in another way (Dice overlap)."""
    one, two = _tensor(mask).bool(), _tensor(other).bool()
    both = float(one.sum() + two.sum())
    value = 200 * float((one & two).sum()) / both if both else math.nan
    status = _above(value, 93.0, 85.0)
    advice = "" if status == "pass" else "two ways to find the brain disagree: look at the mask"
    limits = "pass from 93 %, fail below 85 %"
    return Check("agreement of two masks", status, value, "%", limits, advice)


def check_mask_kept(final_mask: Array, brain_mask: Array) -> Check:
    """Say how much of the brain is left after background removal."""
    brain = _tensor(brain_mask).bool()
    final = _tensor(final_mask).bool().to(brain.device)
    whole = float(brain.sum())
    value = 100 * float((brain & final).sum()) / whole if whole else math.nan
    status = _above(value, 85.0, 70.0)
    advice = "" if status == "pass" else "cortex and lesions near the edge are not in the maps"
    return Check("mask kept", status, value, "%", "pass from 85 %, fail below 70 %", advice)


def check_residual_field(residual_ppm: Array, mask: Array) -> Check:
    """Say how much field the susceptibility map leaves unexplained (robust SD)."""
    values = _inside(residual_ppm, mask)
    value = 1e3 * 1.4826 * _median((values - _median(values)).abs())
    status = _below(value, 5.0, 15.0)
    advice = "" if status == "pass" else "the maps do not explain the field; look at its residual"
    limits = "pass to 5 ppb, fail above 15 ppb"
    return Check("residual field", status, value, "ppb", limits, advice)


def check_field_misfit(misfit_ppb: float) -> Check:
    """Say how much of the local field no isotropic source explains (SD).

    A good field at 3 T has 7 ppb of it (2016 challenge), of which white matter makes a part.
    """
    status = _below(misfit_ppb, 8.0, 15.0)
    advice = (
        "" if status == "pass" else "net chi is smoothed for it; look for motion and background"
    )
    return Check(
        "field misfit", status, misfit_ppb, "ppb", "pass to 8 ppb, fail above 15 ppb", advice
    )


def check_usual(unusual_share: float) -> Check:
    """Say in how much of the brain the inputs lie outside what a separation was made for.

    Simulated heads have 1 % of it, and 1.5 to 6 % where R2* is wrong by a third.
    """
    value = 100 * unusual_share
    status = _below(value, 3.0, 10.0)
    advice = "" if status == "pass" else "the sources are less sure there; look at R2* and the mask"
    return Check("unusual inputs", status, value, "%", "pass to 3 %, fail above 10 %", advice)


def check_echo_consistency(reliability: Array, mask: Array) -> Check:
    """Say in how much of the brain the echoes contradict each other (motion, flow, dephasing)."""
    values = _inside(reliability, mask)
    value = 100 * float((values < 0.5).float().mean()) if len(values) else math.nan
    status = _below(value, 5.0, 15.0)
    advice = "" if status == "pass" else "look for motion and for wrong echo times or echo order"
    limits = "pass to 5 % of voxels unreliable, fail above 15 %"
    return Check("echo inconsistency", status, value, "%", limits, advice)


def check_snr(first_magnitude: Array, noise_sd: float, mask: Array) -> Check:
    """Compare the first echo in the brain with the noise of one channel."""
    signal = _median(_inside(first_magnitude, mask))
    value = signal / noise_sd if noise_sd > 0 else math.nan
    status = _above(value, 40.0, 15.0) if noise_sd > 0 else "warn"
    advice = "" if status == "pass" else "R2' and both sources are noisy; judge large regions only"
    return Check("SNR of the first echo", status, value, "", "pass from 40, fail below 15", advice)


def check_wraps(total_field_ppm: Array, mask: Array, turn_ppm: float) -> Check:
    """Count jumps of half a turn or more between neighbors in the total field.

    Parameters
    ----------
    turn_ppm : float
        Field of a whole turn over the shortest echo gap: 1 / (gap gamma/2pi B0).
    """
    field, inside = _tensor(total_field_ppm), _tensor(mask).bool()
    jumps, pairs = 0, 0
    for axis in range(3):
        n = field.shape[axis]
        both = inside.narrow(axis, 0, n - 1) & inside.narrow(axis, 1, n - 1)
        step = (field.narrow(axis, 1, n - 1) - field.narrow(axis, 0, n - 1)).abs()
        jumps += int(((step > turn_ppm / 2) & both).sum())
        pairs += int(both.sum())
    value = 100 * jumps / pairs if pairs else math.nan
    status = _below(value, 0.01, 0.5)
    advice = (
        "" if status == "pass" else "look at the total field; draw the mask tighter at the sinus"
    )
    limits = "pass to 0.01 % of neighbors, fail above 0.5 %"
    return Check("phase wraps left", status, value, "%", limits, advice)


def _tensor(values: Array) -> Tensor:
    if isinstance(values, np.ndarray):
        values = np.ascontiguousarray(values)
    return torch.as_tensor(values)


def _inside(values: Array, mask: Array) -> Tensor:
    """Return the values in the mask."""
    tensor = _tensor(values).to(torch.float32)
    return tensor[_tensor(mask).bool().to(tensor.device)]


def _median(values: Tensor) -> float:
    return float(values.median()) if values.numel() else math.nan


def _between(value: float, low: float, high: float, lowest: float, highest: float) -> Status:
    if low <= value <= high:
        return "pass"
    return "warn" if lowest <= value <= highest else "fail"


def _above(value: float, good: float, bad: float) -> Status:
    return _between(value, good, math.inf, bad, math.inf)


def _below(value: float, good: float, bad: float) -> Status:
    return _between(value, -math.inf, good, -math.inf, bad)
