"""A head of ellipsoids, drawn and convolved at twice the resolution, for tests of the inversion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.dipole import DipoleOperator

# Center (x, y, z) and semi-axes in mm of the right-hand nuclei, and net susceptibility in ppm.
NUCLEI = {
    "caudate": ((13, -16, 12), (5, 14, 8), 0.040),
    "putamen": ((25, -4, 4), (5, 15, 9), 0.067),
    "globus pallidus": ((17, 0, 2), (4.5, 9, 6), 0.119),
    "red nucleus": ((5, 14, -12), (3.2, 3.5, 4), 0.102),
    "dentate nucleus": ((14, 48, -34), (6, 7, 4), 0.150),
    "substantia nigra": ((10, 10, -15), (5.5, 4, 3), 0.105),
}


@dataclass(frozen=True, eq=False)
class EllipsoidHead:
    """What is known of a simulated head: maps to invert, the truth, labels of the nuclei."""

    maps: Maps
    chi_ppm: np.ndarray
    labels: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        return self.maps.mask.numpy()

    @property
    def regions(self) -> dict[str, tuple[int, ...]]:
        return {name: (n,) for n, name in enumerate(NUCLEI, 1)}


def ellipsoid_head(
    seed: int,
    shape: tuple[int, int, int] = (72, 96, 96),
    spacing_kji: tuple[float, float, float] = (2.0, 2.0, 2.0),
    b0_kji: tuple[float, float, float] = (1.0, 0.0, 0.0),
    noise_ppm: float = 0.002,
) -> EllipsoidHead:
    """Draw a head, convolve it on the fine grid without wrap-around, and average down."""
    rng = np.random.default_rng(seed)
    fine = tuple(2 * n for n in shape)
    step = tuple(s / 2 for s in spacing_kji)
    chi, brain, labels = _draw(fine, step, rng)
    chi *= brain
    field = DipoleOperator(fine, step, b0_kji, pad=1.0)(torch.from_numpy(chi)).numpy()
    mask = _halve(brain) > 0.5
    field = _halve(field) + rng.normal(0, noise_ppm, shape).astype(np.float32)
    maps = Maps(
        mask=torch.from_numpy(mask),
        spacing_kji=spacing_kji,
        b0_kji=b0_kji,
        local_field=torch.from_numpy(np.where(mask, field, 0)),
    )
    whole = np.stack([_halve((labels == n).astype(np.float32)) for n in range(1, len(NUCLEI) + 1)])
    coarse = np.where(whole.max(0) > 0.9, whole.argmax(0) + 1, 0).astype(np.int16)
    return EllipsoidHead(maps, _halve(chi), coarse)


def _draw(shape, step, rng):
    """Susceptibility in ppm, brain (0 or 1) and labels of the nuclei on the fine grid."""
    axes = [
        (np.arange(n, dtype=np.float32) - (n - 1) / 2) * s for n, s in zip(shape, step, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    semi = np.array([68, 82, 62]) * rng.uniform(0.96, 1.02, 3)
    rho = np.sqrt((x / semi[0]) ** 2 + (y / semi[1]) ** 2 + (z / semi[2]) ** 2)
    brain = (rho < 1).astype(np.float32)
    depth = (1 - rho) * 68 + 3.2 * _ripples(x, y, z, rng)
    chi = np.where(depth < 2.5, 0.019, np.where(depth < 5.5, 0.020, -0.012)).astype(np.float32)
    tracts = _texture(shape, step, 12.0, rng) * 0.006 + _texture(shape, step, 1.5, rng) * 0.002
    chi += np.where(depth > 5.5, tracts, 0.3 * tracts)
    labels = np.zeros(shape, np.int16)
    for side in (-1, 1):
        for center, radii in (((9, -8, 18), (4, 20, 6)), ((22, 26, 4), (4, 12, 5))):
            chi[_ball(center, radii, side, x, y, z, rng)] = 0.019  # ventricles
        chi[_ball((11, 12, 6), (9, 14, 8), side, x, y, z, rng)] = rng.normal(0.002, 0.002)
        for number, (center, radii, value) in enumerate(NUCLEI.values(), 1):
            inside = _ball(center, radii, side, x, y, z, rng)
            chi[inside] = value * rng.normal(1, 0.08) + tracts[inside]
            labels[inside] = number
    for _ in range(8):  # lesions: a core, half of them with a rim
        center, radius = rng.uniform((-35, -45, 5), (35, 45, 35)), rng.uniform(2.5, 6)
        core, rim = rng.uniform(-0.01, 0.03), rng.choice([0.0, 0.04])
        distance = np.sqrt((x - center[0]) ** 2 + (y - center[1]) ** 2 + (z - center[2]) ** 2)
        chi[distance < radius] = core + rim
        chi[distance < radius - 1.5] = core
    _add_veins(chi, labels, step, rng)
    chi[_ball((22, 30, 5), (2, 2, 2), 1, x, y, z, rng)] = -0.7  # choroid calcification
    return chi, brain, labels


def _ball(center, radii, side, x, y, z, rng):
    center = (np.array(center) + rng.normal(0, 1, 3)) * (side, 1, 1)
    scaled = zip((x, y, z), center, radii, strict=True)
    return sum(((axis - c) / r) ** 2 for axis, c, r in scaled) < 1


def _ripples(x, y, z, rng):
    """Waves of about 14 mm in random directions: the folds of the cortex."""
    waves = 0
    for _ in range(6):
        direction = rng.normal(size=3)
        direction *= 2 * np.pi / rng.uniform(11, 18) / np.linalg.norm(direction)
        phase = direction[0] * x + direction[1] * y + direction[2] * z + rng.uniform(0, 6.28)
        waves = waves + np.sin(phase)
    return waves.astype(np.float32) / np.sqrt(3)


def _texture(shape, step, width_mm, rng):
    """Gaussian field of unit SD with the given correlation width."""
    coarse = [max(4, int(n * s / width_mm) + 4) for n, s in zip(shape, step, strict=True)]
    knots = rng.normal(0, 1.5, coarse).astype(np.float32)
    texture = ndimage.zoom(knots, np.array(shape) / coarse, order=1, grid_mode=True, mode="nearest")
    return texture / texture.std()


def _add_veins(chi, labels, step, rng):
    """Thirty curved tubes of radius 0.5-1.2 mm."""
    shape = np.array(chi.shape)
    for _ in range(30):
        point, heading = rng.uniform((-25, -60, -50), (45, 60, 50)), rng.normal(size=3)
        radius, value = rng.uniform(0.5, 1.2), rng.normal(0.19, 0.02)
        reach = np.array([int(np.ceil(radius / s)) for s in step])
        box = np.indices(2 * reach + 1).reshape(3, -1).T - reach
        for _ in range(int(rng.uniform(40, 120))):
            heading += rng.normal(0, 0.15, 3)
            heading /= np.linalg.norm(heading)
            point = point + 0.5 * heading
            center = point / step + (shape - 1) / 2
            voxels = np.round(center).astype(int) + box
            inside = (((voxels - center) * step) ** 2).sum(1) <= radius**2
            voxels = voxels[inside & np.all((voxels >= 0) & (voxels < shape), axis=1)]
            chi[tuple(voxels.T)] = value
            labels[tuple(voxels.T)] = 0


def _halve(a):
    """Average blocks of 2x2x2 voxels."""
    k, j, i = (n // 2 for n in a.shape)
    return a.reshape(k, 2, j, 2, i, 2).mean(axis=(1, 3, 5), dtype=np.float32)
