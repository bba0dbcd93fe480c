"""Anatomy of a digital head from a whole-head label map (SynthSeg numbering).

The map is stored upright, rid of stray voxels, cropped, and its world moved to the
brain's center. Structures that such maps lack are added by
:mod:`QSMSeparationLib.simulation.label_map.structures`, veins by
:mod:`QSMSeparationLib.simulation.label_map.vessels`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.data.volume import Geometry, Volume, reorient, resample, upright_grid
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.anatomy import Anatomy
from QSMSeparationLib.simulation.label_map.structures import REQUIRED, add_structures
from QSMSeparationLib.simulation.label_map.vessels import draw_veins
from QSMSeparationLib.simulation.tissues import AIR_SINUS_LABEL, LABELS, PARENCHYMA_LABELS

CHOROID_PLEXUS: dict[int, int] = {136: 4, 137: 5, 163: 43, 164: 44}
"""Labels of the choroid plexus in SynthSeg maps, and the ventricle each one lies in."""
ALIASES: dict[int, int] = {72: 14, **CHOROID_PLEXUS}
"""Labels without a tissue of their own, and what they become (72: cavum septi, CSF)."""

_NECK_MM = 60.0
_MARGIN_MM = 10.0


def anatomy_from_labels(labels: Volume, seed: int) -> Anatomy:
    """Make a person's anatomy from a whole-head label map.

    Parameters
    ----------
    labels : Volume
        Label numbers of SynthSeg (FreeSurfer's for the brain, 501-530 outside it), any
        orientation and voxel size.
    seed : int
        Draws what the map does not tell: variation of the added structures, calcified
        choroid plexus, the course of veins.

    Returns
    -------
    Anatomy
        Labels on an upright grid of 1 mm (int16), and veins.

    Raises
    ------
    InputError
        When labels are unknown, or the structures that position the others are missing.
    """
    volume = _upright(_checked(labels))
    array = _without_specks(volume.array)
    array, geometry = _framed(array, volume.geometry)
    array = _with_air_sinuses(array)
    plexus = np.isin(array, list(CHOROID_PLEXUS))
    for number, becomes in ALIASES.items():
        array[array == number] = becomes
    volume = Volume(array, geometry, labels.source)
    frame = add_structures(volume, plexus, seed)
    return Anatomy(volume, draw_veins(volume, frame, seed))


def _checked(labels: Volume) -> Volume:
    """Return the map as int16 after refusing what cannot be used."""
    numbers = np.unique(labels.array)
    if not np.array_equal(numbers, np.round(numbers)):
        raise InputError(
            f"{labels.source}: not a label map, its values are not whole numbers; "
            "give the segmentation, not the image"
        )
    unknown = sorted({int(n) for n in numbers} - set(LABELS) - set(ALIASES))
    if unknown:
        shown = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
        raise InputError(
            f"{labels.source}: unknown labels {shown}; renumber them as in SynthSeg "
            "(FreeSurfer's numbers, 501-530 outside the brain)"
        )
    missing = sorted({LABELS[n] for n in REQUIRED - {int(n) for n in numbers}})
    if missing:
        raise InputError(
            f"{labels.source}: no {', '.join(missing)} on one side or both; a whole-head map "
            "with the deep nuclei is needed"
        )
    return labels.like(labels.array.astype(np.int16))


def _upright(labels: Volume) -> Volume:
    """Store along (S, P, L); resample only a tilted map or one of other voxels than 1 mm."""
    labels = reorient(labels)
    grid = labels.geometry
    upright = np.allclose(grid.direction_matrix, np.eye(3), atol=1e-3)
    if upright and np.allclose(grid.spacing_mm, 1.0, atol=1e-3):
        return Volume(labels.array, Geometry(grid.shape, origin_mm=grid.origin_mm), labels.source)
    return resample(labels, upright_grid(grid, 1.0), order=0)


def _without_specks(array: NDArray[np.int16]) -> NDArray[np.int16]:
    """Clear labeled voxels that do not hang together with the head."""
    parts, count = ndimage.label(array > 0)
    if count == 0:
        return array.copy()
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return np.where(parts == largest, array, 0).astype(np.int16)


def _framed(array: NDArray[np.int16], geometry: Geometry) -> tuple[NDArray[np.int16], Geometry]:
    """Crop to the head, give it a neck of equal length, put the origin at the brain's center.

    The neck ends 60 mm below the brain: a longer one is cut, a shorter one goes on as
    its last whole slice, so that the air below it stays far from the brain.
    """
    brain = ndimage.find_objects(np.isin(array, PARENCHYMA_LABELS).astype(np.uint8))[0]
    head = ndimage.find_objects((array > 0).astype(np.uint8))[0]
    last = brain[0].start - round(_NECK_MM)
    whole = _last_whole_slice(array, head[0].start, brain[0].start)
    if whole > last:
        below = np.repeat(array[whole : whole + 1], whole - max(last, 0), axis=0)
        array = np.concatenate([array[: max(last, 0)], below, array[whole:]])
        extra = max(0, -last)
        array = np.concatenate([np.repeat(array[:1], extra, axis=0), array])
    else:
        extra = 0
    margin = round(_MARGIN_MM)
    start = np.array([last + extra, head[1].start - margin, head[2].start - margin])
    stop = np.array([head[0].stop + extra, head[1].stop, head[2].stop]) + margin
    pad = [(max(0, -a), max(0, b - n)) for a, b, n in zip(start, stop, array.shape, strict=True)]
    box = tuple(
        slice(max(0, a), min(b, n)) for a, b, n in zip(start, stop, array.shape, strict=True)
    )
    framed = np.pad(array[box], pad)
    center = geometry.world(np.array([(b.start + b.stop - 1) / 2 for b in brain]))
    origin = geometry.world(start - np.array([extra, 0, 0])) - center
    return framed, Geometry(framed.shape, origin_mm=tuple(origin))


def _last_whole_slice(array: NDArray[np.int16], bottom: int, brain: int) -> int:
    """Lowest slice of the neck that is not ragged: at least 80 % of the median area."""
    area = (array[bottom:brain] > 0).sum(axis=(1, 2))
    if area.size == 0:
        return bottom
    whole = np.flatnonzero(area >= 0.8 * np.median(area))
    return bottom + int(whole[0])


def _with_air_sinuses(array: NDArray[np.int16]) -> NDArray[np.int16]:
    """Label air within the head: sinuses, mastoid cells, airways."""
    head = ndimage.binary_closing(array > 0, iterations=2)
    filled = np.stack([ndimage.binary_fill_holes(section) for section in head])
    return np.where(filled & (array == 0), AIR_SINUS_LABEL, array).astype(np.int16)
