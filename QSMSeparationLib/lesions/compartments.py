"""Core, rim and peri-lesional shell of a lesion, by distance in millimeters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CORE_VOXELS = 7
"""A core of fewer voxels is replaced by the deepest voxels of the lesion."""


@dataclass(frozen=True, eq=False)
class Compartments:
    """A lesion and its parts within one box.

    Parameters
    ----------
    depth_mm : ndarray
        Depth below the border, positive inside, negative outside.
    lesion, core, rim, shell, beyond : ndarray of bool
        The lesion; its inner part; its outer layer; normal-appearing white matter
        around it; and everything just around it, whatever it is.
    """

    depth_mm: NDArray[np.float32]
    lesion: NDArray[np.bool_]
    core: NDArray[np.bool_]
    rim: NDArray[np.bool_]
    shell: NDArray[np.bool_]
    beyond: NDArray[np.bool_]


def depth_mm(lesion: NDArray[np.bool_], spacing_kji: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the signed distance to the border of a lesion, positive inside.

    Distances run between voxel centers; the border lies half a voxel before the first
    voxel on the other side, and half of the smallest edge is taken for that. The array
    need not contain any background: what lies outside it counts as outside the lesion.
    """
    half = 0.5 * min(spacing_kji)
    padded = np.pad(lesion, 1)
    inner = (slice(1, -1),) * 3
    inside = np.asarray(ndimage.distance_transform_edt(padded, sampling=spacing_kji))[inner]
    outside = np.asarray(ndimage.distance_transform_edt(~padded, sampling=spacing_kji))[inner]
    return np.where(lesion, inside - half, half - outside).astype(np.float32)


def compartments(
    lesion: NDArray[np.bool_],
    spacing_kji: tuple[float, ...],
    white: NDArray[np.bool_],
    allowed: NDArray[np.bool_],
    rim_mm: float = 2.0,
    shell_mm: tuple[float, float] = (2.0, 4.0),
) -> Compartments:
    """Divide a lesion and its surroundings.

    Parameters
    ----------
    lesion : ndarray of bool
        The lesion, in a box that reaches ``shell_mm[1]`` beyond it where the grid allows.
    spacing_kji : tuple of float
        Voxel size in mm.
    white : ndarray of bool
        Normal-appearing white matter (no lesion, no vein), same box.
    allowed : ndarray of bool
        Voxels of the brain that are no lesion and no vein, same box.
    rim_mm : float
        Thickness of the outer layer.
    shell_mm : tuple of float
        Nearest and farthest distance of the peri-lesional shell from the border.
    """
    depth = depth_mm(lesion, spacing_kji)
    core = lesion & (depth > rim_mm)
    least = min(CORE_VOXELS, max(1, int(lesion.sum()) // 2))
    if core.sum() < least:
        core = _deepest(depth, lesion, least)
    distance = -depth
    shell = white & (distance >= shell_mm[0]) & (distance <= shell_mm[1])
    near = max(1.0, 0.5 * max(spacing_kji))
    beyond = allowed & (distance > 0.5 * near) & (distance <= near + 1.5)
    return Compartments(depth, lesion, core, lesion & ~core & (depth <= rim_mm), shell, beyond)


def _deepest(
    depth: NDArray[np.float32], lesion: NDArray[np.bool_], count: int
) -> NDArray[np.bool_]:
    """Return the ``count`` deepest voxels, with all those that tie with the last one."""
    if not lesion.any():
        return lesion.copy()
    limit = np.sort(depth[lesion])[-count]
    return lesion & (depth >= limit)
