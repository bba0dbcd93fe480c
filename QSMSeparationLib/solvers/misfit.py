"""How much of a local field no isotropic source explains, found in the field itself.

The field is f = D chi + m: of white matter's anisotropy and microstructure, of rests of background,
of veins within a voxel and of noise, no susceptibility explains m. Its power at a spatial frequency
k does not know where the cone of the dipole lies, while that of D chi goes with D^2: over the
directions of k at one |k|

    mean |f(k)|^2 = D^2 S(|k|) + M(|k|),

a straight line in D^2, of sources S and misfit M. On the field of the 2016 challenge the line fits
to a few percent in every shell, and the SD of M is within a quarter of what a map from twelve
orientations leaves. With S and M known, Wiener's filter is the best linear inversion
(:func:`wiener`), and errors of the field can be weighted as they deserve (``trusted``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.fourier import inverse_rfftn, squared_frequency
from QSMSeparationLib.physics.smoothing import gaussian, sum_of_27
from QSMSeparationLib.solvers.window import Window, scale_

Array = NDArray[np.float64]

_LONGEST_MM, _SHELL_RATIO = 52.0, 1.36
"""Wavelength at which the first shell begins, and the ratio of two borders. Longer waves do not fit
often enough into a brain for a line."""

_DIPOLE_BORDERS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Of |D|, between the points of the line."""

_EDGE_MM = 4.0
"""SD of the Gaussian that takes the field gently to 0 at the border of the mask."""

_LEAST_TAPER = 0.1
"""Share of the mask that must be left by it, or the border stays sharp."""

_LEAKED = 0.008
"""Share of the sources' power that the border of the brain spreads onto the cone: measured on label
map 15 without misfit, looked at on seed 900 with it."""

_LEAST_WAVES = 200
"""In a shell, for a line."""

_SMALLEST_SD_PPM = 5e-4
"""Of the misfit: no field is measured better, and weights are shares of it."""

_TRUST_POWER = 0.5
"""q = (least M / M)^this. 1 were right if iterations went on to their end; in a few rounds they do
not reach the long waves, of which so little would be left (settings heads)."""


_INVERSION_ERROR_PPM = 0.006
"""Error of net chi in a voxel of a clean field, beside that of the best linear inversion. Settings
heads: errors of 12, 7 and 16 ppb where the sum of both says 9, 7 and 17."""

_USUAL_NET_ERROR_PPM = 0.010
"""Error of net chi where its field is not known: between a clean field's and a real one's."""


@dataclass(frozen=True, eq=False)
class FieldPower:
    """Power of a local field over spatial frequency, in ppm^2 a voxel.

    Parameters
    ----------
    window : Window
        Grid on which it was found.
    frequency : ndarray
        Middle of each shell, in cycles/mm.
    misfit, sources : ndarray
        M and S.
    """

    window: Window
    frequency: Array
    misfit: Array
    sources: Array

    @cached_property
    def misfit_map(self) -> Tensor:
        """M(|k|) on the half spectrum of the window."""
        return self._on_grid(self.misfit)

    @cached_property
    def misfit_over_sources(self) -> Tensor:
        """M / S on the half spectrum of the window."""
        return self._on_grid(self.misfit / self.sources)

    @property
    def least_sd_ppm(self) -> float:
        """SD of the misfit if it were everywhere as at the waves where it is least."""
        return math.sqrt(float(self.misfit.min()))

    @cached_property
    def misfit_sd_ppm(self) -> float:
        """SD of the field that no source explains."""
        return math.sqrt(self.window.spectral_mean(self.misfit_map))

    def trust(self) -> Tensor:
        """Return q, the trust in each frequency of the field: 1 where its misfit is least."""
        return (self.least_sd_ppm**2 / self.misfit_map).pow_(_TRUST_POWER)

    def _on_grid(self, values: Array) -> Tensor:
        """Interpolate over the shells, both in logarithms; constant beyond them."""
        window = self.window
        squared = squared_frequency(window.padded, window.spacing_kji, window.dipole.device)
        place = squared.clamp_(min=1e-12).log_().mul_(0.5)
        result = torch.full_like(place, math.log(values[0]))
        known = np.log(self.frequency)
        for n in range(len(values) - 1):
            slope = math.log(values[n + 1] / values[n]) / (known[n + 1] - known[n])
            width = float(known[n + 1] - known[n])
            result += (place - float(known[n])).clamp_(0, width).mul_(slope)
        return result.exp_()


def field_misfit_ppm(maps: Maps) -> float:
    """Return the SD of what no isotropic source explains of a local field, in ppm."""
    return field_power(maps, Window(maps)).misfit_sd_ppm


def field_power(maps: Maps, window: Window) -> FieldPower:
    """Find the power of sources and of misfit in a local field.

    Parameters
    ----------
    maps : Maps
        With ``local_field``.
    window : Window
        Padded grid.
    """
    taper = window.embed(_taper(maps))
    field = believed_field(maps, window)
    field -= (field * taper).sum() / taper.sum()
    spectrum = torch.fft.rfftn(field.mul_(taper))
    power = spectrum.real.square().add_(spectrum.imag.square()).div_(taper.square().sum())
    del spectrum, field
    shells = [
        (middle, *line)
        for middle, *points in _points(power, window)
        if (line := _line(*points)) is not None
    ]
    if not shells:  # too small a mask: all of it is taken as sources, but for the smallest noise
        mean = float(power.mean())
        shells = [(1.0, _SMALLEST_SD_PPM**2, max(mean, _SMALLEST_SD_PPM**2))]
    frequency, misfit, sources = np.array(shells).T
    least = max(float(misfit[-2:].min()), _SMALLEST_SD_PPM**2)
    return FieldPower(window, frequency, np.maximum(misfit - _LEAKED * sources, least), sources)


def expected_error(power: FieldPower, gain: Tensor) -> float:
    """Return the mean squared error, in ppm^2, of an inversion chi(k) = gain(k) f(k).

    It loses sources where gain D is not 1, and takes up misfit times the gain.
    """
    sources = power.misfit_map / power.misfit_over_sources
    lost = (gain * power.window.dipole).sub_(1).square_().mul_(sources)
    return power.window.spectral_mean(lost.add_(gain.square() * power.misfit_map))


def net_error_ppm(maps: Maps) -> float:
    """Return the SD of the error to expect of net chi in a voxel.

    The best linear inversion would err by what the misfit and the power of the sources say; what
    voxels and the border of the mask add to it is the same in all heads.
    """
    if maps.local_field is None:
        return _USUAL_NET_ERROR_PPM
    power = field_power(maps, Window(maps))
    best = expected_error(power, _wiener_gain(power))
    return math.hypot(_INVERSION_ERROR_PPM, math.sqrt(best))


def best_setting(power: FieldPower, gain_of: Callable[[float], Tensor], settings: Array) -> float:
    """Return the setting of least expected error.

    Parameters
    ----------
    power : FieldPower
        Of the field.
    gain_of : callable
        gain(k) of a setting.
    settings : ndarray
        Some settings, rising by a constant factor; a parabola goes through the best three.
    """
    errors = [expected_error(power, gain_of(float(setting))) for setting in settings]
    best = min(max(int(np.argmin(errors)), 1), len(settings) - 2)
    before, here, after = errors[best - 1 : best + 2]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    factor = settings[1] / settings[0]
    return float(settings[best] * factor ** min(max(shift, -1.0), 1.0))


def believed_field(maps: Maps, window: Window) -> Tensor:
    """Return the local field on the grid of a window, mixed with its neighbors where trust is low."""
    (field_ppm,) = maps.need("local_field")
    field = window.embed(field_ppm)
    trust = window.embed(maps.trust * field_ppm.isfinite())
    known = trust[trust > 0]
    trust.div_(known.median() if known.numel() else 1.0).clamp_(max=1)
    around = sum_of_27(field * trust).div_(sum_of_27(trust).clamp_(min=1e-3))
    return torch.lerp(around, field, trust).mul_(window.embed(maps.mask.float()))


def misfit_share(maps: Maps, power: FieldPower) -> float:
    """Return the SD of the misfit over that of the field, at most 1."""
    (field_ppm,) = maps.need("local_field")
    values = field_ppm[maps.mask]
    spread = float(values[values.isfinite()].std())
    return power.misfit_sd_ppm / max(spread, power.misfit_sd_ppm)


def wiener(maps: Maps, power: FieldPower) -> Tensor:
    """Return the best linear inversion of the field on the grid of the window: D f / (D^2 + M/S)."""
    window = power.window
    gain = _wiener_gain(power)
    spectrum = scale_(torch.fft.rfftn(believed_field(maps, window)), gain)
    return inverse_rfftn(spectrum, window.padded)


def _wiener_gain(power: FieldPower) -> Tensor:
    dipole = power.window.dipole
    return dipole / (dipole.square() + power.misfit_over_sources)


def _taper(maps: Maps) -> Tensor:
    """Return 1 deep in the mask, falling to 0 at its border."""
    inside = maps.mask.float()
    deep = gaussian(inside, _EDGE_MM, maps.spacing_kji).sub_(0.5).div_(0.45).clamp_(0, 1)
    deep *= inside
    return deep if float(deep.sum()) > _LEAST_TAPER * float(inside.sum()) else inside


def _points(power: Tensor, window: Window) -> list[tuple[float, Array, Array, Array]]:
    """Return of every shell its middle, and counts, mean D^2 and mean power over bins of |D|."""
    finest = 0.5 / max(window.spacing_kji)
    count = 1 + int(math.log(finest * _LONGEST_MM) / math.log(_SHELL_RATIO))
    borders = [_SHELL_RATIO**n / _LONGEST_MM for n in range(count + 1)]
    squared = squared_frequency(window.padded, window.spacing_kji, power.device)
    squares = torch.tensor([b * b for b in borders], device=power.device)
    bins = len(_DIPOLE_BORDERS) + 1
    shell = torch.bucketize(squared, squares)
    del squared
    limits = torch.tensor(_DIPOLE_BORDERS, device=power.device)
    place = shell.mul_(bins).add_(torch.bucketize(window.dipole.abs(), limits)).flatten()
    size = (count + 2) * bins

    columns = window.columns.expand_as(power)

    def total(values: Tensor | None) -> Array:
        weights = columns if values is None else values * columns
        return (
            torch.bincount(place, weights.flatten().double(), size).cpu().numpy().reshape(-1, bins)
        )

    number, dipole, found = total(None), total(window.dipole.square()), total(power)
    rows = []
    for n in range(count):
        some = number[n + 1] > 0
        counts = number[n + 1][some]
        if counts.sum() >= _LEAST_WAVES and len(counts) > 2:
            middle = math.sqrt(borders[n] * borders[n + 1])
            rows.append((middle, counts, dipole[n + 1][some] / counts, found[n + 1][some] / counts))
    return rows


def _line(counts: Array, squares: Array, power: Array) -> tuple[float, float] | None:
    """Fit M + S D^2 by least squares; a mean power is known to its own size over root counts."""
    matrix = np.stack([np.ones_like(squares), squares], axis=1)
    expected = np.full_like(power, power.mean())
    found = np.zeros(2)
    for _ in range(6):
        weight = np.sqrt(counts) / expected
        found = np.linalg.lstsq(matrix * weight[:, None], power * weight, rcond=None)[0]
        expected = np.maximum(matrix @ found, 1e-3 * power.max() + 1e-30)
    misfit, sources = found
    return (max(misfit, 0.0), sources) if sources > 0 else None
