"""What the scanner adds: shim, receive sensitivity, noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.volume import Geometry


def shim_(field_ppm: Tensor, brain: Tensor, seed: int, every: int = 8) -> None:
    """Shim a field of cubic voxels in place: subtract its second-order fit over the brain.

    The terms are solid harmonics, as the fields of shim coils are. A random linear part of
    0.05 ppm over half the longest side stays, as no shim is perfect.
    """
    shape = field_ppm.shape
    half = (max(shape) - 1) / 2
    k, j, i = (
        ((torch.arange(n) - (n - 1) / 2) / half).view([-1 if a == axis else 1 for a in range(3)])
        for axis, n in enumerate(shape)
    )
    one = torch.ones(1, 1, 1)
    terms = [one, k, j, i, k * j, k * i, j * i, k * k - j * j, j * j - i * i]
    thin = (slice(None, None, every),) * 3
    inside = brain[thin]
    design = torch.stack([t.expand(shape)[thin][inside] for t in terms], dim=1).double()
    target = field_ppm[thin][inside].double()[:, None]
    fit = torch.linalg.lstsq(design, target).solution[:, 0]
    fit[1:4] += torch.from_numpy(np.random.default_rng([seed, 77]).normal(0, 0.05, 3))
    for weight, term in zip(fit.tolist(), terms, strict=True):
        field_ppm -= weight * term


def world_axes(grid: Geometry, unit_mm: float) -> list[Tensor]:
    """Return world coordinates (x, y, z) of every voxel in units of so many mm."""
    axes = [torch.arange(n, dtype=torch.float32) for n in grid.shape]
    corner = grid.world(np.zeros(3)) / unit_mm
    world = []
    for w in range(3):
        value = torch.full(grid.shape, float(corner[w]))
        for a in range(3):
            step = grid.direction_matrix[w, 2 - a] * grid.spacing_kji[a] / unit_mm
            value += float(step) * axes[a].view([-1 if n == a else 1 for n in range(3)])
        world.append(value)
    return world


class ReceiveField:
    """Complex receive sensitivity: smooth in space, drawn from a seed.

    Parameters
    ----------
    seed : int
        Of the phase and the shading.
    poles : int
        Lines through the head about which the phase winds, as in badly combined coils.
    """

    def __init__(self, seed: int, poles: int = 0) -> None:
        rng = np.random.default_rng([seed, 57])
        self.phase = rng.normal(0, 1, 7) * np.array([1.5, 0.8, 0.8, 0.8, 0.5, 0.5, 0.5])
        self.shading = rng.normal(0, 0.12, 3)
        own = np.random.default_rng([seed, 9207])
        self.poles = [(own.uniform(-0.5, 0.5, 2), own.uniform(-0.3, 0.3, 2)) for _ in range(poles)]

    def __call__(self, grid: Geometry) -> Tensor:
        """Return the sensitivity on a grid; positions are scaled by 100 mm."""
        x, y, z = world_axes(grid, 100.0)
        p = [float(v) for v in self.phase]
        angle = p[0] + p[1] * x + p[2] * y + p[3] * z + p[4] * x * y + p[5] * y * z + p[6] * x * z
        for place, lean in self.poles:
            u = x - float(place[0]) - float(lean[0]) * z
            v = y - float(place[1]) - float(lean[1]) * z
            angle += torch.atan2(v, u)
        s = [float(v) for v in self.shading]
        gain = torch.exp(0.12 * (x * x + y * y + z * z) + s[0] * x + s[1] * y + s[2] * z)
        return torch.polar(gain, angle)


def noise_sd(first_echo: Tensor, mask: NDArray[np.bool_], snr: float) -> float:
    """Noise SD of one channel for an SNR of the first echo over the brain."""
    if math.isinf(snr) or not mask.any():
        return 0.0
    return float(first_echo.abs()[torch.from_numpy(mask)].mean()) / snr


def add_noise(
    echoes: Tensor,
    sigma: float,
    rng: np.random.Generator,
    after: Callable[[Tensor], Tensor] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Add complex noise; returns magnitude and wrapped phase (echo, k, j, i).

    ``after`` is done to every complex echo once it has its noise.
    """
    magnitude = np.empty(tuple(echoes.shape), dtype=np.float32)
    phase = np.empty_like(magnitude)
    for echo in range(echoes.shape[0]):
        wave = echoes[echo].numpy().astype(np.complex64)
        if sigma > 0:
            wave.real += np.float32(sigma) * rng.standard_normal(wave.shape, dtype=np.float32)
            wave.imag += np.float32(sigma) * rng.standard_normal(wave.shape, dtype=np.float32)
        if after is not None:
            wave = after(torch.from_numpy(wave)).numpy()
        magnitude[echo] = np.abs(wave)
        phase[echo] = np.angle(wave)
    return magnitude, phase
