"""MS lesions by their age: what happened to iron, myelin and water since they appeared.

Means of chi+, abs(chi-), water and ``d`` (R2 beside what iron and myelin explain) by age. They
fit what is measured in people: against normal-appearing white matter R2* lies 5.6 Hz lower in
nodular enhancing and 8.0 Hz lower in shell-enhancing lesions (Zhang 2016, 203 lesions), R2' 1.0
to 1.8 Hz lower (Paling 2012); net chi is 0.5 ppb above it when acute, 38 when early and 4.7 when
chronic (Chen 2014); lesions hold 6.3 % more water and 52 % of the myelin water of normal-appearing
white matter. New lesions gain 6.4 % of water and lose it again. The spreads and ``d`` are
judgment, so they are drawn widely.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from QSMSeparationLib.simulation.relaxation import (
    LESION_T1_FACTOR,
    R2_PER_WATER_HZ,
    T1_SD_LOG,
    TISSUE_R2_SD_HZ,
    t1_of_water_s,
)
from QSMSeparationLib.simulation.tissues import R2_FREE_HZ

D_SD_HZ = 2.0
"""Spread of ``d`` over lesions of one age."""
WATER_SD = 0.012
"""Spread of the water content; with it R1 and R2 correlate within lesions, as measured (.62)."""
WIDE_SHARE, WIDE_SD_PPB = 0.25, 18.0
"""A quarter of the lesions is drawn with this spread: what is plausible occurs at any age."""
_LEAST_PPB = 1.0


@dataclass(frozen=True)
class LesionAge:
    """Values of one age; chi in ppb, both sources >= 0.

    Parameters
    ----------
    share : float
        Of all lesions.
    rim_chance : float
        Share of them with an iron rim (most in early chronic ones; none is impossible).
    para, dia : tuple of float
        Mean and SD of chi+ and abs(chi-).
    water : float
        Water content.
    d_hz : float
        R2 beside what iron and myelin explain.
    t1_factor : float
        T1 over that of white matter with as much water.
    """

    share: float
    rim_chance: float
    para: tuple[float, float]
    dia: tuple[float, float]
    water: float
    d_hz: float
    t1_factor: float = LESION_T1_FACTOR


AGES: Mapping[str, LesionAge] = {
    "acute nodular": LesionAge(0.15, 0.05, (15, 5), (24, 5), 0.745, -4.6),
    "shell": LesionAge(0.15, 0.10, (18, 6), (17, 5), 0.755, -6.3),
    "early chronic": LesionAge(0.25, 0.35, (28, 10), (14, 5), 0.755, -3.3),
    "chronic": LesionAge(0.25, 0.25, (7, 5.5), (8, 4), 0.795, -5.6),
    "remyelinated": LesionAge(0.20, 0.05, (17, 5), (23, 4), 0.72, -1.3, 1.1),
}
"""Lesion ages; the mean chi+ of chronic ones is given as 3 to 11 ppb."""
RIM = LesionAge(0.0, 1.0, (48, 15), (12, 5), 0.755, -3.0)
"""The rim of a lesion that has one, at any age."""
RIM_CORE_PARA = (11.0, 4.0)
"""chi+ of the core below a rim: 8 to 15 ppb, whatever its age."""


@dataclass(frozen=True)
class LesionState:
    """What a lesion relaxes like.

    Parameters
    ----------
    water : float
        Water content.
    t1_s : float
        T1 at 3 T.
    free_r2_hz, rim_free_r2_hz : float
        R2 at 3 T without iron and myelin, of the core and of the rim.
    """

    water: float
    t1_s: float
    free_r2_hz: float
    rim_free_r2_hz: float


def draw_state(age: str, rng: np.random.Generator) -> LesionState:
    """Draw water, T1 and R2 (without its sources) of a lesion."""
    values = AGES[age]
    more_water = rng.normal(0, WATER_SD)
    water = values.water + more_water
    residual = R2_PER_WATER_HZ * more_water + rng.normal(0, D_SD_HZ)
    residual += rng.normal(0, TISSUE_R2_SD_HZ)
    t1_s = values.t1_factor * t1_of_water_s(water) * math.exp(rng.normal(0, T1_SD_LOG))
    # R2 is never below that of much freer water than a lesion's.
    free, rim = (max(R2_FREE_HZ + d + residual, 2.0) for d in (values.d_hz, RIM.d_hz))
    return LesionState(water, t1_s, free, rim)


def draw_sources(age: str, rim: bool, rng: np.random.Generator) -> tuple[float, float]:
    """Draw chi+ and abs(chi-) of a lesion, or of its core below a rim, in ppb."""
    values = AGES[age]
    wide = rng.uniform() < WIDE_SHARE
    para = _positive(*RIM_CORE_PARA, rng) if rim else _mixed(values.para, wide, rng)
    return para, _mixed(values.dia, wide, rng)


def draw_rim(rng: np.random.Generator) -> tuple[float, float]:
    """Draw chi+ and abs(chi-) of a rim in ppb."""
    return _positive(*RIM.para, rng), _positive(*RIM.dia, rng)


def likely_age(para_ppb: float, dia_ppb: float, rim: bool, rng: np.random.Generator) -> str:
    """Draw an age for a lesion whose sources were drawn without one.

    Ages count by their share and by how well the sources fit, with twice the spread, so that
    every age may have every class.
    """
    weights = []
    for age in AGES.values():
        chance = age.share * (age.rim_chance if rim else 1 - age.rim_chance)
        pairs = ((dia_ppb, age.dia),) if rim else ((para_ppb, age.para), (dia_ppb, age.dia))
        fit = sum(((value - mean) / (2 * sd)) ** 2 for value, (mean, sd) in pairs)
        weights.append(chance * math.exp(-0.5 * min(fit, 12.0)))
    shares = np.asarray(weights) / sum(weights)
    return list(AGES)[int(rng.choice(len(shares), p=shares))]


def _mixed(spread: tuple[float, float], wide: bool, rng: np.random.Generator) -> float:
    """Draw a source, narrow or wide, so that narrow and wide draws together keep the mean."""
    mean, sd = spread
    if wide:
        return _positive(mean, WIDE_SD_PPB, rng)
    # What cutting draws off at 1 ppb adds to their mean, the center of the narrow ones lacks.
    wanted = mean - WIDE_SHARE / (1 - WIDE_SHARE) * _excess(mean, WIDE_SD_PPB)
    center = wanted
    for _ in range(8):
        center = wanted - _excess(center, sd)
    return _positive(center, sd, rng)


def _excess(mean: float, sd: float) -> float:
    """Return by how much the mean grows when draws below 1 ppb are drawn again."""
    edge = (_LEAST_PPB - mean) / sd
    density = math.exp(-0.5 * edge**2) / math.sqrt(2 * math.pi)
    return sd * density / (0.5 * math.erfc(edge / math.sqrt(2)))


def _positive(mean: float, sd: float, rng: np.random.Generator) -> float:
    """Draw a source of at least 1 ppb."""
    while True:
        value = float(rng.normal(mean, sd))
        if value >= _LEAST_PPB:
            return value
