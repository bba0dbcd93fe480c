"""Which sign the scanner gave to the phase, told from physics that cannot be otherwise.

Two witnesses, each a correlation of the measured field with a predicted one:

* air: the field that the air around and within the head causes. Air is 9.4 ppm above
  tissue, so this is the largest effect in the scan; it needs signal outside the brain;
* iron: the field of what decays fast (deep grey matter, veins), which is paramagnetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.axes import Triple
from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.physics.smoothing import gaussian

Array = Tensor | NDArray
COARSE_MM = 2.5
HIGH_PASS_MM = 5.0
DECIDED = 0.3
"""Confidence below which the stored sign is kept."""


@dataclass(frozen=True)
class PhaseSign:
    """The verdict on the sign of the phase.

    Parameters
    ----------
    sign : {1, -1}
        -1: the phase was stored with the other sign (and has been turned round).
    confidence : float
        0 (no evidence) to 1.
    note : str
        One sentence for the user.
    air, iron : float
        The two correlations for the phase as stored; NaN where a witness is missing.
    """

    sign: int
    confidence: float
    note: str
    air: float = math.nan
    iron: float = math.nan


def detect_phase_sign(
    field_ppm: Array,
    magnitude: Array,
    echo_times_s: tuple[float, ...],
    mask: Array,
    geometry: Geometry,
    reliability: Array | None = None,
) -> PhaseSign:
    """Tell whether a total field has the right sign.

    Parameters
    ----------
    field_ppm : Tensor or ndarray
        Total field of the phase as stored.
    magnitude : Tensor or ndarray
        Echoes, (echo, k, j, i), of the whole field of view if there is one.
    echo_times_s : tuple of float
        Echo times in seconds.
    mask, reliability : Tensor or ndarray
        Brain mask, and weights of the field.
    geometry : Geometry
        Their grid.
    """
    magnitude = torch.as_tensor(magnitude)
    device = magnitude.device
    block = [max(1, round(COARSE_MM / s)) for s in geometry.spacing_kji]
    spacing = tuple(s * b for s, b in zip(geometry.spacing_kji, block, strict=True))
    weight = torch.as_tensor(mask, device=device).float()
    if reliability is not None:
        weight = weight * torch.as_tensor(reliability, device=device)
    coverage = _coarse(weight, block)
    field = _coarse(weight * torch.as_tensor(field_ppm, device=device), block)
    field /= coverage.clamp_min(1e-6)
    inside = coverage > 0.5
    first, last = (_coarse(magnitude[e].float(), block) for e in (0, -1))
    dipole = DipoleOperator(tuple(field.shape), spacing, geometry.b0_kji, pad=0.5, device=device)
    air = _air_witness(field, first, inside, dipole)
    decay = torch.log(first.clamp_min(1e-6) / last.clamp_min(1e-6))
    iron = _iron_witness(field, decay, inside, dipole, spacing)
    return _verdict(air, iron)


def _air_witness(field: Tensor, signal: Tensor, inside: Tensor, dipole: DipoleOperator) -> float:
    """Correlate the field with that of the air, after shims up to the second order."""
    level = signal[inside].median()
    beyond = ~inside
    if float((signal[beyond] > 0.15 * level).float().mean()) < 0.02:
        return math.nan  # the brain was cut out: there is nothing to tell head from air
    tissue = (signal > 0.15 * level) | inside
    predicted = dipole(tissue.float() * -9.4)
    basis = _shims(inside)
    return _correlation(_without(predicted[inside], basis), _without(field[inside], basis))


def _iron_witness(
    field: Tensor, decay: Tensor, inside: Tensor, dipole: DipoleOperator, spacing: Triple
) -> float:
    """Correlate the field with that of fast decay, both without what sources outside cause.

    A Gaussian average of a harmonic field is its value in the center, so the difference to
    it removes the background wherever the Gaussian lies within the brain.
    """
    full = gaussian(inside.float(), HIGH_PASS_MM, spacing) > 0.98
    if int(full.sum()) < 200:
        return math.nan
    low, high = np.quantile(decay[full].cpu().numpy(), (0.95, 0.999))
    source = torch.where(inside, (decay - float(low)).clamp(0.0, float(high - low)), 0.0)
    # Decay is fast near air as well; there it says nothing about iron.
    source *= gaussian(inside.float(), HIGH_PASS_MM / 2, spacing) > 0.95
    sharp = [
        (f - gaussian(f, HIGH_PASS_MM, spacing))[full]
        for f in (torch.where(inside, field, 0.0), dipole(source) * inside)
    ]
    limit = 4 * 1.4826 * sharp[0].abs().median()
    return _correlation(sharp[0].clamp(-limit, limit), sharp[1])


def _verdict(air: float, iron: float) -> PhaseSign:
    """Weigh both witnesses."""
    score = sum(w for w in (air, iron) if not math.isnan(w))
    confidence = min(1.0, abs(score) / 0.4)
    found = [w for w in (air, iron) if not math.isnan(w)]
    if len(found) == 2 and air * iron < 0 and min(abs(air), abs(iron)) > 0.05:
        confidence *= 0.5
    numbers = f"air r = {air:.2f}, iron r = {iron:.2f}"
    if confidence < DECIDED:
        note = f"phase sign undecided ({numbers}): kept as stored; check that veins are bright"
        return PhaseSign(1, confidence, note, air, iron)
    if score > 0:
        return PhaseSign(1, confidence, f"phase sign as expected ({numbers})", air, iron)
    note = f"phase was stored with the opposite sign and has been turned round ({numbers})"
    return PhaseSign(-1, confidence, note, air, iron)


def _coarse(volume: Tensor, block: list[int]) -> Tensor:
    """Average over blocks; what does not fill the last block is left out."""
    block = [min(b, n) for b, n in zip(block, volume.shape, strict=True)]
    return functional.avg_pool3d(volume[None, None], block)[0, 0]


def _shims(inside: Tensor) -> Tensor:
    """Return an orthonormal basis of polynomials up to the second order in the mask."""
    x = torch.nonzero(inside).float()
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-3)
    columns = [torch.ones(len(x), device=x.device)]
    for p in range(3):
        columns += [x[:, p], *(x[:, p] * x[:, q] for q in range(p + 1))]
    return torch.linalg.qr(torch.stack(columns, dim=1)).Q


def _without(values: Tensor, basis: Tensor) -> Tensor:
    return values - basis @ (basis.T @ values)


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(a.norm() * b.norm())
    return float(a @ b) / norm if norm > 0 else math.nan
