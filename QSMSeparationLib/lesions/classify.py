"""Classes of a lesion in chi+ and chi-, with thresholds that a reader sees and may change."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from QSMSeparationLib.lesions.errors import share_between
from QSMSeparationLib.lesions.rim import RimCoverage
from QSMSeparationLib.lesions.statistics import Interval
from QSMSeparationLib.runtime.errors import InputError


@dataclass(frozen=True)
class Thresholds:
    """Every number that decides a class. Differences are of means, in ppb.

    Parameters
    ----------
    z : float
        A difference from the patient's normal-appearing white matter (NAWM) counts from
        this many robust SD of it ...
    para_floor_ppb, dia_floor_ppb : float
        ... and from this many ppb; the larger of the two holds. The floors are near the
        published repeatability of chi maps.
    rim_z, rim_floor_ppb : float
        The same for the step from core and NAWM to a rim.
    rim_coverage : float
        Share of the sectors in three dimensions that a rim must cover.
    rim_arc_deg : float
        Arc that a rim must span on a slice.
    rim_slices : int
        Consecutive slices that must show such an arc (fewer where the core is on fewer).
    rim_mm : float
        Thickness of the outer layer in which a rim is looked for.
    shell_near_mm, shell_far_mm : float
        The peri-lesional shell, measured from the border.
    shell_voxels : int
        White matter in the shell from which the lesion is compared with its own shell;
        with less, with the NAWM of the whole brain. A very large number always takes that.
    nawm_gap_mm : float
        Distance of NAWM from any lesion.
    small_mm : float
        Lesions of a smaller equivalent diameter are not classified.
    periventricular_mm, juxtacortical_mm : float
        Largest gap to a ventricle, to the cortex.
    vein_ppb : float
        A thin structure this much above its surroundings in chi+ counts as a vein.
    decided : float
        Probability of its class, 0 to 1, from which a lesion counts as decided; needs SDs.
    bootstrap_draws, seed : int
        Of the confidence intervals.
    block_mm : float
        Edge of the cubes that the bootstrap draws.
    """

    z: float = 1.65
    para_floor_ppb: float = 5.0
    dia_floor_ppb: float = 5.0
    rim_z: float = 2.0
    rim_floor_ppb: float = 8.0
    rim_coverage: float = 0.6
    rim_arc_deg: float = 180.0
    rim_slices: int = 2
    rim_mm: float = 2.0
    shell_near_mm: float = 2.0
    shell_far_mm: float = 4.0
    shell_voxels: int = 30
    nawm_gap_mm: float = 4.0
    small_mm: float = 3.0
    periventricular_mm: float = 1.0
    juxtacortical_mm: float = 1.0
    vein_ppb: float = 80.0
    decided: float = 0.8
    bootstrap_draws: int = 500
    seed: int = 0
    block_mm: float = 2.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not np.isfinite(value) or value < 0:
                raise InputError(f"threshold {one.name} = {value} must be a number of 0 or more")
        if self.shell_far_mm <= self.shell_near_mm:
            raise InputError("the peri-lesional shell must end farther out than it begins")
        if self.decided > 1:
            raise InputError(f"threshold decided = {self.decided} is a probability: give 0 to 1")
        if self.bootstrap_draws < 20:
            raise InputError("bootstrap_draws must be 20 or more")


@dataclass(frozen=True)
class Nawm:
    """Normal-appearing white matter of one patient: robust values in ppb.

    Parameters
    ----------
    para_ppb, dia_ppb, net_ppb : float
        Medians of chi+, |chi-| and net chi.
    para_sd_ppb, dia_sd_ppb : float
        Robust SD over voxels of chi+ and |chi-|.
    n_voxels : int
        Voxels in it.
    """

    para_ppb: float
    para_sd_ppb: float
    dia_ppb: float
    dia_sd_ppb: float
    net_ppb: float
    n_voxels: int

    def para_limit_ppb(self, thresholds: Thresholds) -> float:
        """Return the difference in chi+ from which a lesion is not iso."""
        return max(thresholds.z * self.para_sd_ppb, thresholds.para_floor_ppb)

    def dia_limit_ppb(self, thresholds: Thresholds) -> float:
        """Return the difference in |chi-| from which a lesion is not iso."""
        return max(thresholds.z * self.dia_sd_ppb, thresholds.dia_floor_ppb)

    def rim_limit_ppb(self, thresholds: Thresholds) -> float:
        """Return the step in chi+ from which a sector of the edge counts as rim."""
        return max(thresholds.rim_z * self.para_sd_ppb, thresholds.rim_floor_ppb)


@dataclass(frozen=True)
class Classification:
    """A class and how sure it is.

    Parameters
    ----------
    name : str
        The class.
    z : float
        Difference from NAWM in SD of NAWM.
    distance_ppb : float
        How far the difference is from the nearest threshold; small is borderline.
    confidence : str
        ``clear``, ``probable``, ``borderline``, or ``not classified``.
    decided : bool, optional
        Whether the data decide; None where it is not known, as the maps have no SD.
    """

    name: str
    z: float
    distance_ppb: float
    confidence: str
    decided: bool | None = None


def classify(
    difference: Interval,
    limit_ppb: float,
    sd_ppb: float,
    errors_known: bool = False,
    decided: float = 0.8,
) -> Classification:
    """Classify a difference lesion - NAWM: hypo, iso or hyper.

    ``borderline`` when the confidence interval holds a threshold, ``clear`` when the
    difference is also farther from it than half the threshold, else ``probable``. With
    ``errors_known`` the interval holds the errors of the maps, and the probability of the class
    speaks: from ``decided`` on it is ``probable``, from 0.95 on ``clear``.
    """
    value = difference.value
    if not np.isfinite(value):
        return Classification("iso", float("nan"), float("nan"), "not classified")
    name = "iso" if abs(value) <= limit_ppb else ("hyper" if value > 0 else "hypo")
    distance = abs(abs(value) - limit_ppb)
    z = value / sd_ppb if sd_ppb > 0 else float("nan")
    if errors_known and np.isfinite(difference.low):
        limits = {
            "hypo": (-np.inf, -limit_ppb),
            "iso": (-limit_ppb, limit_ppb),
            "hyper": (limit_ppb, np.inf),
        }
        share = share_between(difference, *limits[name])
        return Classification(name, z, distance, _sure(share, decided), share >= decided)
    crossed = any(difference.low <= edge <= difference.high for edge in (-limit_ppb, limit_ppb))
    known = np.isfinite(difference.low)
    return Classification(name, z, distance, _word(crossed or not known, distance, limit_ppb))


def is_rim(rim: RimCoverage, thresholds: Thresholds) -> bool:
    """Return whether the edge of a lesion fulfills all conditions of a rim."""
    return bool(
        np.isfinite(rim.coverage)
        and rim.coverage >= thresholds.rim_coverage
        and rim.longest_arc_deg >= thresholds.rim_arc_deg
        and rim.slices >= min(thresholds.rim_slices, max(1, rim.core_slices))
    )


def classify_rim(
    rim: RimCoverage,
    difference: Interval,
    limit_ppb: float,
    sd_ppb: float,
    step: Interval | None = None,
    decided: float = 0.8,
) -> Classification:
    """Classify a lesion with a rim; its distance is that of the typical sector.

    ``step`` is rim - core with the errors of the maps, where they are known: its width says how
    sure the rim is.
    """
    distance = rim.contrast_ppb - limit_ppb
    z = difference.value / sd_ppb if sd_ppb > 0 else float("nan")
    if step is not None and np.isfinite(step.low):
        half = 0.5 * (step.high - step.low)
        sector = Interval(rim.contrast_ppb, rim.contrast_ppb - half, rim.contrast_ppb + half)
        share = share_between(sector, limit_ppb, np.inf)
        word = _sure(share, decided)
        return Classification("rim", z, max(0.0, distance), word, share >= decided)
    word = _word(distance < 0.25 * limit_ppb, distance, limit_ppb)
    return Classification("rim", z, max(0.0, distance), word)


def not_classified(difference: Interval, sd_ppb: float) -> Classification:
    """Classify a lesion that is too small."""
    z = difference.value / sd_ppb if sd_ppb > 0 else float("nan")
    return Classification("small", z, float("nan"), "not classified")


def _word(doubtful: bool, distance: float, limit_ppb: float) -> str:
    if doubtful:
        return "borderline"
    return "clear" if distance > 0.5 * limit_ppb else "probable"


def _sure(share: float, decided: float) -> str:
    if share < decided:
        return "borderline"
    return "clear" if share >= 0.95 else "probable"
