"""Shapes, noise and the person's own coordinates, from which a procedural head is built.

Everything is written in *atlas coordinates*: millimeters of a standard brain, x to the
right, y anterior, z superior, the anterior commissure at 0 (near MNI space). A person's
:class:`Space` says for every voxel where it lies in the atlas; scale and a smooth warp
make it another person. Shapes are signed distances, negative inside; those of ellipsoids
and of warped shapes are approximate, and exact enough near their surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from QSMSeparationLib.data.axes import Box, Shape, Triple
from QSMSeparationLib.data.volume import Geometry

Array = NDArray[np.floating]
Point = Triple
SHAPE_KJI = (230, 240, 200)
ORIGIN_MM = (-99.5, -125.0, -132.0)
_ATLAS_CENTER = (0.0, -18.0, 10.0)


@dataclass(frozen=True, eq=False)
class View:
    """A box of the head: atlas coordinates, and the labels in it (written through).

    Parameters
    ----------
    x, y, z : ndarray
        Atlas coordinates in mm; ``x`` points away from the midline when the view was
        made for a side.
    labels : ndarray
        Labels of the box, a view of the head's.
    slices : tuple of slice
        Where the box lies in the head.
    """

    x: Array
    y: Array
    z: Array
    labels: NDArray[np.int16]
    slices: Box

    def near(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Box:
        """Slices of the box between two corners, with room for the warp."""
        k, j, i = (n // 2 for n in self.x.shape)
        slices = []
        for line, a, b in (
            (self.z[:, j, i], low[2], high[2]),
            (self.y[k, :, i], low[1], high[1]),
            (self.x[k, j, :], low[0], high[0]),
        ):
            (hit,) = np.nonzero((line > a - 8) & (line < b + 8))
            slices.append(slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 0))
        return tuple(slices)

    def crop(self, box: Box) -> View:
        """Return a smaller box within this one."""
        return View(self.x[box], self.y[box], self.z[box], self.labels[box], self.slices)

    def paint(self, shape: Array, label: int, where: NDArray[np.bool_] | None = None) -> None:
        """Give ``label`` to the inside of a shape (where allowed)."""
        inside = shape < 0
        if where is not None:
            inside &= where
        self.labels[inside] = label


class Space:
    """The atlas coordinates of every voxel of one person.

    Parameters
    ----------
    seed : int
        The person.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self.geometry = Geometry(SHAPE_KJI, origin_mm=ORIGIN_MM)
        size = 0.93 + 0.013 * np.clip(rng.normal(), -2, 2)
        self.scale = size * (1 + rng.normal(0, 0.015, 3).clip(-0.03, 0.03))
        self.labels: NDArray[np.int16] = np.zeros(SHAPE_KJI, np.int16)
        sign = (-1.0, -1.0, 1.0)
        self._axes = [
            sign[a] * (ORIGIN_MM[a] + np.arange(SHAPE_KJI[2 - a])) / self.scale[a]
            + _ATLAS_CENTER[a]
            for a in range(3)
        ]
        self.coordinates = tuple(self._warped(rng, axis) for axis in range(3))

    def _warped(self, rng: np.random.Generator, axis: int) -> Array:
        """One atlas coordinate with a smooth warp of about 2 mm (four long waves)."""
        grid = [1, 1, 1]
        grid[2 - axis] = -1
        warped = np.broadcast_to(
            self._axes[axis].reshape(grid).astype(np.float32), SHAPE_KJI
        ).copy()
        for amplitude in rng.normal(0, 1.1, 4).clip(-2, 2):
            factors = []
            for points in self._axes:
                wave = 2 * np.pi * points / rng.uniform(110, 240) + rng.uniform(0, 2 * np.pi)
                factors.append(np.sin(wave).astype(np.float32))
            # the amplitude of a product of three sines is made that of one
            plane = (1.6 * amplitude * factors[2])[:, None] * factors[1][None, :]
            warped += plane[:, :, None] * factors[0]
        return warped

    def sample(self, field: Array, world_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Linear interpolation of a field of the whole grid at world positions (n, 3)."""
        index = self.geometry.index(world_mm).T
        return ndimage.map_coordinates(field, index, order=1, mode="nearest").astype(np.float64)

    def sample_labels(self, world_mm: NDArray[np.float64]) -> NDArray[np.int16]:
        """Label at each world position (n, 3)."""
        index = np.rint(self.geometry.index(world_mm)).astype(int)
        return self.labels[tuple(index.clip(0, np.array(SHAPE_KJI) - 1).T)]

    def to_world(self, atlas_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """World positions (n, 3) in mm, LPS, of atlas coordinates (n, 3)."""
        to_lps = np.array([-1.0, -1.0, 1.0]) * self.scale
        atlas = np.asarray(atlas_mm, dtype=np.float64)
        world = (atlas - _ATLAS_CENTER) * to_lps
        for _ in range(3):  # the warp is gentle: a fixed point in few steps
            here = np.stack([self.sample(c, world) for c in self.coordinates], axis=1)
            world = world + (atlas - here) * to_lps
        return world

    def view(self, low: Point, high: Point, side: str = "", margin_mm: float = 7.0) -> View:
        """Return the box between two corners in atlas coordinates.

        With a ``side`` (``left`` or ``right``), x counts from the midline outwards.
        """
        sign = -1.0 if side == "left" else 1.0
        if side == "left":
            low, high = (-high[0], low[1], low[2]), (-low[0], high[1], high[2])
        slices = []
        for axis in (2, 1, 0):
            points = self._axes[axis]
            (inside,) = np.nonzero(
                (points > low[axis] - margin_mm) & (points < high[axis] + margin_mm)
            )
            slices.append(slice(int(inside[0]), int(inside[-1]) + 1))
        k, j, i = slices
        x, y, z = (c[k, j, i] for c in self.coordinates)
        return View(sign * x if side == "left" else x, y, z, self.labels[k, j, i], (k, j, i))


def ellipsoid(view: View, center: Point, radii: Point, yaw_deg: float = 0.0) -> Array:
    """Signed distance to an ellipsoid; ``yaw`` turns its long axis outwards behind."""
    dx, dy, dz = view.x - center[0], view.y - center[1], view.z - center[2]
    if yaw_deg:
        c, s = np.float32(np.cos(np.radians(yaw_deg))), np.float32(np.sin(np.radians(yaw_deg)))
        dx, dy = c * dx + s * dy, c * dy - s * dx
    squared = [(d / np.float32(r)) ** 2 for d, r in zip((dx, dy, dz), radii, strict=True)]
    norm = np.sqrt(squared[0] + squared[1] + squared[2])
    for part, radius in zip(squared, radii, strict=True):
        part /= np.float32(radius * radius)
    slope = np.sqrt(squared[0] + squared[1] + squared[2])
    return (norm * (norm - 1) / np.maximum(slope, 1e-6)).astype(np.float32)


def blob(view: View, center: Point, radii: Point, yaw_deg: float = 0.0) -> Array:
    """An ellipsoid whose distance is cut off at 8 mm: quick in a large box."""
    reach = np.full(3, max(radii)) if yaw_deg else np.asarray(radii)
    box = view.near(np.asarray(center) - reach, np.asarray(center) + reach)
    distance = np.full(view.x.shape, 8, np.float32)
    distance[box] = np.minimum(ellipsoid(view.crop(box), center, radii, yaw_deg), 8)
    return distance


def smooth_nodes(nodes: ArrayLike, per_segment: int = 4) -> NDArray[np.float64]:
    """Points of a Catmull-Rom curve through nodes (any number of columns)."""
    p = np.asarray(nodes, dtype=np.float64)
    padded = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, 1, per_segment, endpoint=False)[:, None]
    curve = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        curve.append(
            b
            + t / 2 * (c - a)
            + t**2 * (a - 2.5 * b + 2 * c - d / 2)
            + t**3 * (1.5 * (b - c) + (d - a) / 2)
        )
    return np.vstack([*curve, p[-1:]])


def tube(view: View, nodes: Sequence[Sequence[float]], stretch_z: float = 1.0) -> Array:
    """Signed distance to a tube through nodes (x, y, z, radius).

    ``stretch_z`` makes its cross section taller (above 1) or flatter. Far away (more than
    about 8 mm) the distance is cut off.
    """
    curve = smooth_nodes(nodes)
    best = np.full(view.x.shape, 8, np.float32)
    for start, end in pairwise(curve):
        axis = end[:3] - start[:3]
        reach = max(start[3], end[3]) * max(stretch_z, 1)
        box = view.near(np.minimum(start, end)[:3] - reach, np.maximum(start, end)[:3] + reach)
        dx, dy, dz = (c[box] - at for c, at in zip((view.x, view.y, view.z), start, strict=False))
        along = (dx * axis[0] + dy * axis[1] + dz * axis[2]) / max(float(axis @ axis), 1e-6)
        along = along.clip(0, 1).astype(np.float32)
        dx, dy, dz = dx - along * axis[0], dy - along * axis[1], dz - along * axis[2]
        distance = np.sqrt(dx * dx + dy * dy + (dz / stretch_z) ** 2)
        distance -= start[3] + along * (end[3] - start[3])
        np.minimum(best[box], distance, out=best[box])
    return best


def smooth_union(a: Array, b: Array, blend_mm: float) -> Array:
    """Union of two shapes with a rounded seam."""
    mix = np.maximum(blend_mm - np.abs(a - b), 0) / np.float32(blend_mm)
    return np.minimum(a, b) - mix * mix * np.float32(blend_mm / 4)


def smooth_cut(a: Array, b: Array, blend_mm: float) -> Array:
    """Intersection of two shapes with a rounded edge."""
    return -smooth_union(-a, -b, blend_mm)


def enlarge(field: Array, shape: tuple[int, ...], factor: int) -> Array:
    """Linear interpolation of a field sampled at every ``factor``-th voxel."""
    out = field
    for axis, n in enumerate(shape):
        place = np.arange(n) / factor
        low = np.minimum(place.astype(int), field.shape[axis] - 2)
        weight = (place - low).astype(np.float32)
        weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
        first = np.take(out, low, axis)
        out = first + (np.take(out, low + 1, axis) - first) * weight
    return out


def step(value: Array, low: float, high: float) -> Array:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    t = ((value - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)


def noise(
    rng: np.random.Generator,
    shape: Shape,
    wavelength: float,
    bandwidth: float = 0.25,
    sharpen: int = 0,
) -> Array:
    """Band-passed noise of unit SD, wavelength in grid steps; ``sharpen`` evens its waves."""
    k = [np.fft.fftfreq(n) for n in shape[:2]] + [np.fft.rfftfreq(shape[2])]
    k_norm = np.sqrt(k[0][:, None, None] ** 2 + k[1][:, None] ** 2 + k[2] ** 2)
    band = np.exp(-(((k_norm * wavelength - 1) / bandwidth) ** 2) / 2).astype(np.float32)
    field = rng.standard_normal(shape, dtype=np.float32)
    for sweep in range(sharpen + 1):
        if sweep:
            field = np.tanh(1.5 * field)
        field = scipy.fft.irfftn(scipy.fft.rfftn(field) * band, s=shape)
        field = (field / field.std()).astype(np.float32)
    return field
