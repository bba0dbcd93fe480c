"""Veins too thin for a label map: internal cerebral, medullary and sulcal ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import CubicSpline

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.simulation.anatomy import Vessel
from QSMSeparationLib.simulation.label_map.structures import Frame
from QSMSeparationLib.simulation.tissues import (
    EXTRACEREBRAL_CSF_LABEL,
    LABELS,
    PARENCHYMA_LABELS,
    WHITE_MATTER,
)

_STEP_MM = 0.5
_MEDULLARY = 70
_SULCAL = 90
_MANY = 60
_LATERAL_VENTRICLES = (4, 43)
_CORTEX = (3, 42)

_INTERNAL_CEREBRAL = ((2.5, -2, 14), (2.5, 10, 16), (3.0, 22, 14), (2.5, 34, 9), (0.0, 40, 9))
_GALEN = ((0.0, 40, 9), (0.0, 45, 11), (0.0, 49, 14), (0.0, 52, 17))


def draw_veins(volume: Volume, frame: Frame, seed: int) -> tuple[Vessel, ...]:
    """Draw the veins of one person.

    Internal cerebral veins and the great vein of Galen follow their course in MNI
    space. Medullary veins leave the wall of the lateral ventricles and run outwards
    through white matter; sulcal veins climb from the depth of a sulcus to the surface
    of the brain.

    Parameters
    ----------
    volume : Volume
        Labels on an upright grid, LPS.
    frame : Frame
        Where MNI space lies in the person's world.
    seed : int
        Person.
    """
    rng = np.random.default_rng([seed, 505])
    veins = _central_veins(frame, rng)
    veins += _medullary_veins(volume, rng)
    veins += _sulcal_veins(volume, rng)
    return tuple(veins)


def small_veins(volume: Volume, seed: int) -> tuple[Vessel, ...]:
    """Draw many more veins of about a voxel, for a head that has large ones already."""
    rng = np.random.default_rng([seed, 9304])
    medullary = _medullary_veins(volume, rng, _MANY, (32.0, 0.08, 0.1, 0.3))
    return (*medullary, *_sulcal_veins(volume, rng, _MANY, (20.0, 0.08, 0.4, 0.2)))


def _resampled(points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth curve through points, sampled every 0.5 mm or less."""
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points_mm, axis=0), axis=1))]
    count = max(2, int(np.ceil(1.15 * length[-1] / _STEP_MM)) + 1)
    return CubicSpline(length, points_mm)(np.linspace(0, length[-1], count))


def _central_veins(frame: Frame, rng: np.random.Generator) -> list[Vessel]:
    """Internal cerebral veins of both sides, and the vein of Galen behind them."""
    veins = []
    for sign in (1.0, -1.0):
        course = np.array(_INTERNAL_CEREBRAL) * (sign, 1, 1)
        course[1:-1] += rng.normal(0, 0.4, (len(course) - 2, 3))
        points = _resampled(frame.world(course))
        veins.append(Vessel(points, np.linspace(0.6, 1.1, len(points))))
    points = _resampled(frame.world(np.array(_GALEN)))
    return [*veins, Vessel(points, np.linspace(1.3, 1.9, len(points)))]


def _crop(volume: Volume, by: int = 2) -> tuple[NDArray[np.int16], Geometry]:
    """Labels of the cerebrum, and their grid."""
    cerebrum = np.isin(volume.array, (2, 41, *_CORTEX))
    box = tuple(
        slice(max(0, b.start - by), min(n, b.stop + by))
        for b, n in zip(
            ndimage.find_objects(cerebrum.astype(np.uint8))[0], cerebrum.shape, strict=True
        )
    )
    labels = volume.array[box]
    origin = volume.geometry.world(np.array([b.start for b in box]))
    return labels, Geometry(labels.shape, volume.geometry.spacing_mm, tuple(origin))


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance to a mask, in voxels of 1 mm."""
    return ndimage.distance_transform_edt(~mask).astype(np.float32)


def _walk(
    start: NDArray[np.float64],
    gradient: NDArray[np.float32],
    inside: NDArray[np.bool_],
    length_mm: float,
    wander: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Points (k, j, i) of a path up a gradient that ends at the border of ``inside``."""
    point, heading = start.astype(np.float64), np.zeros(3)
    path = [point]
    for _ in range(int(length_mm / _STEP_MM)):
        at = tuple(np.rint(point).astype(int))
        uphill = gradient[(slice(None), *at)]
        norm = float(np.linalg.norm(uphill))
        heading = 0.75 * heading + 0.25 * uphill / max(norm, 1e-3) + rng.normal(0, wander, 3)
        heading /= max(float(np.linalg.norm(heading)), 1e-3)
        point = point + _STEP_MM * heading
        at = np.rint(point).astype(int)
        if np.any(at < 0) or np.any(at >= inside.shape) or not inside[tuple(at)]:
            break
        path.append(point)
    return np.array(path)


def _veins_along(
    starts: NDArray[np.int64],
    gradient: NDArray[np.float32],
    inside: NDArray[np.bool_],
    grid: Geometry,
    shape: tuple[float, float, float, float],
    rng: np.random.Generator,
) -> list[Vessel]:
    """Grow veins; ``shape`` is (longest mm, wander, radius at the thin and the thick end)."""
    longest, wander, thin, thick = shape
    veins = []
    for start in starts:
        path = _walk(start, gradient, inside, rng.uniform(0.4, 1) * longest, wander, rng)
        if len(path) < 10:
            continue
        points = _resampled(grid.world(path[::3]))
        radius = np.linspace(thick, thin, len(points)) * rng.uniform(0.8, 1.2)
        veins.append(Vessel(points, radius))
    return veins


def _medullary_veins(
    volume: Volume,
    rng: np.random.Generator,
    count: int = _MEDULLARY,
    shape: tuple[float, float, float, float] = (32.0, 0.06, 0.15, 0.4),
) -> list[Vessel]:
    """From the ventricles' wall outwards, thinner on the way."""
    labels, grid = _crop(volume)
    white = np.isin(labels, [n for n, name in LABELS.items() if name in WHITE_MATTER])
    wall = _distance(np.isin(labels, _LATERAL_VENTRICLES))
    starts = np.argwhere(white & (wall < 1.8))
    if len(starts) == 0:
        return []
    starts = starts[rng.permutation(len(starts))[:count]]
    gradient = np.array(np.gradient(ndimage.gaussian_filter(wall, 1.5)))
    return _veins_along(starts, gradient, white, grid, shape, rng)


def _sulcal_veins(
    volume: Volume,
    rng: np.random.Generator,
    count: int = _SULCAL,
    shape: tuple[float, float, float, float] = (30.0, 0.05, 0.9, 0.4),
) -> list[Vessel]:
    """From the depth of sulci to the surface, thicker on the way."""
    labels, grid = _crop(volume)
    sulci = labels == EXTRACEREBRAL_CSF_LABEL
    inside = sulci | np.isin(labels, PARENCHYMA_LABELS)
    depth = ndimage.distance_transform_edt(inside).astype(np.float32)
    clear = ndimage.distance_transform_edt(sulci).astype(np.float32)
    starts = np.argwhere(sulci & (depth > 10) & (clear < 2.5))
    if len(starts) == 0:
        return []
    starts = starts[rng.permutation(len(starts))[:count]]
    # Up to the surface, and away from the walls of the sulcus.
    climb = -ndimage.gaussian_filter(depth, 1.5) + ndimage.gaussian_filter(clear, 1.0)
    gradient = np.array(np.gradient(climb))
    return _veins_along(starts, gradient, sulci, grid, shape, rng)
