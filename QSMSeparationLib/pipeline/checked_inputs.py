"""Checks of maps and masks that a user gives: shape, geometry, units, NaN."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.runtime.errors import InputError

_PLAUSIBLE_MEAN = {
    # Mean magnitude over the brain at 3 T; the limits are far beyond what tissue can have.
    "field": (
        1e-6,
        1.0,
        "a local field in ppm (divide Hz by 42.577 B0, or rad by 2 pi 42.577 B0 TE)",
    ),
    "qsm": (1e-6, 1.0, "a susceptibility map in ppm (divide ppb by 1000)"),
    "r2prime": (0.2, 80.0, "R2' in Hz = 1/s (multiply 1/ms by 1000)"),
    "r2star": (3.0, 200.0, "R2* in Hz = 1/s (multiply 1/ms by 1000)"),
    "r2": (3.0, 100.0, "R2 in Hz = 1/s (multiply 1/ms by 1000)"),
}


def checked_mask(mask: Volume) -> NDArray[np.bool_]:
    """Return a mask as bool, or raise InputError when it is empty or no mask."""
    values = np.unique(mask.array)
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        raise InputError(
            f"{mask.source} is no mask: it holds {len(values)} labels; give one of 0 and 1"
        )
    inside = mask.array > 0
    if not inside.any():
        raise InputError(f"{mask.source} is empty; give a mask with the brain in it")
    if inside.sum() < 500:
        raise InputError(
            f"{mask.source} holds only {int(inside.sum())} voxels; give a mask of the brain"
        )
    return inside


def checked_map(
    volume: Volume, kind: str, mask: Volume, b0_tesla: float = 3.0
) -> NDArray[np.float32]:
    """Return a map as float32 with 0 outside the mask, or raise InputError.

    Parameters
    ----------
    volume : Volume
        The map.
    kind : str
        ``field``, ``qsm``, ``r2prime``, ``r2star`` or ``r2``.
    mask : Volume
        The brain mask; the map must lie on its grid.
    b0_tesla : float
        Field strength; relaxation rates grow with it.
    """
    mask.require_same_grid(volume)
    inside = mask.array > 0
    values = volume.array.astype(np.float32, copy=False)
    brain = values[inside]
    bad = int((~np.isfinite(brain)).sum())
    if bad:
        raise InputError(
            f"{volume.source} holds NaN or infinity in {bad} voxels of the mask; "
            f"mend the map or take those voxels out of the mask"
        )
    low, high, meaning = _PLAUSIBLE_MEAN[kind]
    if kind.startswith("r2"):
        high *= max(1.0, b0_tesla / 3.0)
    mean = float(np.abs(brain).mean())
    if not low <= mean <= high:
        raise InputError(
            f"{volume.source}: its mean magnitude over the mask is {mean:.3g}; expected {meaning}"
        )
    if kind in ("r2star", "r2") and np.mean(brain < 0) > 0.05:
        raise InputError(f"{volume.source}: many negative values; expected {meaning}")
    return np.where(inside, values, np.float32(0))
