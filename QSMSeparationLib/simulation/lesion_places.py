"""Where an MS lesion fits: free white matter of one person, by location."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.data.axes import Box, Triple
from QSMSeparationLib.data.volume import Geometry, Volume, to_sitk
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation import lesion_shapes as shapes
from QSMSeparationLib.simulation.anatomy import Anatomy
from QSMSeparationLib.simulation.tissues import LABELS, PARENCHYMA_LABELS, WHITE_MATTER, Tissue

GAP_MM = 3.0
"""Least distance between two lesions."""
LOCATIONS = ("periventricular", "juxtacortical", "infratentorial", "deep white matter")

_LATERAL_VENTRICLES = (4, 5, 43, 44)
_CORTEX = (3, 42)
_INFRATENTORIAL = ("brain stem", "cerebellar white matter", "cerebral peduncle")


def _numbers(names: Sequence[str]) -> list[int]:
    """Label numbers of brain tissues by name."""
    return [n for n in PARENCHYMA_LABELS if LABELS[n] in names]


def _distance_mm(mask: NDArray[np.bool_], grid: Geometry) -> NDArray[np.float32]:
    """Distance to a mask, in mm; infinite without one."""
    import SimpleITK as sitk

    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    distance = sitk.SignedMaurerDistanceMap(to_sitk(Volume(mask, grid)), False, False, True)
    return sitk.GetArrayFromImage(distance)


@dataclass(eq=False)
class WhiteMatter:
    """White matter of one person, and what is needed to place lesions in it.

    Parameters
    ----------
    grid : Geometry
        The labels' grid, cropped to white matter.
    labels : ndarray
        Label numbers on it.
    free : ndarray of bool
        White matter not taken by a lesion or the gap around one.
    where : ndarray
        Indices (n, 3) of all voxels of white matter.
    to_ventricle_mm, to_cortex_mm : ndarray
        Distances of these voxels to the lateral ventricles and the cerebral cortex.
    infratentorial : ndarray of bool
        Which of these voxels belong to brain stem, peduncles or cerebellum.
    ventricle_distance_mm : ndarray
        Distance to the lateral ventricles on the whole grid.
    """

    grid: Geometry
    labels: NDArray[np.int16]
    free: NDArray[np.bool_]
    where: NDArray[np.int64]
    to_ventricle_mm: NDArray[np.float32]
    to_cortex_mm: NDArray[np.float32]
    infratentorial: NDArray[np.bool_]
    ventricle_distance_mm: NDArray[np.float32]

    @classmethod
    def of(cls, anatomy: Anatomy) -> WhiteMatter:
        """Crop to the white matter and measure its distances to ventricles and cortex."""
        volume = anatomy.labels
        white = np.isin(volume.array, _numbers(WHITE_MATTER))
        if not white.any():
            raise InputError(f"{volume.source}: no white matter here, so no place for lesions")
        box = _grown(ndimage.find_objects(white.astype(np.uint8))[0], 4, white.shape)
        labels, white = volume.array[box].astype(np.int16), white[box]
        origin = volume.geometry.world(np.array([b.start for b in box]))
        grid = Geometry(labels.shape, volume.geometry.spacing_mm, tuple(origin))
        ventricle = _distance_mm(np.isin(labels, _LATERAL_VENTRICLES), grid)
        cortex = _distance_mm(np.isin(labels, _CORTEX), grid)
        where = np.argwhere(white)
        at = tuple(where.T)
        infratentorial = np.isin(labels[at], _numbers(_INFRATENTORIAL))
        return cls(grid, labels, white, where, ventricle[at], cortex[at], infratentorial, ventricle)

    def locations(self) -> list[str]:
        """Return the locations that this person's labels have."""
        exists = {
            "periventricular": np.isfinite(self.to_ventricle_mm).any(),
            "juxtacortical": np.isfinite(self.to_cortex_mm).any(),
            "infratentorial": self.infratentorial.any(),
            "deep white matter": not self.infratentorial.all(),
        }
        return [name for name in LOCATIONS if exists[name]]

    def candidates(
        self,
        location: str,
        radius_mm: float,
        half_length_mm: float,
        count: int,
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Draw indices (n, 3), n <= count, of free white matter where a lesion may be centered.

        Periventricular and juxtacortical lesions reach the wall and the cortex; the
        others keep off both.
        """
        ventricle, cortex = self.to_ventricle_mm, self.to_cortex_mm
        fits = ~self.infratentorial
        if location == "periventricular":
            fits = fits & (ventricle > 0.5 * half_length_mm) & (ventricle < 0.95 * half_length_mm)
        elif location == "juxtacortical":
            fits = fits & (cortex > 0.5 * radius_mm) & (cortex < max(0.95 * radius_mm, 1.5))
            fits &= ventricle > radius_mm + 3
        elif location == "infratentorial":
            fits = self.infratentorial
        else:
            fits = fits & (ventricle > half_length_mm + 3) & (cortex > half_length_mm + 1)
        rows = np.flatnonzero(fits)
        if len(rows) > 20 * count:
            rows = rows[rng.integers(len(rows), size=20 * count)]
        rows = rows[self.free[tuple(self.where[rows].T)]]
        return self.where[rng.permutation(rows)[:count]]

    def away_from_ventricle(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the direction (x, y, z) away from the ventricle wall nearest to a voxel."""
        low = np.clip(index - 2, 0, np.asarray(self.labels.shape) - 5)
        patch = self.ventricle_distance_mm[tuple(slice(n, n + 5) for n in low)]
        slope = [g.mean() for g in np.gradient(patch, *self.grid.spacing_kji)]
        return np.asarray(slope[::-1], dtype=np.float64) + 1e-6

    def room_mm(self, grid: Geometry) -> NDArray[np.float32]:
        """Return a smooth field on a local grid, positive within free white matter.

        Near the border it is about the depth below it in mm.
        """
        low = np.floor(self.grid.index(np.asarray(grid.origin_mm))).astype(int) - 2
        far = self.grid.index(grid.world(np.asarray(grid.shape) - 1))
        high = np.ceil(far).astype(int) + 3
        size = self.free.shape
        pad = [(max(0, -a), max(0, b - n)) for a, b, n in zip(low, high, size, strict=True)]
        box = tuple(
            slice(min(max(0, a), n), max(0, min(b, n)))
            for a, b, n in zip(low, high, size, strict=True)
        )
        free = np.pad(self.free[box], pad).astype(np.float32)
        free = ndimage.gaussian_filter(free, 0.6)
        patch = Geometry(free.shape, self.grid.spacing_mm, tuple(self.grid.world(low)))
        matrix, offset = patch.index_affine(grid)
        # 0.55 instead of 0.5: the smoothed border must not reach over that of the labels.
        return 2 * _sampled(free, matrix, offset, grid.shape, 0.0) - np.float32(1.1)

    def surroundings(self, inside: Volume, tissues: dict[str, Tissue]) -> Triple:
        """Return chi+ and abs(chi-) around a lesion in ppb, and how much they vary.

        Means over the white matter in and within 3 mm of the lesion, and the larger of
        the two SDs over the tracts there.
        """
        matrix, offset = self.grid.index_affine(inside.geometry)
        axes = [
            np.clip(np.rint(np.arange(n) * matrix[a, a] + offset[a]).astype(int), 0, size - 1)
            for a, (n, size) in enumerate(
                zip(inside.geometry.shape, self.labels.shape, strict=True)
            )
        ]
        near = self.labels[np.ix_(*axes)][inside.array > -3.0]
        numbers, counts = np.unique(near, return_counts=True)
        white = np.isin(numbers, _numbers(WHITE_MATTER))
        numbers, counts = numbers[white], counts[white]
        para = np.array([tissues[LABELS[int(n)]].chi_para_ppb for n in numbers])
        dia = -np.array([tissues[LABELS[int(n)]].chi_dia_ppb for n in numbers])
        means = [float(np.average(v, weights=counts)) for v in (para, dia)]
        variances = [
            float(np.average((v - m) ** 2, weights=counts))
            for v, m in zip((para, dia), means, strict=True)
        ]
        return means[0], means[1], max(variances) ** 0.5

    def occupy(self, inside: Volume) -> None:
        """Take a lesion and the gap around it out of the free white matter."""
        first = self.grid.index(np.asarray(inside.geometry.origin_mm))
        last = self.grid.index(inside.geometry.world(np.asarray(inside.geometry.shape) - 1))
        low = np.maximum(np.floor(first).astype(int), 0)
        high = np.minimum(np.ceil(last).astype(int) + 1, self.free.shape)
        matrix, offset = inside.geometry.index_affine(self.grid)
        shape = tuple(high - low)
        depth = _sampled(inside.array, matrix, offset + matrix @ low, shape, -99.0)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        self.free[box] &= depth < -(GAP_MM + 0.75)  # and nearly a voxel's half diagonal


def _sampled(
    array: NDArray[np.float32],
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    shape: Sequence[int],
    outside: float,
) -> NDArray[np.float32]:
    """Sample an array linearly on another upright grid."""
    return ndimage.affine_transform(
        array, np.diag(matrix), offset, output_shape=tuple(shape), order=1, cval=outside
    )


def _grown(box: Sequence[slice], by: int, shape: Sequence[int]) -> Box:
    """Grow a box by some voxels within an array."""
    return tuple(
        slice(max(0, b.start - by), min(n, b.stop + by)) for b, n in zip(box, shape, strict=True)
    )


def clip(
    depth: NDArray[np.float32], grid: Geometry, white: WhiteMatter, diameter_mm: float
) -> Volume | None:
    """Clip a shape to free white matter at its intended volume.

    Returns
    -------
    Volume or None
        Depth below the border in mm, on a grid cropped to 4 mm beyond it; None where
        the shape does not fit.
    """
    room = white.room_mm(grid)
    wanted = round(np.pi / 6 * diameter_mm**3 / grid.voxel_volume_mm3)
    available = depth[room > 0]
    if available.size <= wanted:
        return None
    # What is lost to the border is regained elsewhere: the level with the right volume.
    level = float(np.partition(available, -wanted)[-wanted])
    if level < -0.4 * diameter_mm / 2:
        return None
    field = np.minimum(depth - level, room)
    part = shapes.part_at(field > 0, [n // 2 for n in grid.shape])
    field = np.where(part | (field <= 0), field, -0.1).astype(np.float32)
    steps = round((shapes.MARGIN_MM - 1.0) / shapes.SPACING_MM)
    inner = part[steps:-steps, steps:-steps, steps:-steps]
    if part.sum() < 0.8 * wanted or inner.sum() < part.sum():
        return None
    distance = shapes.signed_distance(field, shapes.SPACING_MM)
    box = _grown(ndimage.find_objects(part.astype(np.uint8))[0], steps, grid.shape)
    origin = grid.world(np.array([b.start for b in box]))
    array = np.ascontiguousarray(distance[box])
    return Volume(array, Geometry(array.shape, grid.spacing_mm, tuple(origin)), "lesion")
