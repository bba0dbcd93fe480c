"""Spatial phase unwrapping: one quality-guided unwrap inside a mask.

The engine is :func:`skimage.restoration.unwrap_phase` (Herraez et al. 2002; Abdul-Rahman
et al. 2007): voxels are joined in the order of their second differences, so the path
never crosses noise while a smooth way round exists. It runs on the CPU.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import unwrap_phase

from QSMSeparationLib.runtime.errors import InputError

TWO_PI = 2 * math.pi


def unwrap(wrapped_rad: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Unwrap a phase volume inside a mask.

    Parameters
    ----------
    wrapped_rad : ndarray
        Phase in radians, shape (k, j, i).
    mask : ndarray of bool
        Where to unwrap.

    Returns
    -------
    ndarray
        Unwrapped phase, 0 outside the mask. It differs from the input by whole turns. The
        turns that no local look can decide are set so that the median lies within half a
        turn of 0, for every connected part of the mask on its own.
    """
    if not mask.any():
        raise InputError("the mask is empty; there is no phase to unwrap")
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    inside = mask[box]
    masked = np.ma.masked_array(wrapped_rad[box], mask=~inside)
    with np.errstate(invalid="ignore"):
        values = np.ma.getdata(unwrap_phase(masked, rng=0)).astype(np.float32)
    values[~inside] = 0.0
    _center_parts(values, inside)
    _repair_lone_jumps(values, inside)
    result = np.zeros(mask.shape, np.float32)
    result[box] = values
    return result


def wraps_left(unwrapped_rad: NDArray[np.float32], mask: NDArray[np.bool_]) -> int:
    """Return how many pairs of face neighbors in the mask still differ by more than pi."""
    count = 0
    for axis in range(3):
        step = np.abs(np.diff(unwrapped_rad, axis=axis)) > math.pi
        first = mask.take(range(mask.shape[axis] - 1), axis)
        second = mask.take(range(1, mask.shape[axis]), axis)
        count += int(np.count_nonzero(step & first & second))
    return count


def _center_parts(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> None:
    """Shift every connected part by whole turns, in place, to a median near 0."""
    parts, _count = ndimage.label(inside)
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        part = parts[box] == number
        turns = np.round(np.median(values[box][part]) / TWO_PI)
        values[box][part] -= np.float32(turns * TWO_PI)


def _repair_lone_jumps(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> None:
    """Move single voxels, in place, by the turns that bring them nearest to their neighbors."""
    weight = ndimage.uniform_filter(inside.astype(np.float32), 3)
    mean = ndimage.uniform_filter(values, 3)
    np.divide(mean, weight, out=mean, where=inside)
    mean -= values
    mean /= np.float32(TWO_PI)
    np.round(mean, out=mean)
    values += np.where(inside, mean * np.float32(TWO_PI), np.float32(0.0))
