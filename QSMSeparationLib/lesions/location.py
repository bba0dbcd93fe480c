"""Where a lesion lies, from a tissue map or from an estimate of one.

Tissue maps hold the codes of :class:`Tissue`. They come from a FreeSurfer or SynthSeg
segmentation (:func:`from_freesurfer`), or are estimated from the maps themselves
(:func:`estimate_tissue`), which finds white matter and ventricles but is rough at the
cortex and cannot tell the brain stem from its surroundings: then ``unknown`` is said
rather than guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.lesions.classify import Thresholds
from QSMSeparationLib.lesions.instances import Instance

LOCATIONS = (
    "periventricular",
    "juxtacortical",
    "infratentorial",
    "deep white matter",
    "unknown",
)


class Tissue(IntEnum):
    """Codes of a tissue map."""

    OUTSIDE = 0
    WHITE = 1
    CORTEX = 2
    DEEP_GREY = 3
    VENTRICLE = 4
    CSF = 5
    INFRATENTORIAL_WHITE = 6
    INFRATENTORIAL_GREY = 7
    BRAIN_STEM = 8


WHITE_TISSUES = (Tissue.WHITE, Tissue.INFRATENTORIAL_WHITE, Tissue.BRAIN_STEM)
"""Where lesions of white matter lie; the patient's reference is cerebral white matter alone."""
_CEREBELLUM = (Tissue.INFRATENTORIAL_WHITE, Tissue.INFRATENTORIAL_GREY)
_INFRATENTORIAL = (*_CEREBELLUM, Tissue.BRAIN_STEM)

# FreeSurfer's numbers; from 901 on, those of the digital head.
_FREESURFER: Mapping[Tissue, tuple[int, ...]] = {
    Tissue.WHITE: (
        2, 41, 77, 78, 79, 85, 251, 252, 253, 254, 255, *range(911, 920), *range(961, 970),
        931, 932, 933,
    ),
    Tissue.CORTEX: (3, 42, *range(1000, 1036), *range(2000, 2036), 17, 53, 18, 54),
    Tissue.DEEP_GREY: (
        10, 49, 11, 50, 12, 51, 13, 52, 26, 58, 28, 60, 901, 951, 902, 952, 903, 953, 905, 955,
    ),
    Tissue.VENTRICLE: (4, 5, 43, 44, 31, 63, 72, 906, 956, 14),
    Tissue.CSF: (24, 15, 30, 62, 502, 514),
    Tissue.INFRATENTORIAL_WHITE: (7, 46),
    Tissue.INFRATENTORIAL_GREY: (8, 47, 904, 954),
    Tissue.BRAIN_STEM: (16, 920, 970, 173, 174, 175),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a lesion lies.

    Parameters
    ----------
    location : str
        One of :data:`LOCATIONS`.
    to_ventricle_mm, to_cortex_mm : float
        Gap to the nearest ventricle and cortex; NaN where there is none.
    part : str
        Of an infratentorial lesion: ``brain stem`` or ``cerebellum``; else empty.
    """

    location: str
    to_ventricle_mm: float
    to_cortex_mm: float
    part: str = ""


def from_freesurfer(labels: Volume) -> Volume:
    """Return the tissue map of a FreeSurfer or SynthSeg label map."""
    array = np.clip(labels.array.astype(np.int32), 0, 4095)
    lookup = np.zeros(4096, dtype=np.uint8)
    for tissue, numbers in _FREESURFER.items():
        lookup[list(numbers)] = tissue
    return Volume(lookup[array], labels.geometry, labels.source)


def estimate_tissue(
    para_ppm: NDArray[np.float32],
    dia_ppm: NDArray[np.float32],
    r2star_hz: NDArray[np.float32] | None,
    mask: NDArray[np.bool_],
    lesions: NDArray[np.bool_],
    spacing_kji: tuple[float, ...],
) -> NDArray[np.uint8]:
    """Estimate a tissue map from the maps of separation.

    White matter holds more |chi-| and less net chi than grey matter and CSF. Inside the
    brain the two populations of smoothed net chi are parted by Otsu's threshold. CSF
    decays slowly (R2* below 12 Hz); without R2* it cannot be told and no ventricle is
    found. CSF far from the surface is ventricle; grey matter near the surface is cortex.
    """
    from skimage.filters import threshold_otsu

    sigma = [1.0 / s for s in spacing_kji]
    net = _smooth_within((para_ppm + dia_ppm) * 1000, mask & ~lesions, sigma)
    # Holes and clefts of the mask are no surface of the brain.
    whole = np.pad(np.asarray(ndimage.binary_fill_holes(_closed(mask, spacing_kji, 5.0))), 1)
    padded_mm = np.asarray(ndimage.distance_transform_edt(whole, sampling=spacing_kji))
    surface_mm = padded_mm[1:-1, 1:-1, 1:-1]
    fluid = np.zeros_like(mask)
    if r2star_hz is not None:
        fluid = mask & ~lesions & (_smooth_within(r2star_hz, mask, sigma) < 12.0)
    solid = mask & ~fluid & ~lesions
    tissue = np.zeros(mask.shape, dtype=np.uint8)
    if not solid.any():
        return tissue
    white = solid & (net < threshold_otsu(np.clip(net[solid], -80, 80)))
    tissue[solid & ~white] = np.where(
        surface_mm[solid & ~white] < 12.0, Tissue.CORTEX, Tissue.DEEP_GREY
    )
    tissue[ndimage.binary_opening(white)] = Tissue.WHITE
    tissue[lesions & mask] = Tissue.WHITE
    tissue[fluid] = Tissue.CSF
    tissue[_large(ndimage.binary_opening(fluid & (surface_mm > 20.0)), spacing_kji)] = (
        Tissue.VENTRICLE
    )
    return tissue


def find_veins(
    para_ppm: NDArray[np.float32], mask: NDArray[np.bool_], spacing_kji: tuple[float, ...],
    step_ppb: float,
) -> NDArray[np.bool_]:  # fmt: skip
    """Return thin structures whose chi+ stands ``step_ppb`` above their surroundings.

    A white top-hat of 5 mm keeps what is thinner than that; deep nuclei are thicker, and
    rims of lesions stay below the default step.
    """
    size = [max(3, 2 * round(2.5 / s) + 1) for s in spacing_kji]
    para = np.where(mask, para_ppm, 0).astype(np.float32)
    return mask & (para - ndimage.grey_opening(para, size=size) > step_ppb / 1000)


class Places:
    """Answers where lesions lie in one brain.

    Parameters
    ----------
    tissue : Volume
        Tissue map.
    knows_infratentorial : bool
        Whether the map tells brain stem and cerebellum; an estimated one does not.
    """

    def __init__(self, tissue: Volume, knows_infratentorial: bool) -> None:
        self._tissue = tissue.array
        self._geometry = tissue.geometry
        self._knows_infratentorial = knows_infratentorial
        self._lowest_sure_mm = _height_mm(tissue, 0.4)
        self._ventricle = _tree(tissue.array == Tissue.VENTRICLE, tissue.geometry)
        self._cortex = _tree(tissue.array == Tissue.CORTEX, tissue.geometry)

    def of(self, lesion: Instance, thresholds: Thresholds) -> Place:
        """Return the place of one lesion."""
        border = lesion.mask & ~np.asarray(ndimage.binary_erosion(lesion.mask), dtype=bool)
        corner = [s.start for s in lesion.box]
        index = (np.argwhere(border) + corner).astype(np.float64)
        points = index * np.asarray(self._geometry.spacing_kji)
        ventricle = _gap(self._ventricle, points, self._geometry)
        cortex = _gap(self._cortex, points, self._geometry)
        counts = self._around(lesion)
        name = self._name(lesion, counts, ventricle, cortex, thresholds)
        part = ""
        if name == "infratentorial":
            stem = counts[Tissue.BRAIN_STEM] > counts[list(_CEREBELLUM)].sum()
            part = "brain stem" if stem else "cerebellum"
        return Place(name, ventricle, cortex, part)

    def _around(self, lesion: Instance) -> NDArray[np.int64]:
        """Count the voxels of every tissue in and around a lesion."""
        margin = [int(np.ceil(3.0 / s)) for s in self._geometry.spacing_kji]
        codes = self._tissue[lesion.grown(margin, self._tissue.shape).box]
        return np.bincount(codes.ravel(), minlength=len(Tissue))

    def _height(self, lesion: Instance) -> float:
        """Return the world z of the middle of a lesion."""
        middle = [0.5 * (s.start + s.stop - 1) for s in lesion.box]
        return float(self._geometry.world(np.asarray(middle))[2])

    def _name(
        self,
        lesion: Instance,
        counts: NDArray[np.int64],
        ventricle: float,
        cortex: float,
        thresholds: Thresholds,
    ) -> str:
        known = counts[1:].sum()
        if known == 0:
            return "unknown"
        if counts[list(_INFRATENTORIAL)].sum() > 0.5 * known:
            return "infratentorial"
        if ventricle <= thresholds.periventricular_mm:
            return "periventricular"
        if not self._knows_infratentorial and self._height(lesion) < self._lowest_sure_mm:
            # Low in the head it may be brain stem, cerebellum or temporal lobe.
            return "unknown"
        if cortex <= thresholds.juxtacortical_mm:
            return "juxtacortical"
        if counts[Tissue.WHITE] + counts[Tissue.CORTEX] > 0.5 * known:
            return "deep white matter"
        return "unknown"


def _height_mm(tissue: Volume, share: float) -> float:
    """Return the world z that lies a share of the brain's height above its lowest point."""
    index = np.argwhere(tissue.array[::2, ::2, ::2] > 0) * 2
    if len(index) == 0:
        return -np.inf
    z = tissue.geometry.world(index.astype(np.float64))[:, 2]
    return float(z.min() + share * (z.max() - z.min()))


def _tree(where: NDArray[np.bool_], geometry: Geometry) -> KDTree | None:
    """Return the border voxels in mm, for nearest distances."""
    border = where & ~np.asarray(ndimage.binary_erosion(where), dtype=bool)
    points = np.argwhere(border)
    if len(points) == 0:
        return None
    return KDTree(points * np.asarray(geometry.spacing_kji), balanced_tree=False)


def _gap(tree: KDTree | None, points: NDArray[np.floating], geometry: Geometry) -> float:
    """Return the smallest gap between two sets of voxels; 0 for neighbors."""
    if tree is None:
        return float("nan")
    distance, _ = tree.query(points)
    return max(0.0, float(distance.min()) - min(geometry.spacing_kji))


def _smooth_within(
    values: NDArray[np.floating], where: NDArray[np.bool_], sigma: list[float]
) -> NDArray[np.float32]:
    """Return the Gaussian mean of the voxels within ``where``."""
    weight = ndimage.gaussian_filter(where.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(where, values, 0).astype(np.float32), sigma)
    return (total / np.maximum(weight, 1e-3)).astype(np.float32, copy=False)


def _closed(
    mask: NDArray[np.bool_], spacing_kji: tuple[float, ...], radius_mm: float
) -> NDArray[np.bool_]:
    """Close gaps narrower than twice a radius."""
    margin = [int(np.ceil(radius_mm / s)) + 1 for s in spacing_kji]
    padded = np.pad(mask, [(m, m) for m in margin])
    near = np.asarray(ndimage.distance_transform_edt(~padded, sampling=spacing_kji)) <= radius_mm
    closed = np.asarray(ndimage.distance_transform_edt(near, sampling=spacing_kji)) > radius_mm
    return closed[tuple(slice(m, -m) for m in margin)] | mask


def _large(where: NDArray[np.bool_], spacing_kji: tuple[float, ...]) -> NDArray[np.bool_]:
    """Keep connected parts of 2 ml or more: ventricles, not deep sulci."""
    parts, _ = cast("tuple[NDArray[np.int32], int]", ndimage.label(where))
    volume = np.bincount(parts.ravel()) * np.prod(spacing_kji)
    volume[0] = 0.0
    return (volume >= 2000.0)[parts]
