"""Tissues of the digital head: labels, tabled values, and values drawn for one person.

Label numbers are FreeSurfer's, as used by the SynthSeg label maps; numbers from 901
on are ours, for structures which those maps lack.

Sources of the values.

* chi+ and chi- of deep grey and white matter: normative atlas of 106 adults
  (SNU-LIST/chi-separation-atlas, mean and SD). Cortex, CSF, dentate nucleus, venous blood:
  Susceptibility-Separation-Phantom (Ridani et al. 2026, MIT); its cortex is twice as strong as
  atlases have it, see ``ATLAS_CORTEX_PPB``.
* R2 at 3 T: what iron and myelin explain (:func:`r2_of_sources_hz`), which gives 25.7 Hz for the
  pallidum and 16.2 Hz for white matter where Gelman 1999 measured 25.8 +- 1.1 and 18.0 +- 1.2.
  Where the tabled chi does not fit a measured R2, ``d_hz`` makes up for it: cortex 14.6 Hz
  (Gelman 14.4 +- 1.8; van Gelderen 14.9), cerebellar cortex alike, dentate nucleus 17.5 Hz (its
  iron of 10.4 mg/100 g (Hallgren and Sourander 1958) in van Gelderen's equation).
* Water: white matter 69-71 %, cortex 83 %, deep grey matter 78 % (measured ranges in people).
* T1 at 3 T: white matter from its water; cortex 1.41 s, deep grey matter 1.16 s.
* T2, T1 and water of fluid, blood and of what lies outside the brain, and the bulk
  susceptibility of air (+9.4), bone (-2.2) and fat (+0.6 ppm against water): textbook values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Number = TypeVar("Number", float, "Tensor")
"""One number, or a map of them."""

R2_FREE_HZ = 11.7
"""R2 of brain tissue without iron and myelin at 3 T: 9 + 0.9 B0 (van Gelderen and Duyn)."""
R2_HZ_PER_PARA_PPB = 0.097
R2_HZ_PER_DIA_PPB = 0.095
"""The terms 2e4 [Fe] B0 and 5.7 [lipid] B0 of the same equation, for sources whose R2' follows
114 Hz/ppm: R2 = 11.7 + 0.85 R2'."""
CORTEX_R2_HZ = 14.6
DENTATE_R2_HZ = 17.5
ATLAS_CORTEX_PPB = (20.0, 10.0)
"""chi+ and |chi-| of cortex where a head is to be as people are; with them R2 needs no ``d_hz``."""


def r2_of_sources_hz(para_ppb: Number, dia_ppb: Number) -> Number:
    """Return what chi+ and |chi-| (both >= 0, ppb; numbers or tensors) add to R2 at 3 T."""
    return R2_HZ_PER_PARA_PPB * para_ppb + R2_HZ_PER_DIA_PPB * dia_ppb


@dataclass(frozen=True)
class Tissue:
    """Values of one tissue.

    Parameters
    ----------
    chi_para_ppb, chi_dia_ppb : float
        Signed sources that also cause R2', in ppb.
    chi_para_sd, chi_dia_sd : float
        SD of these over people, in ppb.
    water : float
        Water content relative to pure water; 0 for air.
    t1_ms : float
        T1 at 3 T.
    d_hz : float
        R2 of brain tissue beside what its iron and myelin explain.
    t2_ms : float, optional
        T2 at 3 T of what is no brain tissue, whose R2 does not follow its sources.
    bulk_ppm : float
        Susceptibility that shifts the field but causes no R2' (air, bone, fat).
    white : bool
        Whether it is white matter.
    """

    chi_para_ppb: float = 0.0
    chi_para_sd: float = 0.0
    chi_dia_ppb: float = 0.0
    chi_dia_sd: float = 0.0
    water: float = 0.8
    t1_ms: float = 1200.0
    d_hz: float = 0.0
    t2_ms: float | None = None
    bulk_ppm: float = 0.0
    white: bool = False

    @property
    def net_ppm(self) -> float:
        """Net susceptibility in ppm, bulk included."""
        return (self.chi_para_ppb + self.chi_dia_ppb) / 1000 + self.bulk_ppm

    @property
    def parenchyma(self) -> bool:
        """Whether R2 follows from the sources."""
        return self.t2_ms is None

    @property
    def free_r2_hz(self) -> float:
        """R2 at 3 T without iron and myelin; all of it where it does not follow from them."""
        return R2_FREE_HZ + self.d_hz if self.t2_ms is None else 1000 / self.t2_ms

    @property
    def r2_hz(self) -> float:
        """R2 at 3 T."""
        own = r2_of_sources_hz(self.chi_para_ppb, -self.chi_dia_ppb) if self.parenchyma else 0.0
        return self.free_r2_hz + own


def _white(para: float, para_sd: float, dia: float, dia_sd: float) -> Tissue:
    return Tissue(para, para_sd, -dia, dia_sd, water=0.70, t1_ms=850, white=True)


def _cortical(para: float, para_sd: float, dia: float, dia_sd: float) -> Tissue:
    d_hz = CORTEX_R2_HZ - R2_FREE_HZ - r2_of_sources_hz(para, dia)
    return Tissue(para, para_sd, -dia, dia_sd, water=0.83, t1_ms=1410, d_hz=d_hz)


def _deep(para: float, para_sd: float, dia: float, dia_sd: float, d_hz: float = 0.0) -> Tissue:
    return Tissue(para, para_sd, -dia, dia_sd, water=0.78, t1_ms=1160, d_hz=d_hz)


def _other(t2_ms: float, t1_ms: float, water: float, bulk_ppm: float = 0.0) -> Tissue:
    return Tissue(water=water, t1_ms=t1_ms, t2_ms=t2_ms, bulk_ppm=bulk_ppm)


TISSUES: Mapping[str, Tissue] = {
    "air": _other(1.0, 1200.0, 0.0, 9.4),
    "white matter": _white(16.8, 1.1, 28.8, 1.9),
    "corpus callosum genu": _white(17.8, 2.0, 30.8, 3.0),
    "corpus callosum body": _white(14.8, 2.0, 35.1, 3.0),
    "corpus callosum splenium": _white(16.5, 2.0, 42.3, 3.5),
    "anterior internal capsule": _white(14.5, 2.0, 41.3, 3.5),
    "posterior internal capsule": _white(8.2, 2.0, 52.2, 4.0),
    "retrolenticular capsule": _white(18.0, 2.0, 39.3, 3.5),
    "anterior corona radiata": _white(13.9, 1.5, 27.1, 2.5),
    "superior corona radiata": _white(14.1, 1.5, 31.7, 2.5),
    "posterior corona radiata": _white(14.0, 1.5, 32.0, 2.5),
    "optic radiation": _white(12.9, 1.5, 41.1, 3.0),
    "sagittal stratum": _white(17.3, 1.5, 36.5, 3.0),
    "superior longitudinal fasciculus": _white(22.6, 2.0, 32.7, 2.5),
    "cerebral peduncle": _white(23.5, 2.5, 43.7, 4.0),
    "cerebellar white matter": _white(16.8, 2.0, 30.0, 2.5),
    "brain stem": _white(16.0, 2.0, 30.0, 3.0),
    "cortex": _cortical(39.2, 5.0, 19.2, 3.0),
    "cerebellar cortex": _cortical(34.0, 5.0, 16.0, 3.0),
    "hippocampus": replace(_deep(25.0, 4.0, 17.0, 3.0), water=0.82, t1_ms=1350),
    "amygdala": replace(_deep(25.0, 4.0, 15.0, 3.0), water=0.82, t1_ms=1350),
    "caudate": _deep(47.7, 7.4, 8.2, 4.9),
    "putamen": _deep(77.1, 20.6, 10.3, 5.9),
    "globus pallidus": _deep(131.9, 10.4, 12.6, 7.3),
    "accumbens": _deep(45.4, 13.2, 23.4, 5.6),
    "thalamus": _deep(22.9, 4.1, 20.8, 3.6),
    "pulvinar": _deep(52.1, 7.0, 4.4, 3.0),
    "substantia nigra": _deep(115.7, 14.4, 11.1, 4.5),
    "red nucleus": _deep(112.0, 14.8, 10.1, 4.1),
    "subthalamic nucleus": _deep(112.1, 12.1, 15.3, 5.9),
    "dentate nucleus": _deep(
        168.4, 25.0, 16.4, 5.0, DENTATE_R2_HZ - R2_FREE_HZ - r2_of_sources_hz(168.4, 16.4)
    ),
    "ventral diencephalon": _deep(30.0, 4.0, 25.0, 4.0),
    "CSF": Tissue(27.5, 1.5, -8.5, 1.0, water=1.0, t1_ms=4000, t2_ms=1584),
    "choroid calcification": Tissue(10.0, 3.0, -700.0, 250.0, water=0.5, t1_ms=1500, t2_ms=40),
    "vein": Tissue(190.0, 25.0, 0.0, 0.0, water=0.85, t1_ms=1600, t2_ms=40),
    "artery": Tissue(5.0, 1.0, 0.0, 0.0, water=0.85, t1_ms=1650, t2_ms=150),
    "optic nerve": _white(15.0, 2.0, 30.0, 3.0),
    "spinal cord": _white(16.0, 2.0, 28.0, 3.0),
    "eye": _other(500, 3500, 0.98),
    "muscle": _other(32, 1400, 0.78),
    "mucosa": _other(60, 1300, 0.8),
    "soft tissue": _other(45, 700, 0.8, 0.2),
    "fat": _other(65, 380, 0.9, 0.6),
    "skin": _other(30, 900, 0.7),
    "cortical bone": _other(1.0, 250, 0.15, -2.2),
    "bone marrow": _other(40, 400, 0.55, -0.4),
}
"""Population values of every tissue, by name."""

_PAIRED = {
    "white matter": (2, 41),
    "cortex": (3, 42),
    "cerebellar white matter": (7, 46),
    "cerebellar cortex": (8, 47),
    "thalamus": (10, 49),
    "caudate": (11, 50),
    "putamen": (12, 51),
    "globus pallidus": (13, 52),
    "hippocampus": (17, 53),
    "amygdala": (18, 54),
    "accumbens": (26, 58),
    "ventral diencephalon": (28, 60),
    "substantia nigra": (901, 951),
    "red nucleus": (902, 952),
    "subthalamic nucleus": (903, 953),
    "dentate nucleus": (904, 954),
    "pulvinar": (905, 955),
    "choroid calcification": (906, 956),
    "anterior internal capsule": (911, 961),
    "posterior internal capsule": (912, 962),
    "retrolenticular capsule": (913, 963),
    "anterior corona radiata": (914, 964),
    "superior corona radiata": (915, 965),
    "posterior corona radiata": (916, 966),
    "optic radiation": (917, 967),
    "sagittal stratum": (918, 968),
    "superior longitudinal fasciculus": (919, 969),
    "cerebral peduncle": (920, 970),
}

_SINGLE = {
    0: "air",
    4: "CSF",
    5: "CSF",
    43: "CSF",
    44: "CSF",
    14: "CSF",
    15: "CSF",
    24: "CSF",
    16: "brain stem",
    25: "white matter",
    57: "white matter",
    30: "vein",
    62: "vein",
    85: "optic nerve",
    502: "artery",
    506: "eye",
    507: "soft tissue",
    508: "muscle",
    509: "mucosa",
    511: "skin",
    512: "spinal cord",
    514: "vein",
    515: "cortical bone",
    516: "bone marrow",
    530: "optic nerve",
    931: "corpus callosum genu",
    932: "corpus callosum body",
    933: "corpus callosum splenium",
    940: "air",
    941: "fat",
}

LABELS: Mapping[int, str] = dict(
    sorted({**_SINGLE, **{n: name for name, pair in _PAIRED.items() for n in pair}}.items())
)
"""Tissue name of every label number. Paired structures: (left, right) = (n, n') in `label_of`."""


def label_of(tissue: str, side: str = "left") -> int:
    """Return the label number of a tissue; ``side`` is used for paired ones."""
    if tissue in _PAIRED:
        return _PAIRED[tissue][0 if side == "left" else 1]
    return next(number for number, name in LABELS.items() if name == tissue)


VENTRICLE_LABELS = (4, 5, 43, 44, 14, 15)
EXTRACEREBRAL_CSF_LABEL = 24
AIR_SINUS_LABEL = 940
DEEP_GREY = (
    "caudate",
    "putamen",
    "globus pallidus",
    "substantia nigra",
    "red nucleus",
    "dentate nucleus",
)
"""Tissues over which deep-grey slope and error are reported."""

WHITE_MATTER = tuple(name for name, tissue in TISSUES.items() if tissue.white)
"""Tissues in which white-matter lesions may lie and myelin is measured."""

_OUTSIDE_BRAIN = {
    "air", "eye", "muscle", "mucosa", "soft tissue", "fat", "skin", "cortical bone",
    "bone marrow", "optic nerve", "spinal cord",
}  # fmt: skip

PARENCHYMA_LABELS = tuple(
    number
    for number, name in LABELS.items()
    if name not in _OUTSIDE_BRAIN | {"CSF", "vein", "artery"}
)
"""Labels of brain tissue, without CSF and vessels."""


def draw_tissues(
    seed: int, age_years: float | None = None, moved: float = 0.0
) -> dict[str, Tissue]:
    """Draw the values of one person.

    Regions vary by their tabled SD, together by a shared factor for chi+ and one for
    chi- (people differ as a whole, not only region by region). Non-heme iron of deep
    grey matter rises with age as 1 - exp(-0.04 age) (Hallgren and Sourander 1958);
    the tabled values are taken as those at 62 years.

    Parameters
    ----------
    seed : int
        The person.
    age_years : float, optional
        Age; drawn between 20 and 75 when missing.
    moved : float
        Moves the mean of chi+ and of chi- of every tissue by a share of its own, drawn between
        -moved and +moved: a value table that no network has seen.
    """
    rng = np.random.default_rng([seed, 101])
    age = float(rng.uniform(20, 75)) if age_years is None else float(age_years)
    iron = (1 - np.exp(-0.04 * age)) / (1 - np.exp(-0.04 * 62.0))
    shared_para, shared_dia = np.exp(rng.normal(0, 0.05, 2))
    other = np.random.default_rng([seed, 102])
    person = {}
    for name, tissue in TISSUES.items():
        # The third was once that of T2; drawn still, so that every person stays who they are.
        draw_para, draw_dia, _ = rng.normal(0, 1, 3).clip(-2, 2)
        para = shared_para * tissue.chi_para_ppb + draw_para * tissue.chi_para_sd
        if name in DEEP_GREY or name in ("subthalamic nucleus", "pulvinar"):
            para *= iron
        dia = shared_dia * tissue.chi_dia_ppb + draw_dia * tissue.chi_dia_sd
        para *= 1 + moved * other.uniform(-1, 1)
        dia *= 1 + moved * other.uniform(-1, 1)
        person[name] = replace(
            tissue,
            chi_para_ppb=max(0.0, float(para)),
            chi_dia_ppb=min(0.0, float(dia)),
        )
    return person
