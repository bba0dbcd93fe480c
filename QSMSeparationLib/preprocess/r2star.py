"""R2* from the magnitude of a multi-echo gradient echo.

The magnitude decays as S(TE) = S0 exp(-R2* TE) F(TE). F is the signal lost because the
field changes across the voxel: for a linear gradient along each axis, F is a product of
sinc(df_a TE), with df_a the change of frequency from one face to the other (Fernandez-Seara
and Wehrli, MRM 2000;44:358). It says nothing about the tissue, so it is divided out.

ln S - ln F = ln S0 - R2* TE is fitted by least squares. The variance of ln S is sigma^2 / S^2,
so the weights are S^2; the second pass takes them from the first fit, because weights that
share the noise of the data pull the line. Any echo times will do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from QSMSeparationLib.physics.constants import hz_per_ppm
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

_NOISE_FLOOR = 3.0
"""Echoes whose fitted signal is below this many noise SD are left out (Rician floor)."""

_SINC_FLOOR = 0.25
"""Echoes of which dephasing left less than this share are left out: their correction is
larger than what it corrects, and the linear model fails towards the zero of the sinc."""


@dataclass(frozen=True, eq=False)
class R2StarResult:
    """R2* and how far it can be trusted.

    Parameters
    ----------
    r2star_hz : Tensor
        R2* in Hz, >= 0, and 0 outside the mask and where it could not be fitted.
    s0 : Tensor
        Magnitude at TE 0, in the scale of the echoes; 0 like R2*.
    residual : Tensor
        Weighted RMS of ln S about the fitted line: the relative misfit (0.01 is 1 %).
    uncorrectable : Tensor
        Bool: voxels of the mask with fewer than two usable echoes, because dephasing or
        the noise floor took the others.
    noise_sd : float
        Noise SD of the magnitude, estimated from the residuals within the mask.
    """

    r2star_hz: Tensor
    s0: Tensor
    residual: Tensor
    uncorrectable: Tensor
    noise_sd: float


def fit_r2star(
    magnitude: Tensor,
    echo_times_s: Sequence[float],
    mask: Tensor,
    total_field_ppm: Tensor | None = None,
    b0_tesla: float = 3.0,
    report: Report = silent,
) -> R2StarResult:
    """Fit R2* by a magnitude-weighted line through the logarithm of the signal.

    Parameters
    ----------
    magnitude : Tensor
        Magnitude (echo, k, j, i), any scale.
    echo_times_s : sequence of float
        Echo times in seconds.
    mask : Tensor
        Where to fit, bool (k, j, i).
    total_field_ppm : Tensor, optional
        Total field *before* background removal. With it the dephasing across the voxel is
        corrected; without it R2* is too high near air.
    b0_tesla : float
        Field strength.
    report : Report
        Progress.
    """
    _check(magnitude, echo_times_s, mask)
    mask = mask.bool()
    # Voxels are fitted one by one, so all that follows are lists of those in the mask.
    signals = torch.stack([echo[mask] for echo in magnitude]).float()
    change_hz = None
    if total_field_ppm is not None:
        change_hz = field_change_hz(total_field_ppm, mask, b0_tesla)[:, mask]
    steps = 3 * len(echo_times_s)
    step = iter(range(1, steps + 1))

    def tick() -> None:
        report(next(step), steps)

    first = _fit_line(signals, echo_times_s, change_hz, None, 0.0, tick)
    noise_sd = _noise_sd(signals, echo_times_s, change_hz, first)
    line = _fit_line(signals, echo_times_s, change_hz, first, noise_sd, tick)
    residual = _misfit(signals, echo_times_s, change_hz, line, noise_sd, tick)
    lost = line.echoes < 2
    r2star_hz = torch.where(lost, 0.0, line.rate.clamp_min(0.0))

    def laid(values: Tensor) -> Tensor:
        volume = torch.zeros(mask.shape, dtype=values.dtype, device=mask.device)
        volume[mask] = values
        return volume

    residual = torch.where(lost, 0.0, residual)
    s0 = torch.where(lost, 0.0, line.intercept.exp())
    return R2StarResult(laid(r2star_hz), laid(s0), laid(residual), laid(lost), noise_sd)


def field_change_hz(field_ppm: Tensor, mask: Tensor, b0_tesla: float) -> Tensor:
    """Return the change of frequency across a voxel along each axis, shape (3, k, j, i).

    It is the mean of the differences to both neighbors, or the one difference at the
    border of the mask, so that no value from outside enters.
    """
    change = torch.zeros((3, *field_ppm.shape), device=field_ppm.device)
    count = torch.empty_like(field_ppm)
    for axis in range(3):
        n = field_ppm.shape[axis]
        low, high = (0, n - 1), (1, n - 1)
        both = mask.narrow(axis, *low) & mask.narrow(axis, *high)
        step = torch.diff(field_ppm, dim=axis).mul_(both)
        count.zero_()
        for side in (low, high):
            change[axis].narrow(axis, *side).add_(step)
            count.narrow(axis, *side).add_(both)
        change[axis].div_(count.clamp_min_(1.0))
    return change.mul_(hz_per_ppm(b0_tesla))


def dephasing(change_hz: Tensor, echo_time_s: float) -> Tensor:
    """Return the share of signal left at ``echo_time_s``; 0 from the first zero of a sinc on."""
    share = torch.ones_like(change_hz[0])
    for change in change_hz:
        turns = change * echo_time_s
        share.mul_(torch.sinc(turns)).masked_fill_(turns.abs() >= 1.0, 0.0)
    return share


@dataclass(frozen=True, eq=False)
class _Line:
    """ln S = intercept - rate TE, and the number of echoes it rests on."""

    intercept: Tensor
    rate: Tensor
    echoes: Tensor

    def signal(self, echo_time_s: float, share: Tensor | None) -> Tensor:
        """Return the fitted magnitude of an echo."""
        signal = torch.exp(self.intercept - self.rate * echo_time_s)
        return signal if share is None else signal.mul_(share)


def _check(magnitude: Tensor, echo_times_s: Sequence[float], mask: Tensor) -> None:
    """Refuse echoes from which no rate can be fitted."""
    if len(set(echo_times_s)) < 2:
        raise InputError("R2* needs at least two echoes at different echo times")
    if magnitude.ndim != 4 or magnitude.shape[0] != len(echo_times_s):
        raise InputError(
            f"magnitude of shape {tuple(magnitude.shape)} does not hold {len(echo_times_s)} echoes"
        )
    if magnitude.shape[1:] != mask.shape:
        raise InputError(
            f"mask of {tuple(mask.shape)} does not fit echoes of {tuple(magnitude.shape[1:])} voxels"
        )


def _echo(
    signals: Tensor,
    echo: int,
    echo_time_s: float,
    change_hz: Tensor | None,
    model: _Line | None,
    noise_sd: float,
) -> tuple[Tensor, Tensor]:
    """Return ln(S / F) and the weight S^2 of one echo; the weight is 0 where it is unusable."""
    signal = signals[echo]
    usable = signal > 0
    share = None
    if change_hz is not None:
        share = dephasing(change_hz, echo_time_s)
        usable &= share > _SINC_FLOOR
    expected = signal if model is None else model.signal(echo_time_s, share)
    usable &= expected > _NOISE_FLOOR * noise_sd
    tiny = torch.finfo(torch.float32).tiny
    logarithm = torch.log(signal.clamp_min(tiny))
    if share is not None:
        logarithm.sub_(torch.log(share.clamp_min_(_SINC_FLOOR)))
    return logarithm, torch.where(usable, expected * expected, 0.0)


def _fit_line(
    signals: Tensor,
    echo_times_s: Sequence[float],
    change_hz: Tensor | None,
    model: _Line | None,
    noise_sd: float,
    tick,
) -> _Line:
    """Fit the weighted line; sums are gathered echo by echo, so memory stays at a few maps."""
    # Times from their middle keep the normal equations well conditioned in float32.
    middle = sum(echo_times_s) / len(echo_times_s)
    w, wt, wtt, wy, wty, n = (torch.zeros_like(signals[0]) for _ in range(6))
    for echo, time_s in enumerate(echo_times_s):
        y, weight = _echo(signals, echo, time_s, change_hz, model, noise_sd)
        t = time_s - middle
        n.add_(weight > 0)
        w.add_(weight)
        wt.add_(weight, alpha=t)
        wtt.add_(weight, alpha=t * t)
        y.mul_(weight)
        wy.add_(y)
        wty.add_(y, alpha=t)
        tick()
    w.clamp_min_(torch.finfo(torch.float32).tiny)
    mean_t, mean_y = wt.div_(w), wy.div_(w)
    spread = wtt.div_(w).sub_(mean_t * mean_t)
    slope = wty.div_(w).sub_(mean_t * mean_y)
    # Two echoes a millisecond apart have a spread of 2.5e-7 s^2; below that there is one echo.
    slope = torch.where(spread > 1e-9, slope / spread.clamp_min(1e-9), 0.0)
    intercept = mean_y - slope * (mean_t + middle)
    return _Line(intercept, -slope, n)


def _noise_sd(
    signals: Tensor,
    echo_times_s: Sequence[float],
    change_hz: Tensor | None,
    line: _Line,
) -> float:
    """Estimate the noise from the residuals of the fit (median, so that misfits do not count)."""
    if len(echo_times_s) < 3 or signals.shape[1] == 0:
        return 0.0
    spread = []
    for echo, time_s in enumerate(echo_times_s):
        share = None if change_hz is None else dephasing(change_hz, time_s)
        residual = signals[echo] - line.signal(time_s, share)
        spread.append(residual.abs().median().item() ** 2)
    freedom = len(echo_times_s) / (len(echo_times_s) - 2)
    return 1.4826 * math.sqrt(sum(spread) / len(spread) * freedom)


def _misfit(
    signals: Tensor,
    echo_times_s: Sequence[float],
    change_hz: Tensor | None,
    line: _Line,
    noise_sd: float,
    tick,
) -> Tensor:
    """Return the weighted RMS distance of ln S from the line."""
    squares = torch.zeros_like(line.rate)
    weights = torch.full_like(squares, torch.finfo(torch.float32).tiny)
    for echo, time_s in enumerate(echo_times_s):
        y, weight = _echo(signals, echo, time_s, change_hz, line, noise_sd)
        y.sub_(line.intercept).add_(line.rate, alpha=time_s)
        squares.addcmul_(weight, y.square_())
        weights.add_(weight)
        tick()
    return squares.div_(weights).sqrt_()
