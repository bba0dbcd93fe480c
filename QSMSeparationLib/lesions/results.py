"""What is known of every lesion: the results of :func:`analyze_lesions`."""

from __future__ import annotations

from dataclasses import dataclass

from QSMSeparationLib.data.axes import Triple
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.lesions.classify import Classification, Nawm, Thresholds
from QSMSeparationLib.lesions.location import Place
from QSMSeparationLib.lesions.rim import RimCoverage
from QSMSeparationLib.lesions.statistics import Interval, Statistics

COMPARTMENTS = ("lesion", "core", "rim", "shell")


@dataclass(frozen=True)
class LesionResult:
    """All that is known of one lesion. chi in ppb; chi_dia is |chi-|; relaxation in Hz.

    Parameters
    ----------
    id, name : int, str
        Which one.
    center_mm : tuple of float
        Center of mass in world coordinates (LPS).
    n_voxels, volume_mm3, diameter_mm, largest_mm : int, float
        Size; ``diameter_mm`` is that of the sphere of the same volume.
    place : Place
        Location class and distances.
    para, dia : Classification
        Class in chi+ and in |chi-|.
    reference : str
        ``shell`` or ``patient``: which NAWM it was compared with.
    statistics : dict
        Statistics by map and compartment.
    contrasts : dict
        Differences with 95 % intervals, by map and by ``core-nawm``, ``core-shell``,
        ``rim-core``.
    rim : RimCoverage
        The rim.
    sectors_mm : tuple of float, optional
        Where its sectors are centered, in world coordinates (LPS); None without sectors.
    vein_share, infeasible_share, clipped_share : float
        Shares of its voxels that are vein, that no sources of this relaxivity explain
        (R2' below Dr |net|; NaN without R2'), and where chi+ or chi- is exactly 0.
    """

    id: int
    name: str
    center_mm: Triple
    n_voxels: int
    volume_mm3: float
    diameter_mm: float
    largest_mm: float
    place: Place
    para: Classification
    dia: Classification
    reference: str
    statistics: dict[str, dict[str, Statistics]]
    contrasts: dict[str, dict[str, Interval]]
    rim: RimCoverage
    vein_share: float
    infeasible_share: float
    clipped_share: float
    sectors_mm: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class LesionReport:
    """The lesions of one examination.

    Parameters
    ----------
    lesions : tuple of LesionResult
        By id.
    labels : Volume
        The lesions as analyzed, on the grid of the maps (int32).
    nawm : Nawm
        The patient's reference.
    thresholds : Thresholds
        What the classes rest on.
    dr_para, dr_dia : float
        Relaxivities in Hz/ppm that the share of infeasible voxels rests on.
    tissue_source : str
        Where the tissue map came from.
    notes : tuple of str
        What the reader should know (resampling, lesions outside the mask).
    """

    lesions: tuple[LesionResult, ...]
    labels: Volume
    nawm: Nawm
    thresholds: Thresholds
    dr_para: float
    dr_dia: float
    tissue_source: str
    notes: tuple[str, ...] = ()
