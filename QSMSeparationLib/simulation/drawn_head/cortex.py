"""The cerebrum of a procedural head: its hull, the fissures, and the folded cortex.

The folds are a labyrinth: sulci are the zero-level sheets of band-passed noise that is
evaluated at the nearest point of the hull, so that they stand upright on it. Their depth
varies, which lets gyri join over a sulcus. The cortex is all tissue within its thickness
of the pial surface, sub-voxel distances being taken to the sheets themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.simulation.drawn_head.shapes import (
    Array,
    Space,
    View,
    ellipsoid,
    enlarge,
    noise,
    smooth_cut,
    smooth_union,
    step,
)
from QSMSeparationLib.simulation.tissues import EXTRACEREBRAL_CSF_LABEL, label_of

BRAIN_BOX = ((-76.0, -110.0, -76.0), (76.0, 76.0, 86.0))
_COARSE = 2


@dataclass(frozen=True, eq=False)
class Folds:
    """What the vessels need of the cortex, on the brain's box.

    Parameters
    ----------
    view : View
        The box.
    depth_mm : ndarray
        Depth below the hull (negative outside).
    sheet_mm : ndarray
        Signed distance to the nearest sulcal sheet.
    hull_mm : ndarray
        Signed distance to the hull of the cerebrum, fissures included.
    """

    view: View
    depth_mm: Array
    sheet_mm: Array
    hull_mm: Array


def tentorium(view: View) -> Array:
    """Height above the tentorium in mm."""
    crest = -2.0 - 0.33 * np.abs(view.x) + 0.2 * np.minimum(view.y + 45, 0)
    return view.z - np.maximum(crest, -27.0)


def midline_core(view: View) -> Array:
    """Signed distance, seen from the side, to callosum and all that lies below it."""
    flat = View(np.zeros_like(view.x), view.y, view.z, view.labels, view.slices)
    arch = ellipsoid(flat, (0, -5, 2), (40, 41, 27))
    return smooth_union(arch, ellipsoid(flat, (0, -16, -16), (20, 17, 20)), 6)


def hemispheres(view: View) -> Array:
    """Signed distance to the smooth hull of both hemispheres, without fissures."""
    mirrored = View(np.abs(view.x), view.y, view.z, view.labels, view.slices)
    dome = ellipsoid(mirrored, (13, -17, 13), (57, 87, 64))
    forehead = -23 + 0.006 * (mirrored.y - 20) ** 2 * (mirrored.y > 20)
    base = np.where(mirrored.y > 8, forehead, np.where(mirrored.y < -40, -30, -20))
    base = ndimage.gaussian_filter1d(base.astype(np.float32), 5, axis=1)
    dome = smooth_cut(dome, base - mirrored.z, 14)
    temporal = ellipsoid(mirrored, (45, -16, -24), (22, 42, 20), -6)
    back = ellipsoid(mirrored, (42, -52, -10), (24, 34, 22), 10)
    hull = smooth_union(dome, smooth_union(temporal, back, 8), 5)
    behind = step(view.y, -22, -36)
    return smooth_cut(hull, 0.7 - tentorium(view) - 40 * (1 - behind), 3)


def _sylvian(view: View) -> Array:
    """Signed distance to the Sylvian fissure: a cleft, and the moat round the insula."""
    x, y, z = np.abs(view.x), view.y, view.z
    lateral = -9 + 0.45 * np.maximum(8 - y, 0) + 2 * np.sin(x / 5)
    island = 39 - 0.010 * (y + 2) ** 2 - 0.012 * (z - 2) ** 2
    cleft = np.maximum(np.abs(z - lateral) - (0.5 + 0.05 * (x - island)), island - x)
    cleft = np.maximum(cleft, np.maximum(y - 27, -46 - y))
    rim = np.sqrt(((y + 3) / 27) ** 2 + ((z - lateral - 4) / 15) ** 2)
    moat = np.maximum(np.abs(x - island - 1) - 1.0, 15 * (rim - 1))
    return np.minimum(cleft, moat).astype(np.float32)


def cerebrum(view: View, gap_mm: float) -> Array:
    """Signed distance to the hemispheres, cut by the interhemispheric and Sylvian fissure."""
    cut = np.maximum(hemispheres(view), np.minimum(gap_mm - np.abs(view.x), midline_core(view)))
    cistern = ellipsoid(view, (0, -27, -26), (22, 18.5, 19))
    return np.maximum(np.maximum(cut, -_sylvian(view)), -cistern)


def _nearest(seeds: NDArray[np.bool_]) -> NDArray[np.int32]:
    return ndimage.distance_transform_edt(~seeds, return_distances=False, return_indices=True)


def _gradient(field: Array) -> list[Array]:
    return list(np.array(np.gradient(field), dtype=np.float32))


def _foot_offsets(level: Array, where: NDArray[np.bool_]) -> list[Array]:
    """Offset from each voxel to the zero level, by one Newton step; 0 elsewhere."""
    grad = _gradient(level)
    norm2 = np.maximum(sum(g * g for g in grad), 1e-3)
    return [np.where(where, (-level * g / norm2).clip(-1, 1), np.float32(0)) for g in grad]


def _folding(rng: np.random.Generator, solid: Array) -> tuple[Array, Array, Array]:
    """Depth below the hull, and two noises at the nearest point of the hull."""
    small = solid[::_COARSE, ::_COARSE, ::_COARSE]
    feet = _nearest(np.abs(small) < 1.2).astype(np.float32)
    own = np.indices(small.shape, dtype=np.float32)
    # the voxels' nearest points jump from voxel to voxel: smooth their displacement
    shift = [ndimage.gaussian_filter(f - o, 1.0) for f, o in zip(feet, own, strict=True)]
    points = [o + s for o, s in zip(own, shift, strict=True)]
    wavelength = rng.uniform(20.5, 22.5) / _COARSE
    pattern = noise(rng, small.shape, wavelength, 0.2, sharpen=3)
    deep = noise(rng, small.shape, 2.6 * wavelength, 0.4)
    fields = []
    for source in (pattern, deep):
        at_hull = ndimage.map_coordinates(source, points, order=1, mode="nearest")
        fields.append(enlarge(at_hull, solid.shape, _COARSE))
    depth = enlarge(np.sqrt(sum(s * s for s in shift)) * _COARSE, solid.shape, _COARSE)
    return np.where(solid < 0, depth, -depth).astype(np.float32), fields[0], fields[1]


def _core_distance(labels: NDArray[np.int16]) -> Array:
    """Distance to the ventricles and nuclei, which are painted before the cortex."""
    small = labels[::_COARSE, ::_COARSE, ::_COARSE]
    below = np.isin(small, (7, 8, 46, 47, 16, EXTRACEREBRAL_CSF_LABEL))
    distance = ndimage.distance_transform_edt((small == 0) | below, sampling=_COARSE)
    return enlarge(distance.astype(np.float32), labels.shape, _COARSE)


def paint_cerebrum(space: Space, seed: int) -> Folds:
    """Label white matter, cortex and sulci of both hemispheres, where nothing lies yet.

    Parameters
    ----------
    space : Space
        The person; its labels are written.
    seed : int
        The folding.
    """
    rng = np.random.default_rng([seed, 2])
    view = space.view(*BRAIN_BOX, margin_mm=0)
    gap, thickness, width, reach = rng.uniform((0.8, 2.5, 0.35, 14.5), (1.5, 2.75, 0.75, 17.5))
    solid = cerebrum(view, gap)
    depth, pattern, deep = _folding(rng, solid)
    grad = np.sqrt(sum(g * g for g in _gradient(pattern)) + 1e-3)
    sheet = pattern / grad
    floor = np.minimum(reach + 4.5 * deep, _core_distance(view.labels) - 5.5)
    sulcus = (np.abs(sheet) < 0.87) & (depth < floor) & (solid < 0)
    hull = np.abs(solid) < 0.87
    feet = [
        np.where(hull, a, b)
        for a, b in zip(_foot_offsets(solid, hull), _foot_offsets(sheet, sulcus), strict=True)
    ]
    opening = np.where(hull, 0, width * (1.5 - depth / 14).clip(0.5, 1.5)).astype(np.float32)
    nearest = tuple(_nearest(hull | sulcus))
    distance = np.zeros_like(solid)
    for axis, foot in enumerate(feet):
        grid = np.arange(solid.shape[axis], dtype=np.float32)
        grid = grid.reshape([-1 if a == axis else 1 for a in range(3)])
        distance += (nearest[axis] + foot[nearest] - grid) ** 2
    pial = np.sqrt(distance) - opening[nearest]
    ribbon = thickness + 0.25 * np.tanh(deep)
    _label(view, solid, pial, ribbon)
    return Folds(view, depth, sheet, solid)


def _label(view: View, solid: Array, pial: Array, ribbon: Array) -> None:
    right = view.x > 0
    for side, half in (("left", ~right), ("right", right)):
        inside = half & (solid < 0) & (view.labels == 0)
        view.labels[inside & (pial < ribbon)] = label_of("cortex", side)
        view.labels[inside & (pial >= ribbon)] = label_of("white matter", side)
        view.labels[inside & (pial < 0)] = EXTRACEREBRAL_CSF_LABEL
