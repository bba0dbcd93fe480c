"""Alternating readouts: the phase that changes sign from echo to echo.

When even echoes are read one way and odd ones the other, delays and eddy currents add
+psi to the former and -psi to the latter, psi being a ramp over the image (Lu et al., Magn
Reson Med 2008;60:198). Over three echoes or more psi is the part of the phase course that no
straight line explains, so it is measured without knowing the field.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from QSMSeparationLib.preprocess._echoes import Echoes, wrap

SMALLEST_RAD = 0.05
"""A ramp (over the brain) or a constant below this is not worth a correction."""
_SAMPLES = 200_000


def alternating_contrast(times: tuple[float, ...]) -> np.ndarray:
    """Return weights over echoes that give psi from phases and cancel any straight line."""
    t = np.asarray(times)
    polarity = (-1.0) ** np.arange(len(t))
    line = np.stack([np.ones_like(t), t], axis=1)
    rest = polarity - line @ np.linalg.lstsq(line, polarity, rcond=None)[0]
    return rest / (rest @ polarity)


def remove_ramp(echoes: Echoes) -> tuple[str, ...]:
    """Measure the odd/even phase ramp, take it off the echoes if it is real, and say so.

    The slope along each axis is the median, over voxels, of the contrast of phase steps
    between neighbors: steps are small, so nothing has to be unwrapped.
    """
    if len(echoes.times) < 3:
        return ()
    slopes = [_slope(echoes, axis) for axis in range(3)]
    extent = echoes.mask.shape
    kept = [
        slope if abs(slope) * n > max(SMALLEST_RAD, 6 * error * n) else 0.0
        for (slope, error), n in zip(slopes, extent, strict=True)
    ]
    if not any(kept):
        return ()
    echoes.readout_rad = _ramp(kept, echoes.mask)
    across = math.sqrt(sum((s * n) ** 2 for s, n in zip(kept, extent, strict=True)))
    return (f"alternating readout: a phase ramp of {across:.2f} rad over the brain was removed",)


def remove_constant(echoes: Echoes, rate: Tensor, pairs: list[int], gap: float) -> tuple[str, ...]:
    """Measure the constant part of psi, take it off the echoes if it is real, and say so.

    ``rate`` (rad/s) came from the echoes ``pairs`` and their next neighbors, so it holds
    -2 psi / gap (+ from odd echoes) itself; that is put right in place.
    """
    if len(echoes.times) < 3:
        return ()
    a = min(pairs[0], len(echoes.times) - 3)
    curve = echoes.times[a] - 2 * echoes.times[a + 1] + echoes.times[a + 2]
    if echoes.readout_rad is None and abs(curve) > 0.03 * gap:
        return ()  # a whole turn missing from the rate would look the same
    bend = echoes.phase(a) - 2 * echoes.phase(a + 1) + echoes.phase(a + 2) - rate * curve
    weight = echoes.magnitude(a) * echoes.magnitude(a + 1) ** 2 * echoes.magnitude(a + 2)
    mean = torch.polar(weight, bend)[echoes.mask].mean()
    polarity = float(np.mean([(-1.0) ** e for e in pairs]))
    scale = 4 * (-1.0) ** a + 2 * polarity * curve / gap
    constant = float(mean.angle()) / scale
    if abs(constant) < SMALLEST_RAD / 2:
        return ()
    ramp = echoes.readout_rad
    echoes.readout_rad = (torch.zeros_like(rate) if ramp is None else ramp) + constant
    rate += 2 * polarity * constant / gap
    return (f"alternating readout: a phase of {constant:+.2f} rad was removed",)


def _slope(echoes: Echoes, axis: int) -> tuple[float, float]:
    """Return the slope of psi along an axis in rad per voxel, and its standard error."""
    n = echoes.mask.shape[axis]
    if n < 2:
        return 0.0, math.inf
    both = echoes.mask.narrow(axis, 0, n - 1) & echoes.mask.narrow(axis, 1, n - 1)
    where = torch.nonzero(both)
    where = where[:: max(1, len(where) // _SAMPLES)]
    if len(where) < 100:
        return 0.0, math.inf
    here = tuple(where.T)
    there = tuple(w + 1 if a == axis else w for a, w in enumerate(where.T))
    psi = torch.zeros(len(where), device=where.device)
    for e, factor in enumerate(alternating_contrast(echoes.times)):
        phase = echoes.phase(e)
        psi += float(factor) * wrap(phase[there] - phase[here])
    median = psi.median()
    spread = 1.4826 * (psi - median).abs().median()
    return float(median), float(1.2533 * spread / math.sqrt(len(psi)))


def _ramp(slopes: list[float], mask: Tensor) -> Tensor:
    """Return a linear ramp that is 0 in the middle of the box."""
    total = torch.zeros(mask.shape, device=mask.device)
    for axis, slope in enumerate(slopes):
        n = mask.shape[axis]
        view = [1, 1, 1]
        view[axis] = -1
        total += (torch.arange(n, device=mask.device) - (n - 1) / 2).view(view) * slope
    return total
