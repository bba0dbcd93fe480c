"""What tissue and lesions usually hold: chi+, |chi-| and R2 at 3 T, as a mixture of classes.

R2 = 9 + (0.9 + iron + lipid terms) B0 (van Gelderen and Duyn, 3 T and 7 T), which is
R2 = 11.7 + 0.097 chi+ + 0.095 |chi-| + d in Hz at 3 T, chi in ppb; d is what a tissue has beside
it. Means and spreads of healthy tissue are those of the digital head (their sources stand there);
those of lesions fit published means: R2* of nodular and shell lesions 5.6 and 8.0 Hz below white
matter (Zhang 2016, 203 lesions), R2' 1.0 to 1.8 Hz below (Paling 2012), net chi of early and
chronic lesions 38 and 5 ppb above it (Chen 2014). Spreads are wide on purpose: a prior is no
measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

R2_FREE_HZ = 9.0
R2_FREE_HZ_PER_T = 0.9
"""R2 of tissue without iron and lipid: 9 + 0.9 B0 in Hz (van Gelderen and Duyn)."""

R2_PER_PARA_HZ_PER_PPM_T = 97.0 / 3
R2_PER_DIA_HZ_PER_PPM_T = 95.0 / 3
"""What chi+ and |chi-| add to R2, a tesla (from the same relation, with relaxivities of 114)."""

R2_RESIDUAL_HZ = 2.1
"""SD of R2 about this relation within a class: 2 Hz between people and lesions, 0.7 Hz beside."""

RELAXIVITY_SCATTER = 0.12
"""Scatter of the relaxivity of R2' between regions (with it, Dr 114 explains 93 % of R2')."""


@dataclass(frozen=True)
class TissueClass:
    """Usual sources of one kind of tissue, normally distributed.

    Parameters
    ----------
    name : str
        What it is.
    share : float
        Usual share of a brain; they need not sum to 1.
    para, para_sd : float
        Mean and SD of chi+ in ppm.
    dia, dia_sd : float
        Mean and SD of |chi-| in ppm.
    d_hz : float
        Departure of R2 from the relation above.
    """

    name: str
    share: float
    para: float
    para_sd: float
    dia: float
    dia_sd: float
    d_hz: float = 0.0


HEALTHY = (
    TissueClass("white matter", 0.42, 0.016, 0.006, 0.030, 0.007, -0.3),
    TissueClass("cortex", 0.42, 0.020, 0.009, 0.010, 0.006),
    TissueClass("deep grey matter", 0.04, 0.080, 0.040, 0.020, 0.010),
    TissueClass("iron", 0.01, 0.160, 0.080, 0.020, 0.015),
    TissueClass("calcium", 0.003, 0.020, 0.020, 0.100, 0.070),
    TissueClass("vein", 0.01, 0.200, 0.100, 0.004, 0.004, 2.0),
    TissueClass("fluid", 0.06, 0.002, 0.003, 0.002, 0.003, -10.0),
)

LESIONS = (
    TissueClass("acute, nodular", 0.006, 0.015, 0.006, 0.024, 0.006, -4.6),
    TissueClass("shell, late acute", 0.006, 0.018, 0.007, 0.017, 0.006, -6.3),
    TissueClass("early chronic", 0.008, 0.028, 0.012, 0.014, 0.006, -3.3),
    TissueClass("chronic, black hole", 0.008, 0.007, 0.007, 0.008, 0.005, -5.6),
    TissueClass("remyelinated", 0.006, 0.017, 0.007, 0.023, 0.005, -1.3),
    TissueClass("iron rim", 0.004, 0.048, 0.018, 0.012, 0.006, -3.0),
)

CLASSES = (*HEALTHY, *LESIONS)
