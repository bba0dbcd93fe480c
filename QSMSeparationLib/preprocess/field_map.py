"""The total field of a multi-echo scan, with its noise and how far it can be trusted.

Phase of echo e: offset + 2 pi gamma/2pi B0 TE_e field, up to whole turns. The steps:

1. alternating readouts: the phase that flips sign with the readout is measured and removed;
2. the Hermitian product of the echoes with the shortest gap, which knows no offset and
   wraps least, is unwrapped in space, once;
3. every echo is unwrapped in time against it, nearest echo first;
4. a weighted line (weights: squared magnitude) through the echoes of each voxel gives the
   receive offset, which is smooth and is smoothed;
5. the weighted line through that offset gives the field. One free parameter a voxel in
   place of two: about half the noise.

The Hermitian product and the removal of a smooth offset follow MCPC-3D-S (Eckstein et al.,
Magn Reson Med 2018;79:2996).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.physics.constants import hz_per_ppm
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.preprocess import bipolar
from QSMSeparationLib.preprocess._echoes import Echoes, wrap
from QSMSeparationLib.preprocess.phase_sign import PhaseSign, detect_phase_sign
from QSMSeparationLib.preprocess.reliability import mend, reliability
from QSMSeparationLib.preprocess.unwrap import unwrap
from QSMSeparationLib.runtime.progress import Report, silent

OFFSET_SIGMA_MM = 4.0


@dataclass(frozen=True, eq=False)
class FieldEstimate:
    """The total field and what is known about it; every map is 0 outside the mask.

    Parameters
    ----------
    total_field_ppm : Tensor
        Field in ppm, positive where a paramagnetic source raises it; float32, (k, j, i).
    noise_ppm : Tensor
        Its standard deviation from thermal noise, in ppm.
    reliability : Tensor
        How far each voxel can be trusted, 0 to 1.
    phase_offset_rad : Tensor
        Smooth receive phase that was removed, wrapped to (-pi, pi].
    noise_sd : float
        Noise of one channel in units of the magnitude.
    sign : PhaseSign
        Whether the phase was stored with the other sign, and how sure that is.
    notes : tuple of str
        What was found and done, to be shown.
    """

    total_field_ppm: Tensor
    noise_ppm: Tensor
    reliability: Tensor
    phase_offset_rad: Tensor
    noise_sd: float
    sign: PhaseSign
    notes: tuple[str, ...]


def estimate_field(
    magnitude: Tensor | NDArray[np.float32],
    phase_rad: Tensor | NDArray[np.float32],
    echo_times_s: tuple[float, ...],
    b0_tesla: float,
    mask: Tensor | NDArray[np.bool_],
    geometry: Geometry,
    *,
    phase_sign: int | None = None,
    report: Report = silent,
) -> FieldEstimate:
    """Estimate the total field from wrapped phase.

    Parameters
    ----------
    magnitude, phase_rad : Tensor or ndarray
        Echoes, shape (echo, k, j, i); phase in radians.
    echo_times_s : tuple of float
        At least two echo times in seconds, increasing, any spacing.
    b0_tesla : float
        Field strength.
    mask : Tensor or ndarray of bool
        Where to estimate, (k, j, i).
    geometry : Geometry
        Grid of the echoes.
    phase_sign : {1, -1}, optional
        Sign of the stored phase; detected when missing.
    report : callable
        Progress.

    Returns
    -------
    FieldEstimate
        Maps on the device of ``magnitude``.
    """
    steps = len(echo_times_s) + 6
    echoes = Echoes.crop(magnitude, phase_rad, echo_times_s, mask, geometry.spacing_kji)
    notes = list(bipolar.remove_ramp(echoes))
    report(1, steps)
    pairs, product = shortest_gap(echoes)
    first = pairs[0]
    gap = echoes.times[first + 1] - echoes.times[first]
    turns = torch.from_numpy(unwrap(product.angle().cpu().numpy(), echoes.mask.cpu().numpy()))
    report(3, steps)
    rate = turns.to(product.device) / gap
    del product, turns
    notes += bipolar.remove_constant(echoes, rate, pairs, gap)
    rate += 2 * math.pi / gap * missing_turns(echoes, rate, first, gap)
    line = fit_lines(echoes, rate, first, lambda done: report(3 + done, steps))
    offset = smooth_offset(line, echoes)
    report(steps - 2, steps)
    total, noise, reliability = _solve(line, offset, echoes, b0_tesla)
    sd = noise_sd(line, echoes) * echoes.unit
    maps = [echoes.uncrop(m) for m in (total, noise, reliability, offset)]
    if phase_sign is None:
        sign = detect_phase_sign(maps[0], magnitude, echo_times_s, mask, geometry, maps[2])
    else:
        sign = PhaseSign(int(phase_sign), 1.0, f"phase sign {phase_sign:+d} as given")
    if sign.sign < 0:
        maps[0].neg_()
        maps[3].neg_()
    report(steps, steps)
    return FieldEstimate(*maps, noise_sd=sd, sign=sign, notes=(*notes, sign.note))


def shortest_gap(echoes: Echoes) -> tuple[list[int], Tensor]:
    """Return the pairs (e, e + 1) with the shortest gap, and the sum of their Hermitian products.

    Pairs of neighbors with the same gap (within 2 per cent) are summed: each voxel then
    takes its phase from where its signal is strong.
    """
    gaps = np.diff(echoes.times)
    pairs = [int(e) for e in np.flatnonzero(gaps <= gaps.min() * 1.02)]
    products = (
        torch.polar(
            echoes.magnitude(e) * echoes.magnitude(e + 1), echoes.phase(e + 1) - echoes.phase(e)
        )
        for e in pairs
    )
    return pairs, reduce(torch.Tensor.add_, products)


def missing_turns(echoes: Echoes, rate: Tensor, first: int, gap: float) -> int:
    """Return the whole turns that the unwrapped difference lacks everywhere alike.

    With equal gaps no echo can tell, and the choice that centers the field (the scanner's
    frequency adjustment) stands. With unequal gaps only one choice makes the other
    echoes agree with it.
    """
    lags = [t - echoes.times[first] for t in echoes.times]
    ratios = [lag / gap for lag in lags]
    if all(abs(r - round(r)) < 0.03 for r in ratios):
        return 0
    mismatch: dict[int, float] = dict.fromkeys(range(-3, 4), 0.0)
    for e, (lag, ratio) in enumerate(zip(lags, ratios, strict=True)):
        if e == first:
            continue
        left = torch.polar(
            echoes.magnitude(e) * echoes.magnitude(first),
            echoes.phase(e) - echoes.phase(first) - rate * lag,
        )[echoes.mask].mean()
        for turns in mismatch:
            turned = left * np.exp(-2j * math.pi * turns * ratio)
            mismatch[turns] += float(turned.abs() - turned.real)
    return min(mismatch, key=lambda turns: (round(mismatch[turns], 6), abs(turns)))


def steepest_step(rate: Tensor, mask: Tensor) -> Tensor:
    """Return how fast (rad/s) phase grows apart across each voxel, along the worst axis.

    Once it is apart by a whole turn the signal of the voxel has passed zero and comes back
    with its phase turned by half a turn: such an echo tells nothing.
    """
    worst = torch.zeros_like(rate)
    for axis in range(3):
        n = rate.shape[axis]
        low = torch.arange(n, device=rate.device).sub_(1).clamp_min_(0)
        high = torch.arange(n, device=rate.device).add_(1).clamp_max_(n - 1)
        use_low = torch.where(mask.index_select(axis, low), rate.index_select(axis, low), rate)
        use_high = torch.where(mask.index_select(axis, high), rate.index_select(axis, high), rate)
        worst = torch.maximum(worst, (use_high - use_low).abs_().div_(2))
    return worst


@dataclass(eq=False)
class Lines:
    """Per voxel, the weighted line through the unwrapped phase of all echoes.

    ``rate`` in rad/s and ``start`` (wrapped phase at TE = 0) describe the line;
    ``w``, ``wt``, ``wtt`` are the sums of weights times powers of TE, and ``misfit`` is the
    weighted sum of squared residuals over the degrees of freedom, in squared magnitude.
    """

    rate: Tensor
    start: Tensor
    w: Tensor
    wt: Tensor
    wtt: Tensor
    misfit: Tensor


def fit_lines(echoes: Echoes, rate: Tensor, first: int, report: Callable[[int], None]) -> Lines:
    """Unwrap all echoes in time against ``rate`` and fit a line in each voxel.

    Sums are taken over what is left after the predicted phase is removed, so float32
    is enough. Each echo sharpens the prediction for the next.
    """
    reference = echoes.phase(first)
    sums = {name: torch.zeros_like(rate) for name in ("w", "wt", "wtt", "wy", "wty", "wyy")}
    start_time = echoes.times[first]
    slope_top = torch.zeros_like(rate)
    slope_bottom = None
    steepest = steepest_step(rate, echoes.mask)
    order = sorted(range(len(echoes.times)), key=lambda e: abs(echoes.times[e] - start_time))
    for done, e in enumerate(order, start=1):
        t = echoes.times[e]
        lag = t - start_time
        weight = echoes.magnitude(e).square()
        if e > first + 1:
            weight *= steepest * t < math.tau
        left = echoes.phase(e) - reference - rate * lag
        if e != first:
            if slope_bottom is None:
                slope_bottom = weight * lag**2
            expected = slope_top / slope_bottom.clamp_min(1e-20) * lag
            left = wrap(left - expected).add_(expected)
            slope_top += weight * left * lag
            slope_bottom += weight * lag**2
        sums["w"] += weight
        sums["wt"] += weight * t
        sums["wtt"] += weight * t**2
        weight *= left
        sums["wy"] += weight
        sums["wty"] += weight * t
        sums["wyy"] += weight.mul_(left)
        report(done)
    determinant = (sums["w"] * sums["wtt"] - sums["wt"] ** 2).clamp_min_(1e-20)
    slope = (sums["w"] * sums["wty"] - sums["wt"] * sums["wy"]) / determinant
    start = (sums["wtt"] * sums["wy"] - sums["wt"] * sums["wty"]) / determinant
    misfit = (sums["wyy"] - start * sums["wy"] - slope * sums["wty"]).clamp_min_(0.0)
    misfit /= max(len(order) - 2, 1)
    start += reference - rate * start_time
    return Lines(rate + slope, wrap(start), sums["w"], sums["wt"], sums["wtt"], misfit)


def smooth_offset(line: Lines, echoes: Echoes) -> Tensor:
    """Smooth the phase at TE = 0 as a unit phasor; voxels that stand out do not count.

    Smoothing what the last pass left over removes the bias of a plain Gaussian at the
    border of the mask (twicing, Tukey 1977).
    """
    precision = torch.where(echoes.mask, line.w - line.wt**2 / line.wtt.clamp_min(1e-20), 0.0)
    offset = torch.zeros_like(line.start)
    for _ in range(6):
        left = line.start - offset
        weight = precision * (wrap(left).abs() < 1.0) if offset.any() else precision
        real = gaussian(weight * torch.cos(left), OFFSET_SIGMA_MM, echoes.spacing_kji)
        imag = gaussian(weight * torch.sin(left), OFFSET_SIGMA_MM, echoes.spacing_kji)
        offset += torch.atan2(imag, real)
    return torch.where(echoes.mask, wrap(offset), 0.0)


def noise_sd(line: Lines, echoes: Echoes) -> float:
    """Return the noise of one channel, in units of the magnitude.

    From the residuals of the lines where there are three echoes or more. Two echoes leave
    no residual, so there the sharpest detail of the complex signal is taken for noise.
    """
    if len(echoes.times) > 2:
        # The median of chi squared with n degrees of freedom is about n (1 - 2 / 9 n)^3.
        free = len(echoes.times) - 2
        median = float(line.misfit[echoes.mask].median())
        return math.sqrt(median / (1 - 2 / (9 * free)) ** 3)
    signal = torch.polar(echoes.magnitude(0), echoes.phase(0))
    inside = echoes.mask.clone()
    for axis in range(3):
        n = signal.shape[axis]
        if n < 2:
            continue
        signal = (signal.narrow(axis, 1, n - 1) - signal.narrow(axis, 0, n - 1)) / math.sqrt(2)
        inside = inside.narrow(axis, 1, n - 1) & inside.narrow(axis, 0, n - 1)
    detail = torch.view_as_real(signal[inside]).abs()
    return 1.4826 * float(detail.median()) if detail.numel() else 0.0


def _solve(
    line: Lines, offset: Tensor, echoes: Echoes, b0_tesla: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return field and noise in ppm, and reliability, of the line through the known offset."""
    hertz = 2 * math.pi * hz_per_ppm(b0_tesla)
    wtt = line.wtt.clamp_min(1e-12)
    shift = wrap(offset - line.start)
    total = torch.where(echoes.mask, line.rate - shift * line.wt / wtt, 0.0) / hertz
    sd = noise_sd(line, echoes)
    noise = sd / wtt.sqrt() / hertz
    # Squared residuals of the constrained line: those of the free one plus the forced shift.
    count = len(echoes.times)
    forced = line.misfit * max(count - 2, 0) + shift**2 * (line.w - line.wt**2 / wtt)
    excess = (forced / (count - 1) - 4 * sd**2).clamp_min_(0.0)
    misfit = (excess / wtt).sqrt_() / hertz
    trust = reliability(total, noise, misfit, echoes.mask)
    return mend(total, trust, echoes.mask), noise, trust
