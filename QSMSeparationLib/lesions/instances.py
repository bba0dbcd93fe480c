"""From a segmentation to single lesions.

A binary segmentation is split into connected lesions; a label map keeps its labels;
segments that overlap come as a list of masks and keep their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.data.axes import Box
from QSMSeparationLib.data.volume import Geometry, Volume, resample
from QSMSeparationLib.runtime.errors import InputError

_CONNECTED_26 = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Instance:
    """One lesion.

    Parameters
    ----------
    id : int
        Label in the segmentation, or a number from 1.
    name : str
        Segment name; ``lesion 7`` without one.
    box : tuple of slice
        Where ``mask`` lies in the grid.
    mask : ndarray of bool
        The lesion within its bounding box.
    """

    id: int
    name: str
    box: Box
    mask: NDArray[np.bool_]

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return int(self.mask.sum())

    def shifted(self, offset_kji: Sequence[int]) -> Instance:
        """Return the same lesion in a grid whose corner was moved."""
        box = tuple(
            slice(s.start + o, s.stop + o) for s, o in zip(self.box, offset_kji, strict=True)
        )
        return Instance(self.id, self.name, box, self.mask)

    def trimmed(self) -> Instance:
        """Return the same lesion in its bounding box."""
        inner = ndimage.find_objects(self.mask.astype(np.uint8))[0]
        box = tuple(
            slice(s.start + b.start, s.start + b.stop) for s, b in zip(self.box, inner, strict=True)
        )
        return Instance(self.id, self.name, box, self.mask[inner])

    def grown(self, margin_kji: Sequence[int], shape: tuple[int, ...]) -> Instance:
        """Return the same lesion in a box that is larger on every side, within the grid."""
        box = tuple(
            slice(max(0, s.start - m), min(n, s.stop + m))
            for s, m, n in zip(self.box, margin_kji, shape, strict=True)
        )
        mask = np.zeros([s.stop - s.start for s in box], dtype=bool)
        inner = tuple(
            slice(s.start - b.start, s.stop - b.start) for s, b in zip(self.box, box, strict=True)
        )
        mask[inner] = self.mask
        return Instance(self.id, self.name, box, mask)


def resample_to(segmentation: Volume, grid: Geometry) -> tuple[Volume, tuple[str, ...]]:
    """Bring a segmentation to the grid of the maps, and say what was done.

    Parameters
    ----------
    segmentation : Volume
        Labels on any grid.
    grid : Geometry
        The grid of the maps.

    Returns
    -------
    Volume, tuple of str
        Labels on ``grid`` and the notes to show; no notes when the grids agree.

    Raises
    ------
    InputError
        When nothing of the segmentation falls onto the grid.
    """
    array = _whole_labels(segmentation)
    difference = segmentation.geometry.difference(grid)
    if difference is None:
        return Volume(array, grid, segmentation.source), ()
    placed = resample(Volume(array, segmentation.geometry, segmentation.source), grid, order=0)
    before, after = np.unique(array[array > 0]), np.unique(placed.array[placed.array > 0])
    if before.size and not after.size:
        raise InputError(
            f"{segmentation.source} does not overlap the maps ({difference}); "
            "give a segmentation of the same patient in the same space"
        )
    notes = [
        f"{segmentation.source} lies on another grid ({difference}); it was resampled with "
        "nearest neighbors, check the outlines"
    ]
    if lost := sorted(set(before.tolist()) - set(after.tolist())):
        notes.append(f"{segmentation.source}: labels lost by resampling: {_some(lost)}")
    kept = _volume_mm3(placed) / max(_volume_mm3(Volume(array, segmentation.geometry)), 1e-9)
    if kept < 0.8:
        notes.append(
            f"{segmentation.source}: only {100 * kept:.0f} % of its volume lies within the maps"
        )
    return placed, tuple(notes)


def split(segmentation: Volume) -> tuple[Instance, ...]:
    """Return the lesions of one volume.

    A binary volume is split into connected lesions (26 neighbors), numbered in array
    order; a volume with several labels gives one lesion a label, connected or not.
    """
    labels = _whole_labels(segmentation)
    if np.count_nonzero(np.unique(labels)) <= 1:
        found = ndimage.label(labels, structure=_CONNECTED_26)
        labels, _ = cast("tuple[NDArray[np.int32], int]", found)
    boxes = ndimage.find_objects(labels)
    return tuple(
        Instance(number, f"lesion {number}", box, labels[box] == number)
        for number, box in enumerate(boxes, start=1)
        if box is not None
    )


def split_segments(segments: Sequence[Volume]) -> tuple[Instance, ...]:
    """Return one lesion a segment; segments may overlap, and empty ones are skipped.

    A single segment is treated as a binary segmentation and split into lesions.
    """
    if len(segments) == 1:
        return split(segments[0])
    found = []
    for number, segment in enumerate(segments, start=1):
        inside = _whole_labels(segment) > 0
        boxes = ndimage.find_objects(inside.astype(np.uint8))
        if boxes:
            found.append(Instance(number, segment.source, boxes[0], inside[boxes[0]]))
    return tuple(found)


def union(lesions: Sequence[Instance], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where any lesion is."""
    inside = np.zeros(shape, dtype=bool)
    for lesion in lesions:
        inside[lesion.box] |= lesion.mask
    return inside


def label_map(lesions: Sequence[Instance], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Return one label map; where lesions overlap the later one shows."""
    labels = np.zeros(shape, dtype=np.int32)
    for lesion in lesions:
        labels[lesion.box][lesion.mask] = lesion.id
    return labels


def _whole_labels(segmentation: Volume) -> NDArray[np.int32]:
    """Return the labels as integers; refuse values that cannot be labels."""
    array = segmentation.array
    if array.dtype.kind in "biu" and array.dtype.itemsize <= 4:
        labels = array.astype(np.int32)
    elif not np.all(np.isfinite(array)):
        raise InputError(f"{segmentation.source}: holds NaN or infinite values, not labels")
    elif array.size and np.abs(array - np.round(array)).max() > 1e-3:
        raise InputError(
            f"{segmentation.source}: values are not whole numbers; give a mask or a label map, "
            "not a probability map"
        )
    else:
        labels = np.round(array).astype(np.int32)
    if labels.size and (labels.min() < 0 or labels.max() > 1_000_000):
        raise InputError(f"{segmentation.source}: labels must lie between 0 and 1000000")
    return labels


def _volume_mm3(volume: Volume) -> float:
    return float(np.count_nonzero(volume.array)) * volume.geometry.voxel_volume_mm3


def _some(numbers: list[int], most: int = 8) -> str:
    shown = ", ".join(str(n) for n in numbers[:most])
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"
