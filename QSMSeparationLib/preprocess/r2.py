"""R2 from a multi-echo spin echo, with imperfect refocusing pulses.

A refocusing pulse of less than 180 degrees makes stimulated echoes, and an exponential
fit then gives R2 some 10 to 30 % too low. So the decay of every voxel is compared with a
dictionary of simulated trains over R2 and the strength of the refocusing pulses (Ben-Eliezer
et al., MRM 2015;73:809). The pulse strength B1 varies smoothly over a head: it is matched
first, smoothed, and then held while R2 is matched; so noise in B1 does not get into R2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from QSMSeparationLib.data.axes import Triple
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.preprocess.epg import cpmg_echoes
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

_R2_RANGE_HZ = (0.3, 150.0)
_R2_STEP = 1.05
_POWER = torch.linspace(0.3, 1.0, 29)
"""Refocused share sin^2(angle / 2) of the dictionary: the train is smooth in it, even at 180."""

_B1_SMOOTHING_MM = 6.0
_CHUNK = 1 << 16
_MIN_EPG_ECHOES = 4


@dataclass(frozen=True, eq=False)
class R2Result:
    """R2 and what the fit found beside it.

    Parameters
    ----------
    r2_hz : Tensor
        R2 in Hz, 0 outside the mask.
    b1 : Tensor or None
        Refocusing angle over 180 degrees, at most 1 (a pulse as far above 180 looks the same);
        None where refocusing was taken as perfect.
    residual : Tensor
        RMS misfit over the RMS of the signal.
    method : str
        ``epg`` or ``log-linear``.
    """

    r2_hz: Tensor
    b1: Tensor | None
    residual: Tensor
    method: str


def fit_r2(
    magnitude: Tensor,
    echo_times_s: Sequence[float],
    mask: Tensor,
    spacing_kji: Triple = (1.0, 1.0, 1.0),
    method: Literal["auto", "epg", "log-linear"] = "auto",
    report: Report = silent,
) -> R2Result:
    """Fit R2 to a spin-echo train.

    Parameters
    ----------
    magnitude : Tensor
        Magnitude (echo, k, j, i), any scale.
    echo_times_s : sequence of float
        Echo times in seconds.
    mask : Tensor
        Where to fit.
    spacing_kji : tuple of float
        Voxel size in mm, for the smoothing of B1.
    method : {"auto", "epg", "log-linear"}
        ``auto`` takes EPG for four or more evenly spaced echoes, else the exponential.
    report : Report
        Progress.
    """
    if magnitude.ndim != 4 or magnitude.shape[1:] != mask.shape or len(echo_times_s) < 2:
        raise InputError(
            f"R2: spin echo of shape {tuple(magnitude.shape)}, mask of {tuple(mask.shape)} and "
            f"{len(echo_times_s)} echo times do not fit together; two or more echoes are needed"
        )
    if magnitude.shape[0] != len(echo_times_s):
        raise InputError(f"R2: {magnitude.shape[0]} echoes but {len(echo_times_s)} echo times")
    even = len(echo_times_s) >= _MIN_EPG_ECHOES and _evenly_spaced(echo_times_s)
    if method == "epg" and not even:
        raise InputError(
            "R2 by EPG needs four or more echoes at multiples of the first echo time; "
            "use log-linear for this train"
        )
    mask = mask.bool()
    signal = magnitude[:, mask].T.contiguous().float()
    if method == "log-linear" or not even:
        r2, residual = _log_linear(signal, echo_times_s)
        b1, method = None, "log-linear"
    else:
        r2, b1, residual = _epg(signal, float(echo_times_s[0]), mask, spacing_kji, report)
        method = "epg"
    onto = _Scatter(mask)
    return R2Result(onto(r2), None if b1 is None else onto(b1), onto(residual), method)


class _Scatter:
    """Puts values of the mask's voxels back on the grid."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def __call__(self, values: Tensor) -> Tensor:
        grid = torch.zeros(self.mask.shape, device=values.device)
        grid[self.mask] = values
        return grid


def _evenly_spaced(echo_times_s: Sequence[float]) -> bool:
    """Tell whether echo n comes at n times the first echo time, within a per cent of it."""
    first = echo_times_s[0]
    return all(abs(t - (n + 1) * first) < 0.01 * first for n, t in enumerate(echo_times_s))


def _log_linear(signal: Tensor, echo_times_s: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Fit a line to ln S with weights S^2 (perfect refocusing), then with the fitted S^2."""
    t = torch.tensor(echo_times_s, device=signal.device, dtype=torch.float32)
    log = torch.log(signal.clamp_min(torch.finfo(torch.float32).tiny))
    weight = signal.square()
    for _ in range(2):
        total = weight.sum(1, keepdim=True).clamp_min(1e-30)
        mean_t = (weight * t).sum(1, keepdim=True) / total
        mean_y = (weight * log).sum(1, keepdim=True) / total
        dt = t - mean_t
        rate = -(weight * dt * (log - mean_y)).sum(1) / (weight * dt * dt).sum(1).clamp_min(1e-30)
        rate.clamp_(0.0, _R2_RANGE_HZ[1])
        fitted = torch.exp(mean_y - rate[:, None] * dt)
        weight = torch.where(signal > 0, fitted.square(), 0.0)
    misfit = (signal - fitted).norm(dim=1) / signal.norm(dim=1).clamp_min(1e-30)
    return torch.where(signal.norm(dim=1) > 0, rate, 0.0), misfit


class _Dictionary:
    """Trains by (power, log R2); unit norm is applied where they are matched."""

    def __init__(self, echoes: int, spacing_s: float, device: torch.device) -> None:
        low, high = _R2_RANGE_HZ
        count = math.ceil(math.log(high / low) / math.log(_R2_STEP)) + 1
        self.log_r2 = torch.linspace(math.log(low), math.log(high), count, device=device)
        self.power = _POWER.to(device)
        angle = 2 * torch.asin(self.power.sqrt())
        self.trains = cpmg_echoes(echoes, spacing_s, self.log_r2.exp(), angle[:, None])

    def match_power(self, signal: Tensor) -> Tensor:
        """Return the power whose train fits each voxel best, over all R2."""
        unit = self.trains / self.trains.norm(dim=-1, keepdim=True)
        best = torch.einsum("ve,pre->vpr", signal, unit).amax(dim=2)
        at, offset, _ = _peak(best)
        step = self.power[1] - self.power[0]
        return self.power[at] + offset * step

    def match_r2(self, signal: Tensor, row: int, part: Tensor) -> tuple[Tensor, Tensor]:
        """Return R2 and the cosine to the best train, for voxels between two rows of power."""
        a, b = self.trains[row], self.trains[row + 1]
        # |lerp(a, b)|^2 is a quadratic in the part, so no train is formed for a voxel.
        p = part[:, None]
        norm = ((1 - p) ** 2 * (a * a).sum(1) + 2 * p * (1 - p) * (a * b).sum(1)).add_(
            p**2 * (b * b).sum(1)
        )
        score = torch.lerp(signal @ a.T, signal @ b.T, p).div_(norm.sqrt_())
        at, offset, peak = _peak(score)
        step = self.log_r2[1] - self.log_r2[0]
        return torch.exp(self.log_r2[at] + offset * step), peak


def _peak(score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return index, sub-step offset and height of the parabola through the largest score."""
    at = score.argmax(dim=1)
    inner = at.clamp(1, score.shape[1] - 2)
    low, mid, high = (score.gather(1, (inner + d)[:, None])[:, 0] for d in (-1, 0, 1))
    bend = (low - 2 * mid + high).clamp_max(-1e-12)
    offset = (0.5 * (low - high) / bend).clamp(-1.0, 1.0)
    return inner, offset, mid - 0.25 * (low - high) * offset


def _epg(
    signal: Tensor,
    spacing_s: float,
    mask: Tensor,
    spacing_kji: Triple,
    report: Report,
) -> tuple[Tensor, Tensor, Tensor]:
    """Match B1, smooth it, then match R2 with B1 held."""
    norm = signal.norm(dim=1).clamp_min(1e-30)
    signal = signal / norm[:, None]
    dictionary = _Dictionary(signal.shape[1], spacing_s, signal.device)
    power, heard = torch.zeros_like(norm), torch.zeros_like(norm)
    parts = max(1, math.ceil(len(norm) / _CHUNK * 4))
    rows = len(dictionary.power) - 1
    voxels = torch.nonzero(_every_other(mask, spacing_kji))[:, 0]
    for done, part in enumerate(torch.tensor_split(voxels, parts)):
        report(done, parts + rows)
        power[part] = dictionary.match_power(signal[part])
        heard[part] = norm[part]
    power = _smooth(power, heard, mask, spacing_kji).clamp_(float(dictionary.power[0]), 1.0)
    place = (power - dictionary.power[0]) / (dictionary.power[1] - dictionary.power[0])
    row = place.floor().long().clamp_(0, rows - 1)
    r2, cosine = torch.zeros_like(norm), torch.ones_like(norm)
    for n in range(rows):
        for chosen in torch.split(torch.nonzero(row == n)[:, 0], _CHUNK):
            r2[chosen], cosine[chosen] = dictionary.match_r2(signal[chosen], n, place[chosen] - n)
        report(parts + n + 1, parts + rows)
    b1 = 2 * torch.asin(power.clamp_max(1.0).sqrt()) / math.pi
    empty = norm <= 1e-30
    return r2.masked_fill_(empty, 0.0), b1, (1 - cosine**2).clamp_min_(0.0).sqrt_()


def _every_other(mask: Tensor, spacing_kji: Triple) -> Tensor:
    """Choose the voxels that B1 is matched in: every second one along an axis of thin voxels."""
    keep = torch.ones_like(mask)
    for axis, step in enumerate(spacing_kji):
        if step <= _B1_SMOOTHING_MM / 3:
            index = torch.arange(1, mask.shape[axis], 2, device=mask.device)
            keep.index_fill_(axis, index, False)
    chosen = keep[mask]
    return chosen if chosen.any() else torch.ones_like(chosen)


def _smooth(power: Tensor, norm: Tensor, mask: Tensor, spacing_kji: Triple) -> Tensor:
    """Smooth the power within the mask, weighted by the energy of the signal."""
    grid = torch.zeros(mask.shape, device=power.device)
    weight = (norm / norm[norm > 0].mean().clamp_min(1e-30)).clamp_max_(3.0).square_()
    grid[mask] = weight
    below = gaussian(grid, _B1_SMOOTHING_MM, spacing_kji)[mask]
    grid[mask] = weight * power
    return gaussian(grid, _B1_SMOOTHING_MM, spacing_kji)[mask] / below.clamp_min(1e-12)
