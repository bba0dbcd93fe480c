"""Relaxation from the state of the tissue: its water, its iron (chi+) and its myelin (chi-).

At 3 T, chi in ppb, W the water content relative to pure water:

    R2  = 11.7 + d + 0.097 chi+ + 0.095 |chi-| - 40 (W - usual W of the tissue)        Hz
    R2' = (Dr+ chi+ + Dr- |chi-|) times a factor of the region                         Hz
    1/W = 0.916 + 0.436 / T1, T1 in s; times 1.2 in lesions; grey matter has a tabled T1

The first line is R2 = 9 + (0.9 + 2e4 [Fe] + 5.7 [lipid]) B0 (van Gelderen and Duyn) at 3 T with
relaxivities of 114 Hz/ppm. ``d`` is what a tissue has beside it (oedema, loss of axons), and is
0 in healthy tissue. Residuals are drawn for the person, the tissue and the lesion, so that R2
tells of myelin, as it does in people, without giving it away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from QSMSeparationLib.simulation.tissues import TISSUES, Number, Tissue

PERSON_R2_SD_HZ = 0.5
TISSUE_R2_SD_HZ = 0.7
"""Residuals of R2: Gelman 1999 has SD of 1.1 to 1.8 Hz over people for one region; the
prior of the residual within a class is N(0, 0.7)."""
R2_PER_WATER_HZ = -40.0
"""R2 falls by 0.4 Hz with every per cent of water (myelin water diluted by new water)."""
T1_SD_LOG = 0.07
"""T1 at a given water content varies by 7 %."""
WATER_SD = 0.006
"""Water content of one tissue over people: 69-71 % in white matter."""
PATIENT_WHITE_WATER = 0.712
"""Normal-appearing white matter of patients has 2.2 % more water than the 0.70 of healthy people."""
PATIENT_WHITE_D_HZ = -0.6
"""... and loses 0.6 Hz beside what its myelin explains."""
LESION_T1_FACTOR = 1.2
"""T1 of a lesion over that of white matter with as much water."""
REGION_FACTOR_SD_LOG = 0.12
"""Scatter of the relaxivities between regions and lesions: with it Dr 114 fits with R2 = 0.93."""
SCALE_RANGE = (0.72, 1.6)
"""R2' of one protocol over another's: white matter is given 3.9 (Gelman 1999) to 10 Hz (Paling
2012) where chi says 5.4; the largest is left out, since it holds background gradients."""


@dataclass(frozen=True)
class Relaxivities:
    """How far R2' departs from Dr times the sources; by default it does not.

    Parameters
    ----------
    scale : float
        Of the protocol.
    tissues : dict of str to float
        Factor of a tissue.
    lesions : dict of int to float
        Factor of a lesion by its number.
    """

    scale: float = 1.0
    tissues: Mapping[str, float] = field(default_factory=dict)
    lesions: Mapping[int, float] = field(default_factory=dict)


def draw_relaxivities(seed: int, lesion_count: int) -> Relaxivities:
    """Draw the scale of the protocol and the scatter between regions and lesions."""
    rng = np.random.default_rng([seed, 9101])
    scale = math.exp(rng.uniform(*np.log(SCALE_RANGE)))
    factors = np.exp(rng.normal(0, REGION_FACTOR_SD_LOG, len(TISSUES) + lesion_count))
    tissues = dict(zip(TISSUES, factors.tolist(), strict=False))
    lesions = dict(enumerate(factors[len(TISSUES) :].tolist(), start=1))
    return Relaxivities(scale, tissues, lesions)


def t1_of_water_s(water: Number) -> Number:
    """Return T1 at 3 T of white matter with a water content: 1/W = 0.916 + 0.436 / T1."""
    return 0.436 / (1 / water - 0.916)


def with_relaxation(tissues: Mapping[str, Tissue], seed: int, patient: bool) -> dict[str, Tissue]:
    """Draw R2, T1 and water of a person whose sources are drawn already.

    Parameters
    ----------
    tissues : mapping of str to Tissue
        A person's chi+ and chi- (:func:`QSMSeparationLib.simulation.tissues.draw_tissues`).
    seed : int
        The person; its own stream, so that nothing else moves.
    patient : bool
        White matter of a patient: more water, less R2.
    """
    rng = np.random.default_rng([seed, 9102])
    shared_r2 = rng.normal(0, PERSON_R2_SD_HZ)
    return {
        name: _relaxed(tissue, TISSUES[name], patient and tissue.white, shared_r2, rng)
        for name, tissue in tissues.items()
    }


def _relaxed(
    tissue: Tissue, usual: Tissue, patient: bool, shared_r2_hz: float, rng: np.random.Generator
) -> Tissue:
    """Draw the relaxation of one tissue; fluids and what lies outside the brain stay as tabled."""
    own_r2, own_water, own_t1 = rng.normal(0, 1, 3)
    if not usual.parenchyma:
        return tissue
    mean_water = PATIENT_WHITE_WATER if patient else usual.water
    water = mean_water + WATER_SD * own_water
    d_hz = usual.d_hz + (PATIENT_WHITE_D_HZ if patient else 0.0)
    d_hz += R2_PER_WATER_HZ * (water - mean_water) + shared_r2_hz + TISSUE_R2_SD_HZ * own_r2
    t1_s = t1_of_water_s(water) if usual.white else usual.t1_ms / 1000
    t1_s *= math.exp(T1_SD_LOG * own_t1)
    return replace(tissue, water=water, d_hz=d_hz, t1_ms=1000 * t1_s)
