"""Checks of maps and masks that a user gives: shape, geometry, units, NaN."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.quantities import MAPS, Quantity
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.physics.constants import hz_per_ppm
from QSMSeparationLib.runtime.errors import InputError

# Typical mean magnitude over a brain: 0.0076 ppm in the 3 T scan of the QSM challenge of 2016,
# 0.01 to 0.02 ppm in simulated heads. Guesses the unit of a field that can't be in ppm.
_TYPICAL_FIELD_PPM = 0.01
# A smooth map of a brain varies by more than its mean; a fill or a mask does not vary at all.
_LEAST_VARIATION = 1e-3
# R2' = R2* - R2 of noisy voxels may be negative; R2* and R2 of a fit may not.
_MOST_NEGATIVE = {"r2prime": 0.5, "r2star": 0.05, "r2": 0.05}


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
        Name of the map (:mod:`QSMSeparationLib.data.quantities`).
    mask : Volume
        The brain mask; the map must lie on its grid.
    b0_tesla : float
        Field strength; relaxation rates grow with it.
    """
    mask.require_same_grid(volume)
    quantity = MAPS[kind]
    inside = mask.array > 0
    values = volume.array.astype(np.float32, copy=False)
    brain = values[inside]
    bad = int((~np.isfinite(brain)).sum())
    if bad:
        raise InputError(
            f"{volume.source} holds NaN or infinity in {bad} voxels of the mask; "
            f"mend the map or take those voxels out of the mask"
        )
    if quantity.plausible is not None:
        _require_plausible(brain, volume.source, quantity, b0_tesla)
    return np.where(inside, values, np.float32(0))


def trust_of_magnitude(
    magnitude: NDArray[np.float32], inside: NDArray[np.bool_], source: str
) -> NDArray[np.float32]:
    """Return how far the field is trusted: the magnitude, up to its median over the mask.

    The noise of a phase is inverse to the magnitude; above the median it is no longer what
    limits the field.
    """
    brain = magnitude[inside]
    if (brain < 0).any() or not (brain > 0).any():
        raise InputError(f"{source} is no magnitude: it must be positive in the mask")
    typical = np.median(brain[brain > 0])
    return np.where(inside, (magnitude / typical).clip(0, 1), 0).astype(np.float32)


def _require_plausible(
    brain: NDArray[np.float32], source: str, quantity: Quantity, b0_tesla: float
) -> None:
    """Refuse values that no brain has in this unit."""
    plausible = quantity.plausible
    assert plausible is not None
    high = plausible.high * (max(1.0, b0_tesla / 3.0) if quantity.grows_with_b0 else 1.0)
    mean = float(np.abs(brain).mean())
    if not plausible.low <= mean <= high:
        likely = f"; {_likely_unit(mean, b0_tesla)}" if quantity.name == "local_field" else ""
        raise InputError(
            f"{source}: its mean magnitude over the mask is {mean:.3g}; expected "
            f"{plausible.meaning}{likely}"
        )
    negative = float((brain < 0).mean())
    if negative > _MOST_NEGATIVE.get(quantity.name, 1.0):
        raise InputError(
            f"{source}: {100 * negative:.0f} % of the mask is negative; expected "
            f"{plausible.meaning}"
        )
    if quantity.name in ("local_field", "net") and brain.std() < _LEAST_VARIATION * mean:
        raise InputError(
            f"{source}: the same value ({mean:.3g}) everywhere in the mask; give the map itself"
        )


def _likely_unit(mean: float, b0_tesla: float) -> str:
    """Guess the unit of a field from its mean magnitude, and say how to convert it."""
    hz = hz_per_ppm(b0_tesla)
    advice = {
        f"Hz, divide by {hz:.1f} (42.577 x {b0_tesla:g} T)": hz,
        f"rad/s, divide by {2 * np.pi * hz:.1f}": 2 * np.pi * hz,
        "ppb, divide by 1000": 1000.0,
        "a share of B0, multiply by 1000000": 1e-6,
    }
    if mean == 0:
        return "it is 0 everywhere"
    likely = min(advice, key=lambda a: abs(np.log(mean / (_TYPICAL_FIELD_PPM * advice[a]))))
    background = ", or a field with its background" if 0.1 < mean < 1 else ""
    return f"likely it is in {likely}{background}"
