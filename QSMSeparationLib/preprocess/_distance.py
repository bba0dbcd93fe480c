"""Distances within a mask up to a limit: all that morphology by a ball needs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from QSMSeparationLib.data.axes import Triple


def depth_up_to(
    limit_mm: float,
    mask: NDArray[np.bool_],
    spacing_kji: Triple,
    *,
    outside_beyond: bool = False,
) -> NDArray[np.float32]:
    """Return the distance in mm of each voxel to the nearest that is not in the mask, or the limit.

    The squared distance is separable: along each axis in turn, the least of the neighbors'
    plus their distance squared (Felzenszwalb and Huttenlocher, Theory of Computing
    2012;8:415). With a limit there are few neighbors, and shifted volumes do.

    Parameters
    ----------
    limit_mm : float
        Exact up to here, this value beyond.
    mask : ndarray of bool
        Where the distance is wanted, (k, j, i); 0 elsewhere.
    spacing_kji : tuple of float
        Voxel size in mm.
    outside_beyond : bool
        Whether what lies beyond the image is outside the mask, or not there at all.
    """
    inside = torch.from_numpy(np.pad(mask, 1) if outside_beyond else np.ascontiguousarray(mask))
    squared = torch.where(inside, limit_mm**2, 0.0)
    for axis, step in enumerate(spacing_kji):
        n = squared.shape[axis]
        before = squared.clone()
        for shift in range(1, min(n - 1, int(limit_mm / step)) + 1):
            rest, cost = n - shift, (shift * step) ** 2
            for here, there in ((shift, 0), (0, shift)):
                candidate = before.narrow(axis, there, rest) + cost
                target = squared.narrow(axis, here, rest)
                torch.minimum(target, candidate, out=target)
    result = squared.sqrt_().numpy()
    return result[1:-1, 1:-1, 1:-1] if outside_beyond else result
