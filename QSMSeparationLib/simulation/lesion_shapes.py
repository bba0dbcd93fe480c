"""Shapes of MS lesions: smooth level sets on a small grid, and distances to their border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.runtime.errors import InputError

SPACING_MM = 0.5
"""Voxel size of a lesion's own grid."""
MARGIN_MM = 5.0
"""How far that grid reaches beyond the border, at least."""
_REAL_DIAMETER_MM = (3.0, 22.0)

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RealShape:
    """A lesion cut from a mask.

    Parameters
    ----------
    depth_mm : ndarray
        Signed distance to its border, positive inside, at 1 mm.
    center : ndarray
        Center of mass in voxels (k, j, i).
    diameter_mm : float
        Diameter of the sphere of the same volume.
    reach_mm : float
        Distance of the farthest voxel from the center.
    """

    depth_mm: Array
    center: NDArray[np.float64]
    diameter_mm: float
    reach_mm: float


def random_rotation(
    rng: np.random.Generator, axis: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return a random rotation whose first column is ``axis``, or any."""
    first = rng.normal(size=3) if axis is None else np.asarray(axis, dtype=np.float64)
    basis, upper = np.linalg.qr(np.column_stack([first, rng.normal(size=(3, 2))]))
    basis *= np.sign(np.diag(upper))
    basis[:, 2] *= np.sign(np.linalg.det(basis))
    return basis


def local_grid(center_mm: NDArray[np.float64], reach_mm: float) -> Geometry:
    """Return an upright cubic grid around a world position, margin included."""
    half = int(np.ceil((reach_mm + MARGIN_MM) / SPACING_MM))
    side = 2 * half + 1
    origin = np.asarray(center_mm) - half * SPACING_MM
    return Geometry((side,) * 3, (SPACING_MM,) * 3, tuple(origin))


def _offsets(grid: Geometry, rotation: NDArray[np.float64]) -> list[Array]:
    """Coordinates (x', y', z') in mm from the grid's center along the columns of ``rotation``."""
    half = (np.asarray(grid.shape) - 1) / 2
    z, y, x = (
        ((np.arange(n) - h) * s).astype(np.float32)
        for n, h, s in zip(grid.shape, half, grid.spacing_kji, strict=True)
    )
    x, y, z = x[None, None, :], y[None, :, None], z[:, None, None]
    turn = rotation.astype(np.float32)
    return [turn[0, c] * x + turn[1, c] * y + turn[2, c] * z for c in range(3)]


def ellipsoid_depth(
    grid: Geometry,
    semi_axes_mm: Sequence[float] | NDArray[np.floating],
    rotation: NDArray[np.float64],
    roughness: float,
    rng: np.random.Generator,
) -> Array:
    """Return the depth below the border of an ellipsoid dented by smooth noise.

    Parameters
    ----------
    grid : Geometry
        Upright cubic grid, the lesion at its center.
    semi_axes_mm : sequence of float
        Semi-axes along the columns of ``rotation``.
    rotation : ndarray
        Orthonormal matrix, (x, y, z) rows.
    roughness : float
        SD of the dents relative to the mean semi-axis.
    rng : numpy.random.Generator
        Source of the dents.
    """
    mean = float(np.prod(semi_axes_mm) ** (1 / 3))
    square = sum(
        (offset / np.float32(axis)) ** 2
        for offset, axis in zip(_offsets(grid, rotation), semi_axes_mm, strict=True)
    )
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, 0.45 * mean / SPACING_MM)
    noise *= roughness / max(float(noise.std()), 1e-12)
    return (mean * (1 - np.sqrt(square) + noise)).astype(np.float32)


def real_shapes(masks: Sequence[Volume]) -> list[RealShape]:
    """Cut every lesion of 3 to 22 mm out of binary masks, as smooth signed distances."""
    shapes = []
    for mask in masks:
        if mask.array.max() <= 0:
            raise InputError(f"{mask.source}: no lesion in this mask; leave it out")
        components, _ = ndimage.label(mask.array > 0)
        for number, box in enumerate(ndimage.find_objects(components), start=1):
            part = components[box] == number
            volume = part.sum() * mask.geometry.voxel_volume_mm3
            if _REAL_DIAMETER_MM[0] <= (6 * volume / np.pi) ** (1 / 3) <= _REAL_DIAMETER_MM[1]:
                shape = _real_shape(part, mask.geometry.spacing_kji)
                if shape is not None:
                    shapes.append(shape)
    return shapes


def _real_shape(part: NDArray[np.bool_], spacing_kji: Sequence[float]) -> RealShape | None:
    """Signed distance of one component, stretched to 1 mm and smoothed; None for threads."""
    part = np.pad(part, 3)
    depth = ndimage.distance_transform_edt(part, sampling=spacing_kji)
    depth -= ndimage.distance_transform_edt(~part, sampling=spacing_kji)
    depth = ndimage.zoom(depth.astype(np.float32), spacing_kji, order=1)
    depth = ndimage.gaussian_filter(depth, 0.7)
    inside = np.argwhere(depth > 0)
    diameter = float((6 * len(inside) / np.pi) ** (1 / 3))
    if diameter < 0.8 * _REAL_DIAMETER_MM[0]:
        return None
    center = inside.mean(axis=0)
    reach = float(np.linalg.norm(inside - center, axis=1).max())
    return RealShape(depth, center, diameter, reach)


def real_depth(
    grid: Geometry, shape: RealShape, diameter_mm: float, rotation: NDArray[np.float64]
) -> Array:
    """Return the depth of a real lesion, turned and scaled to a diameter, on a local grid."""
    scale = diameter_mm / shape.diameter_mm
    x, y, z = _offsets(grid, rotation)
    where = [
        offset / np.float32(scale) + c for offset, c in zip((z, y, x), shape.center, strict=True)
    ]
    outside = float(-shape.reach_mm)
    depth = ndimage.map_coordinates(shape.depth_mm, where, order=1, cval=outside)
    return (depth * scale).astype(np.float32)


def part_at(inside: NDArray[np.bool_], index: Sequence[int]) -> NDArray[np.bool_]:
    """Return the connected part of a mask that is nearest to a voxel."""
    components, count = ndimage.label(inside)
    if count <= 1:
        return inside
    number = components[tuple(index)]
    if number == 0:
        number = int(np.argmax(np.bincount(components[inside])))
    return components == number


def signed_distance(level: Array, spacing_mm: float) -> Array:
    """Return the Euclidean distance to the zero level of a smooth field, positive inside.

    Voxels that touch the border are projected on it along the gradient; every other
    voxel takes its distance to the projection of the border voxel nearest to it. That
    keeps the border where it is between the voxels, which a transform of a binary
    mask does not.

    Parameters
    ----------
    level : ndarray
        Positive inside; must change sign somewhere.
    spacing_mm : float
        Voxel size, the same along all axes.
    """
    inside = level > 0
    border = np.zeros(level.shape, dtype=bool)
    for axis in range(3):
        head = [slice(None)] * 3
        tail = [slice(None)] * 3
        head[axis], tail[axis] = slice(1, None), slice(None, -1)
        crossed = inside[tuple(head)] != inside[tuple(tail)]
        border[tuple(head)] |= crossed
        border[tuple(tail)] |= crossed
    gradient = np.array(np.gradient(level, spacing_mm))[:, border]
    slope = np.maximum(np.sqrt((gradient**2).sum(axis=0)), 1e-3)
    step = np.clip(level[border] / slope, -spacing_mm, spacing_mm)
    normal = gradient / slope
    foot = np.argwhere(border).T * spacing_mm - step * normal
    nearest = ndimage.distance_transform_edt(~border, return_distances=False, return_indices=True)
    number = np.zeros(level.shape, dtype=np.int32)
    number[border] = np.arange(foot.shape[1], dtype=np.int32)
    number = number[tuple(nearest)]
    along = np.zeros(level.shape, dtype=np.float32)
    square = np.zeros(level.shape, dtype=np.float32)
    for axis in range(3):
        size = [1, 1, 1]
        size[axis] = -1
        position = (np.arange(level.shape[axis], dtype=np.float32) * spacing_mm).reshape(size)
        offset = position - foot[axis].astype(np.float32)[number]
        along += offset * normal[axis].astype(np.float32)[number]
        square += offset**2
    # Feet lie up to a voxel apart: that much beside the foot is still above the border.
    beside = np.maximum(np.sqrt(np.maximum(square - along**2, 0)) - spacing_mm, 0)
    distance = np.sqrt(along**2 + beside**2)
    distance[border] = np.abs(step)
    return np.where(inside, distance, -distance).astype(np.float32)
