"""What spoils a scan beside noise: uneven coils, flow, two pools, motion, readout, metal.

All of it acts on the voxels of the scan, after the signal was formed. Every effect draws from
its own stream, so that one can be had without moving another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.physics.constants import REFERENCE_B0_T, hz_per_ppm
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.physics.spoiled import signal_at_te0
from QSMSeparationLib.simulation.coil import world_axes

# Two pools (Hwang 2010; Kim 2015): myelin water decays with T2* of 10 ms and T2 of 15 ms at 3 T.
_MYELIN_WATER_PER_PPB = 0.004
_MYELIN_R2STAR_HZ, _MYELIN_R2_HZ = 100.0, 66.0
_MYELIN_SHIFT_PPM = 0.08
"""Frequency of myelin water across B0: 10 Hz at 3 T."""
_POOL_EXCESS_R2STAR_HZ, _POOL_EXCESS_R2_HZ = 25.0, 8.0
"""What a share of 1 of myelin water adds to a log-linear fit over 5-29 ms, and to one of a spin-echo
train: taken off the long pool, so that the rate that is measured stays that of the truth."""

_LARGE_VESSEL_MM = 1.0
_MOTION_DEG, _MOTION_MM = (1.0, 3.5), 1.5
_SHADING_SD = 0.12


@dataclass(frozen=True, eq=False)
class Tissue:
    """Voxel maps that effects depend on: chi- (ppm), R2*, R2 (Hz), T1 (s), water, sin^2, vessels."""

    dia_ppm: Tensor
    r2star_hz: Tensor
    r2_hz: Tensor
    t1_s: Tensor
    water: Tensor
    white: Tensor
    sin2: Tensor
    vessels: Tensor


def moved(grid: Geometry, seed: int) -> tuple[Geometry, dict[str, float]]:
    """Return a grid as it lies in a head that has turned, and by how much it has."""
    rng = np.random.default_rng([seed, 9201])
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = math.radians(rng.uniform(*_MOTION_DEG))
    shift = rng.normal(0, _MOTION_MM, 3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    origin = turn @ np.asarray(grid.origin_mm) + shift
    direction = turn @ grid.direction_matrix
    found = Geometry(grid.shape, grid.spacing_mm, tuple(origin), tuple(direction.ravel()))
    return found, {"turn_deg": math.degrees(angle), "shift_mm": float(np.linalg.norm(shift))}


def shift_phase_(
    echoes: Tensor, field_ppm: Tensor, times: Sequence[float], b0_tesla: float
) -> None:
    """Add a field to echoes (echo, k, j, i) in place."""
    for echo, te in enumerate(times):
        angle = field_ppm * (2 * math.pi * hz_per_ppm(b0_tesla) * te)
        echoes[echo] *= torch.polar(torch.ones_like(angle), angle)


def two_pools_(
    echoes: Tensor, times: Sequence[float], spin: Tensor, spin_times: Sequence[float],
    tissue: Tissue, b0_tesla: float,
) -> None:  # fmt: skip
    """Split the water of white matter in two pools, in place."""
    share = (-1000 * _MYELIN_WATER_PER_PPB * tissue.dia_ppm * tissue.white).clamp_(0, 0.25)
    rate = b0_tesla / REFERENCE_B0_T
    for echo, te in enumerate(times):
        long = (1 - share) * torch.exp(_POOL_EXCESS_R2STAR_HZ * share * te)
        short = share * torch.exp((tissue.r2star_hz - _MYELIN_R2STAR_HZ * rate).clamp(max=0) * te)
        angle = tissue.sin2 * (2 * math.pi * hz_per_ppm(b0_tesla) * _MYELIN_SHIFT_PPM * te)
        echoes[echo] *= long + torch.polar(short, angle)
    for echo, te in enumerate(spin_times):
        long = (1 - share) * torch.exp(_POOL_EXCESS_R2_HZ * share * te)
        spin[echo] *= long + share * torch.exp((tissue.r2_hz - _MYELIN_R2_HZ).clamp(max=0) * te)


def uneven_coils_(
    echoes: Tensor, spin: Tensor, tissue: Tissue, grid: Geometry, excitation: tuple[float, float],
    seed: int,
) -> None:  # fmt: skip
    """Spoil flip angles (5 % too large at the center, 20 % too small at the edge) and brightness."""
    rng = np.random.default_rng([seed, 9202])
    x, y, z = world_axes(grid, 100.0)
    b1 = rng.uniform(1.02, 1.12) - rng.uniform(0.2, 0.4) * (x * x + y * y + 0.7 * z * z)
    b1 = (b1 + rng.normal(0, 0.04) * x + rng.normal(0, 0.04) * y).clamp_(0.5, 1.3)
    slopes = rng.normal(0, _SHADING_SD, 6)
    terms = (x, y, z, x * y, y * z, x * z)
    bright = torch.zeros(grid.shape)
    for slope, term in zip(slopes, terms, strict=True):
        bright += float(slope) * term
    bright.exp_()
    tr_s, flip_deg = excitation
    usual = signal_at_te0(tissue.water, tissue.t1_s, tr_s, flip_deg)
    spoiled = signal_at_te0(tissue.water, tissue.t1_s, tr_s, flip_deg * b1)
    known = (tissue.t1_s > 0.05) & (usual > 1e-6)
    ratio = torch.where(known, spoiled / usual.clamp(min=1e-6), b1)
    for wave in echoes:
        wave *= ratio * bright
    for image in spin:
        image *= b1**3 * bright


def flow_(
    echoes: Tensor, times: Sequence[float], tissue: Tissue, grid: Geometry, seed: int
) -> None:
    """Give moving blood phase that grows with the square of the echo time, and inflow."""
    rng = np.random.default_rng([seed, 9203])
    large = ((gaussian(tissue.vessels, _LARGE_VESSEL_MM, grid.spacing_kji) - 0.3) * 3).clamp_(0, 1)
    knots = [max(3, round(n * s / 40.0)) for n, s in zip(grid.shape, grid.spacing_kji, strict=True)]
    noise = torch.from_numpy(rng.standard_normal((1, 1, *knots), dtype=np.float32))
    speed = torch.nn.functional.interpolate(noise, size=grid.shape, mode="trilinear")[0, 0]
    angle = large * speed.clamp_(-2, 2) * rng.uniform(0.5, 1.5)
    gain = 1 + rng.uniform(0.1, 0.6) * large
    for wave, te in zip(echoes, times, strict=True):
        wave *= torch.polar(gain, angle * (te / times[-1]) ** 2)


def bipolar_(echoes: Tensor, seed: int) -> None:
    """Shift every second echo by a phase that is linear along the readout (i)."""
    rng = np.random.default_rng([seed, 9204])
    constant, slope = rng.uniform(-0.6, 0.6), rng.uniform(0.4, 1.2) * rng.choice([-1, 1])
    along = torch.linspace(-1, 1, echoes.shape[-1]) * float(slope) + float(constant)
    for echo in range(1, len(echoes), 2):
        echoes[echo] *= torch.polar(torch.ones_like(along), 2 * along)


def metal_(
    echoes: Tensor, times: Sequence[float], grid: Geometry, b0_tesla: float, seed: int
) -> Tensor:
    """Spoil field and signal near the teeth, as a filling or a brace does; returns its field."""
    rng = np.random.default_rng([seed, 9205])
    center = np.array([rng.uniform(-25, 25), rng.uniform(-80, -60), rng.uniform(-85, -70)])
    moment = math.exp(rng.uniform(math.log(4e4), math.log(1.5e5)))  # ppm mm^3: chi/3 radius^3
    x, y, z = (w - float(c) for w, c in zip(world_axes(grid, 1.0), center, strict=True))
    square = (x * x + y * y + z * z).clamp_(min=64.0)
    field = moment * square**-1.5 * (3 * z * z / square - 1).clamp_(-1, 2)
    # Across a voxel the field changes by about three times itself over the distance.
    across = 3 * field.abs() / square.sqrt() * max(grid.spacing_mm)
    for wave, te in zip(echoes, times, strict=True):
        wave *= torch.sinc(across * (hz_per_ppm(b0_tesla) * te)).abs()
    shift_phase_(echoes, field, times, b0_tesla)
    return field


def smaller_matrix(wave: Tensor, zero_filling: bool, partial_fourier: bool, seed: int) -> Tensor:
    """Drop what a smaller matrix, or three quarters of k-space, does not measure (k, j, i)."""
    rng = np.random.default_rng([seed, 9206])
    share = float(rng.uniform(0.7, 0.85))
    spectrum = torch.fft.fft2(wave)
    j, i = (torch.fft.fftfreq(n).mul_(2) for n in wave.shape[-2:])
    if zero_filling:
        spectrum *= (j.abs() <= share)[:, None] & (i.abs() <= share)[None]
    if partial_fourier:
        spectrum *= (j >= -0.5)[:, None]
    return torch.fft.ifft2(spectrum)
