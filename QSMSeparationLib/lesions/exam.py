"""What all lesions of an examination share: white matter, veins, the patient's reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.quantities import MAPS, SOURCES
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.lesions import instances
from QSMSeparationLib.lesions.classify import Nawm, Thresholds
from QSMSeparationLib.lesions.errors import SourceErrors
from QSMSeparationLib.lesions.location import (
    WHITE_TISSUES,
    Places,
    Tissue,
    estimate_tissue,
    find_veins,
)
from QSMSeparationLib.lesions.reference import measure_nawm, nawm_mask
from QSMSeparationLib.physics.feasible import infeasible


@dataclass(frozen=True, eq=False)
class ExamContext:
    """What all lesions of an examination are measured against, on the grid of its maps.

    Parameters
    ----------
    geometry : Geometry
        The grid.
    maps : dict
        chi in ppb with |chi-|, relaxation in Hz.
    mask, lesions, veins, white : ndarray of bool
        The brain, all lesions, veins, and white matter without lesions and veins.
    infeasible : ndarray of bool, optional
        Voxels where R2' is smaller than the net source alone would cause.
    nawm : Nawm
        The patient's normal-appearing white matter.
    places : Places
        Tells where a lesion lies.
    thresholds : Thresholds
        What decides the classes.
    errors : SourceErrors, optional
        SDs of the sources.
    """

    geometry: Geometry
    maps: dict[str, NDArray[np.float32]]
    mask: NDArray[np.bool_]
    lesions: NDArray[np.bool_]
    veins: NDArray[np.bool_]
    white: NDArray[np.bool_]
    infeasible: NDArray[np.bool_] | None
    nawm: Nawm
    places: Places
    thresholds: Thresholds
    errors: SourceErrors | None = None


def measure_references(
    arrays: dict[str, NDArray[np.float32]],
    geometry: Geometry,
    inside: NDArray[np.bool_],
    lesion_mask: NDArray[np.bool_],
    tissue: Volume | None,
    veins: Volume | None,
    thresholds: Thresholds,
    relaxivity: tuple[float, float],
) -> tuple[ExamContext, str]:
    """Find white matter, veins and the patient's reference.

    Parameters
    ----------
    arrays : dict
        chi in ppb with |chi-|, relaxation in Hz.
    geometry : Geometry
        Their grid.
    inside, lesion_mask : ndarray of bool
        The brain, and all lesions.
    tissue, veins : Volume, optional
        Estimated from the maps without them.
    thresholds : Thresholds
        What decides the classes.
    relaxivity : tuple of float
        Dr+ and Dr- in Hz/ppm.

    Returns
    -------
    ExamContext, str
        What was found, and where the tissue map came from.
    """
    spacing = geometry.spacing_kji
    para_ppm = arrays["chi_para"] * np.float32(1 / MAPS["chi_para"].scale)
    dia_ppm = arrays["chi_dia"] * np.float32(1 / MAPS["chi_dia"].scale)
    if veins is None:
        vein_mask = find_veins(para_ppm, inside, spacing, thresholds.vein_ppb)
    else:
        vein_mask = instances.resample_to(veins, geometry)[0].array > 0
    if tissue is None:
        codes = estimate_tissue(
            para_ppm, dia_ppm, arrays.get("r2star"), inside, lesion_mask, spacing
        )
    else:
        codes = instances.resample_to(tissue, geometry)[0].array
    normal = np.isin(codes, WHITE_TISSUES) & ~lesion_mask & ~vein_mask & inside
    cerebral = normal & (codes == Tissue.WHITE)
    reference = nawm_mask(cerebral, inside, lesion_mask, vein_mask, spacing, thresholds.nawm_gap_mm)
    exam = ExamContext(
        geometry=geometry,
        maps=arrays,
        mask=inside,
        lesions=lesion_mask,
        veins=vein_mask,
        white=normal,
        infeasible=_infeasible(arrays, relaxivity),
        nawm=measure_nawm({n: arrays[n] for n in SOURCES}, reference, spacing),
        places=Places(Volume(codes, geometry), tissue is not None),
        thresholds=thresholds,
    )
    return exam, "estimated from the maps" if tissue is None else tissue.source


def _infeasible(
    arrays: dict[str, NDArray[np.float32]], relaxivity: tuple[float, float]
) -> NDArray[np.bool_] | None:
    """Return voxels where R2' is smaller than the net source alone would cause."""
    if "r2prime" not in arrays:
        return None
    return infeasible(arrays["net"] / MAPS["net"].scale, arrays["r2prime"], *relaxivity)
