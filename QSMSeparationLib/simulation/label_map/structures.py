"""Structures that whole-head label maps lack, added relative to those they have.

Midbrain nuclei are ellipsoids with the centers and covariances which these nuclei have
in the CIT168 atlas (Pauli et al., Sci Data 2018, CC BY 4.0); tracts are regions of
white matter in the same space (MNI), or lie between nuclei of the map. A similarity
transform, fitted to the centers of the person's own deep nuclei, takes one space to the
other.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.data.axes import Box, Triple
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.simulation.tissues import label_of

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
SIDES = ("left", "right")

_LANDMARKS: dict[str, Triple] = {
    "putamen": (25.8, -1.7, 0.3),
    "caudate": (14.4, -8.0, 9.0),
    "accumbens": (9.9, -8.5, -10.1),
    "globus pallidus": (18.5, 2.0, -1.8),
    "thalamus": (11.0, 18.5, 7.0),
}
"""Centers on the left in mm (left, posterior, superior), MNI; all but the thalamus CIT168."""

REQUIRED = frozenset(
    label_of(name, side)
    for name in (*_LANDMARKS, "white matter", "ventral diencephalon", "cerebellar white matter")
    for side in SIDES
) | {label_of("brain stem")}
"""Labels without which the missing structures cannot be placed."""

_NUCLEI: dict[str, tuple[Triple, tuple[float, ...]]] = {
    "substantia nigra": ((9.6, 17.3, -13.6), (5.5, 13.8, 5.9, 1.8, 3.9, -2.4)),
    "red nucleus": ((5.1, 19.3, -9.4), (3.4, 5.6, 5.1, 0.4, 0.4, -1.6)),
    "subthalamic nucleus": ((11.0, 12.3, -7.7), (5.3, 6.4, 3.0, 4.0, 3.0, 1.5)),
}
"""Center in mm and covariance (xx, yy, zz, xy, xz, yz) in mm^2 on the left, CIT168."""

_PEDUNCLE = (((17.5, 13, -3), 3.5), ((14.5, 16.5, -12), 4.6), ((9, 20, -23), 4.2))
"""Course of the cerebral peduncle on the left: points and radii in mm."""

_TRACTS: tuple[tuple[str, Triple, Triple], ...] = (
    ("superior longitudinal fasciculus", (36, 22, 29), (6, 34, 7)),
    ("anterior corona radiata", (21, -24, 12), (8, 15, 14)),
    ("superior corona radiata", (24, 8, 31), (7, 22, 11)),
    ("posterior corona radiata", (26, 38, 27), (7, 13, 11)),
    ("optic radiation", (31, 60, 6), (7, 25, 8)),
    ("sagittal stratum", (39, 28, -10), (5, 20, 7)),
)
"""Regions of white matter on the left: center and semi-axes in mm; the later ones win."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Similarity between MNI space and a person's world, both (left, posterior, superior).

    Parameters
    ----------
    rotation : ndarray
        Orthonormal 3x3 matrix.
    scale : float
        The person's size relative to MNI.
    shift_mm : ndarray
        World position of the MNI origin.
    """

    rotation: NDArray[np.float64]
    scale: float
    shift_mm: NDArray[np.float64]

    def world(self, mni_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """World positions (..., 3) of MNI positions (..., 3)."""
        return self.scale * np.asarray(mni_mm) @ self.rotation.T + self.shift_mm

    def mni(self, volume: Volume, box: Box) -> list[Array]:
        """MNI coordinates (x, y, z) of the voxels of a box, broadcast to its shape."""
        inverse = self.rotation.T / self.scale
        first = volume.geometry.world(np.array([b.start for b in box]))
        start = inverse @ (first - self.shift_mm)
        steps = [np.arange(b.stop - b.start, dtype=np.float32) for b in box[::-1]]
        x, y, z = (
            s * np.float32(h) for s, h in zip(steps, volume.geometry.spacing_mm, strict=True)
        )
        x, y, z = x[None, None, :], y[None, :, None], z[:, None, None]
        m = inverse.astype(np.float32)
        return [m[n, 0] * x + m[n, 1] * y + m[n, 2] * z + np.float32(start[n]) for n in range(3)]


def fit_frame(volume: Volume) -> Frame:
    """Fit MNI space to the centers of a person's deep nuclei (Umeyama 1991)."""
    source, target = [], []
    for name, (x, y, z) in _LANDMARKS.items():
        for side, sign in (("left", 1.0), ("right", -1.0)):
            found = np.argwhere(volume.array == label_of(name, side))
            target.append(volume.geometry.world(found.mean(axis=0)))
            source.append((sign * x, y, z))
    a, b = np.asarray(source), np.asarray(target)
    a0, b0 = a - a.mean(axis=0), b - b.mean(axis=0)
    u, singular, vt = np.linalg.svd(b0.T @ a0)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / (a0**2).sum())
    return Frame(rotation, scale, b.mean(axis=0) - scale * rotation @ a.mean(axis=0))


def add_structures(volume: Volume, plexus: Mask, seed: int) -> Frame:
    """Add, in place, nuclei, tracts and calcified choroid plexus to a label map.

    Parameters
    ----------
    volume : Volume
        SynthSeg labels on an upright grid, LPS.
    plexus : ndarray of bool
        Voxels of the choroid plexus, where the map has them.
    seed : int
        Person.

    Returns
    -------
    Frame
        Where MNI space lies in this person's world.
    """
    rng = np.random.default_rng([seed, 404])
    frame = fit_frame(volume)
    paired = [label_of("white matter", side) for side in SIDES]
    box = ndimage.find_objects(np.isin(volume.array, paired).astype(np.uint8))[0]
    array = volume.array[box]
    mni = frame.mni(volume, box)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        own = [np.float32(sign) * mni[0], mni[1], mni[2]]
        _add_regions(array, own, side, rng)
        _add_internal_capsule(array, own, side)
        _add_midbrain(volume.array, volume, frame, side, sign, rng)
        _add_pulvinar(volume, frame, side, sign, rng)
        _add_dentate(volume, side, rng)
    _add_callosum(array, mni)
    _calcify(volume, plexus, rng)
    return frame


def _grown(mask: Mask, by: int) -> Box:
    """Box around a mask with a margin."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, b.start - by), min(n, b.stop + by))
        for b, n in zip(box, mask.shape, strict=True)
    )


def _square_radius(mni: list[Array], center: np.ndarray, covariance: np.ndarray) -> Array:
    """Squared distance from a center in units of the ellipsoid with this covariance; 1 on it."""
    inverse = np.linalg.inv(5.0 * covariance).astype(np.float32)  # a solid's radius is sqrt(5) SD
    offset = [x - np.float32(c) for x, c in zip(mni, center, strict=True)]
    pairs = itertools.product(range(3), repeat=2)
    return functools.reduce(np.add, (inverse[a, b] * offset[a] * offset[b] for a, b in pairs))


def _add_regions(array: NDArray, mni: list[Array], side: str, rng: np.random.Generator) -> None:
    """Tracts that are regions of the hemisphere's white matter."""
    white = array == label_of("white matter", side)
    for name, center, semi_axes in _TRACTS:
        place = np.asarray(center) + rng.normal(0, 0.7, 3)
        axes = np.asarray(semi_axes) * rng.normal(1, 0.05)
        inside = _square_radius(mni, place, np.diag(axes**2 / 5)) < 1
        array[inside & white] = label_of(name, side)


def _add_internal_capsule(array: NDArray, mni: list[Array], side: str) -> None:
    """White matter between caudate and thalamus on one side and the lentiform nucleus.

    The limbs meet at the genu, where the capsule turns from the caudate's to the thalamus'
    side; behind the lentiform nucleus it is the retrolenticular part.
    """
    numbers = {name: label_of(name, side) for name in _LANDMARKS}
    lentiform = np.isin(array, (numbers["putamen"], numbers["globus pallidus"]))
    box = _grown(lentiform, 12)
    part = array[box]
    y, z = (np.broadcast_to(c, array.shape)[box] for c in mni[1:])
    to_lentiform, lateral = _nearest(lentiform[box])
    to_caudate, caudate = _nearest(part == numbers["caudate"])
    to_thalamus, thalamus = _nearest(part == numbers["thalamus"])
    tracts = [label_of(name, side) for name, _, _ in _TRACTS]
    white = np.isin(part, [label_of("white matter", side), *tracts])
    by_caudate = to_caudate < to_thalamus
    medial = np.where(by_caudate, caudate, thalamus)
    # Between the two: they lie in opposite directions.
    cosine = (lateral * medial).sum(axis=0)
    capsule = white & (np.minimum(to_caudate, to_thalamus) + to_lentiform < 13)
    end = np.quantile(y[part == numbers["putamen"]], 0.97)
    behind = capsule & (y > end - 2) & (cosine < 0.2) & (to_thalamus < to_caudate + 4)
    capsule &= (cosine < -0.4) & (z > -8)
    anterior = capsule & by_caudate & (y < 4) & ~behind
    posterior = capsule & ~anterior & ~behind & (to_thalamus < 9)
    part[anterior] = label_of("anterior internal capsule", side)
    part[posterior] = label_of("posterior internal capsule", side)
    part[behind] = label_of("retrolenticular capsule", side)


def _nearest(mask: Mask) -> tuple[Array, Array]:
    """Distance in voxels to a mask, and smooth unit vectors (3, ...) towards it."""
    distance, index = ndimage.distance_transform_edt(~mask, return_indices=True)
    towards = (index - np.indices(mask.shape)).astype(np.float32)
    towards = ndimage.gaussian_filter(towards, (0, 1.5, 1.5, 1.5))
    length = np.sqrt((towards**2).sum(axis=0))
    return distance.astype(np.float32), towards / np.maximum(length, 1e-3)


def _add_callosum(array: NDArray, mni: list[Array]) -> None:
    """Corpus callosum: white matter that crosses the midline above thalami and fornix."""
    x, y, z = (np.broadcast_to(c, array.shape) for c in mni)
    white = [n for n in np.unique(array) if n in (2, 41) or 911 <= n <= 919 or 961 <= n <= 969]
    slab = np.isin(array, white) & (np.abs(x) < 2.5) & (z > -10) & (z < 45)
    slab &= (y > -50) & (y < 60)
    # Between the ventricles the midline is septum, not callosum.
    ventricle = np.isin(array, (4, 43))
    slab &= ~np.any(ventricle & (np.abs(x) < 3.5), axis=2, keepdims=True)
    parts, count = ndimage.label(slab)
    if count == 0:
        return
    callosum = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    # Extend sideways: near the midline the fibres run straight across.
    profile = ndimage.binary_closing(callosum.any(axis=2), iterations=2)
    wide = np.isin(array, white) & (np.abs(x) < 14) & profile[:, :, None]
    roof = ndimage.binary_dilation(ventricle, iterations=5)
    wide &= roof | (np.abs(x) < 5)
    near = ndimage.label(wide | callosum)[0]
    callosum = np.isin(near, np.unique(near[callosum]))
    front, back = np.quantile(y[callosum], (0.0, 1.0))
    length = back - front
    array[callosum] = label_of("corpus callosum body")
    array[callosum & (y < front + 0.22 * length)] = label_of("corpus callosum genu")
    array[callosum & (y > back - 0.22 * length)] = label_of("corpus callosum splenium")


def _add_midbrain(
    array: NDArray,
    volume: Volume,
    frame: Frame,
    side: str,
    sign: float,
    rng: np.random.Generator,
) -> None:
    """Peduncle, then substantia nigra, red and subthalamic nucleus, moved to fit the midbrain."""
    host = [label_of("ventral diencephalon", side), label_of("brain stem")]
    tissue = np.isin(array, [*host, label_of("white matter", side)])
    box = _grown(array == host[0], 14)
    part, tissue = array[box], tissue[box]
    x, y, z = frame.mni(volume, box)
    mni = [np.float32(sign) * x, y, z]
    home = np.isin(part, host)
    dx = _best_shift(mni, home)
    mni = [c - np.float32(d) for c, d in zip(mni, dx, strict=True)]
    depth = np.full(part.shape, np.inf, dtype=np.float32)
    for (a, ra), (b, rb) in pairwise(_PEDUNCLE):
        depth = np.minimum(depth, _capsule_distance(mni, np.array(a), np.array(b), ra, rb))
    part[(depth < 0) & home] = label_of("cerebral peduncle", side)
    for name, (center, c) in _NUCLEI.items():
        covariance = np.array([[c[0], c[3], c[4]], [c[3], c[1], c[5]], [c[4], c[5], c[2]]])
        covariance = covariance * rng.uniform(0.85, 1.15)
        place = np.asarray(center) + rng.normal(0, 0.3, 3)
        part[(_square_radius(mni, place, covariance) < 1) & tissue] = label_of(name, side)


def _best_shift(mni: list[Array], home: Mask) -> Triple:
    """Shift (mm, MNI) by which the midbrain nuclei lie deepest in ventral DC and brain stem."""
    depth = ndimage.distance_transform_edt(home) - ndimage.distance_transform_edt(~home)
    depth = np.clip(depth, -3, 3)
    points = np.array([*(center for center, _ in _NUCLEI.values()), _PEDUNCLE[1][0]])
    grid = np.stack([np.broadcast_to(c, home.shape) for c in mni], axis=-1)
    steps = np.stack([(grid[1, 0, 0] - grid[0, 0, 0]), (grid[0, 1, 0] - grid[0, 0, 0]),
                      (grid[0, 0, 1] - grid[0, 0, 0])], axis=1)  # fmt: skip
    back = np.linalg.inv(steps)
    best, found = -np.inf, (0.0, 0.0, 0.0)
    for dx in np.arange(-1.0, 1.1, 1.0):
        for dy in np.arange(-4.0, 4.1, 1.0):
            for dz in np.arange(-4.0, 4.1, 1.0):
                where = back @ (points + np.array([dx, dy, dz]) - grid[0, 0, 0]).T
                worth = ndimage.map_coordinates(depth, where, order=1, cval=-3.0)
                score = worth.sum() - 0.15 * (dx**2 + dy**2 + dz**2)
                if score > best:
                    best, found = score, (float(dx), float(dy), float(dz))
    return found


def _capsule_distance(
    mni: list[Array], a: np.ndarray, b: np.ndarray, ra: float, rb: float
) -> Array:
    """Distance to a straight tube of linearly changing radius, negative inside."""
    along = (b - a) / np.sum((b - a) ** 2)
    ways = ((x - np.float32(p)) * np.float32(d) for x, p, d in zip(mni, a, along, strict=True))
    t = np.clip(functools.reduce(np.add, ways), 0, 1)
    squares = (
        (x - np.float32(p) - t * np.float32(q - p)) ** 2 for x, p, q in zip(mni, a, b, strict=True)
    )
    return np.sqrt(functools.reduce(np.add, squares)) - (ra + t * (rb - ra))


def _add_pulvinar(
    volume: Volume, frame: Frame, side: str, sign: float, rng: np.random.Generator
) -> None:
    """Posterior part of the thalamus, by a plane that leans to the lateral side."""
    thalamus = volume.array == label_of("thalamus", side)
    box = _grown(thalamus, 1)
    x, y, z = frame.mni(volume, box)
    lean = np.broadcast_to(y + 0.25 * np.float32(sign) * x - 0.15 * z, thalamus[box].shape)
    cut = np.quantile(lean[thalamus[box]], rng.uniform(0.68, 0.76))
    part = volume.array[box]
    part[thalamus[box] & (lean > cut)] = label_of("pulvinar", side)


def _add_dentate(volume: Volume, side: str, rng: np.random.Generator) -> None:
    """A folded sheet within the medial cerebellar white matter, behind the fourth ventricle."""
    white = volume.array == label_of("cerebellar white matter", side)
    ventricle = volume.array == 15
    box = _grown(white | ventricle, 2)
    part = volume.array[box]
    white = white[box]
    z, y, x = np.meshgrid(
        *[np.arange(b.start, b.stop, dtype=np.float32) for b in box], indexing="ij"
    )
    if ventricle.any():
        middle = np.argwhere(ventricle).mean(axis=0)
    else:
        middle = np.argwhere(volume.array == 16).mean(axis=0)
    depth = ndimage.gaussian_filter(white.astype(np.float32), 3.0)
    lateral = np.abs(x - middle[2])
    worth = depth - ((lateral - 14) / 16) ** 2 - ((y - middle[1] - 8) / 22) ** 2
    worth -= ((z - middle[0]) / 22) ** 2
    center = np.unravel_index(int(np.argmax(worth)), worth.shape)
    sign = 1.0 if x[center] > middle[2] else -1.0
    u, v, w = sign * (x - x[center]), y - y[center], z - z[center]
    # Long axis backwards and outwards by 25 degrees; the hilum opens forwards and inwards.
    turn = np.radians(25)
    long, short = np.cos(turn) * v + np.sin(turn) * u, np.cos(turn) * u - np.sin(turn) * v
    size = rng.uniform(0.88, 1.12)
    waves = 0.12 * np.sin(1.3 * long + rng.uniform(0, 6)) * np.cos(1.1 * w + rng.uniform(0, 6))
    outer = np.sqrt((long / 8.5) ** 2 + (short / 5.0) ** 2 + (w / 5.0) ** 2) / size + waves
    inner = np.sqrt(((long + 2.0) / 5.5) ** 2 + ((short + 2.0) / 2.6) ** 2 + (w / 2.2) ** 2) / size
    nucleus = (outer < 1) & (inner > 1) & white
    part[nucleus] = label_of("dentate nucleus", side)


def _calcify(volume: Volume, plexus: Mask, rng: np.random.Generator) -> None:
    """Calcify the glomus of the choroid plexus in about half of the people."""
    calcified = rng.uniform() < 0.55
    for side, ventricles in (("left", (4, 5)), ("right", (43, 44))):
        size = rng.uniform(1.2, 2.8)
        within = np.isin(volume.array, ventricles)
        host = np.argwhere(plexus & within)
        if len(host) < 20:
            host = np.argwhere(within)
        if not calcified or len(host) < 20:
            continue
        # The glomus lies in the trigone: the hindmost plexus.
        glomus = host[host[:, 1] >= np.quantile(host[:, 1], 0.8)]
        distance = np.linalg.norm(glomus - glomus.mean(axis=0) + rng.normal(0, 0.5, 3), axis=1)
        clump = glomus[distance <= np.sort(distance)[0] + size]
        volume.array[tuple(clump.T)] = label_of("choroid calcification", side)
