"""Normal-appearing white matter (NAWM) of a patient, and the reference of one lesion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.lesions.classify import Nawm
from QSMSeparationLib.lesions.statistics import robust
from QSMSeparationLib.runtime.errors import InputError

LEAST_NAWM_VOXELS = 200
_TRACT_MM = 4.0


def nawm_mask(
    white: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    lesions: NDArray[np.bool_],
    veins: NDArray[np.bool_],
    spacing_kji: tuple[float, ...],
    gap_mm: float,
) -> NDArray[np.bool_]:
    """Return white matter inside the mask, off its edge, away from lesions and veins."""
    steps = [max(1, round(2.0 / s)) for s in spacing_kji]
    size = [2 * n + 1 for n in steps]
    inner = ndimage.minimum_filter(mask, size=size, mode="constant", cval=0)
    far = ~lesions
    if lesions.any():
        far = np.asarray(ndimage.distance_transform_edt(~lesions, sampling=spacing_kji)) > gap_mm
    return white & np.asarray(inner, dtype=bool) & far & ~veins


def measure_nawm(
    maps_ppb: dict[str, NDArray[np.floating]],
    where: NDArray[np.bool_],
    spacing_kji: tuple[float, ...],
) -> Nawm:
    """Measure NAWM.

    The SD is that of voxels about the mean of their surroundings (Gaussian, 4 mm), so it
    says how noisy the map is; differences between tracts, which are anatomy, stay out.

    Parameters
    ----------
    maps_ppb : dict
        ``chi_para``, ``chi_dia`` (as |chi-|) and ``net`` in ppb.
    where : ndarray of bool
        NAWM.
    spacing_kji : tuple of float
        Voxel size in mm.
    """
    count = int(where.sum())
    if count < LEAST_NAWM_VOXELS:
        raise InputError(
            f"only {count} voxels of normal-appearing white matter were found; give a tissue "
            "map, or check that mask and lesion segmentation fit the maps"
        )
    sigma = [_TRACT_MM / s for s in spacing_kji]
    weight = np.maximum(ndimage.gaussian_filter(where.astype(np.float32), sigma), 1e-3)
    spread = {}
    for name in ("chi_para", "chi_dia"):
        values = np.where(where, maps_ppb[name], 0).astype(np.float32)
        local = ndimage.gaussian_filter(values, sigma) / weight
        spread[name] = robust((values - local)[where])[1]
    medians = {name: robust(values[where])[0] for name, values in maps_ppb.items()}
    return Nawm(
        para_ppb=medians["chi_para"],
        para_sd_ppb=spread["chi_para"],
        dia_ppb=medians["chi_dia"],
        dia_sd_ppb=spread["chi_dia"],
        net_ppb=medians["net"],
        n_voxels=count,
    )
