"""chi+ and chi- of MS lesions, and the classes that follow.

A lesion is drawn in one of two ways, both against the white matter around it, and neither gives
a value near the limit between two classes.

* By its class (our assumption, anchored in the literature: normal-appearing white matter has
  chi+ 14-17 and |chi-| 27-35 ppb): demyelinated core |chi-| 5-15, remyelinated 18-25, iron rim
  1-2 mm thick with chi+ 30-60 and |chi-| 15-25, solid iron chi+ 30-50, all in ppb. The margins
  below part the classes.
* By its age (:mod:`QSMSeparationLib.simulation.lesion_ages`): the values come first and the class
  is what the analysis of lesions would call them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.simulation.lesion_ages import draw_rim, draw_sources
from QSMSeparationLib.simulation.lesion_places import WhiteMatter
from QSMSeparationLib.simulation.tissues import Tissue

ISO_MARGIN_PPB = 1.0
"""An iso lesion differs from the white matter around it by no more than this."""
HYPO_PARA_MARGIN_PPB = 6.0
"""chi+ of a hypo lesion lies at least this far below the white matter around it."""
HYPER_PARA_MARGIN_PPB = 12.0
"""chi+ of a hyper lesion, or of a rim, lies at least this far above it."""
HYPO_DIA_MARGIN_PPB = 8.0
"""abs(chi-) of a hypo lesion, core and rim, lies at least this far below it."""
HYPER_DIA_MARGIN_PPB = 10.0
"""abs(chi-) of a hyper lesion lies at least this far above it."""
RIM_MARGIN_PPB = 15.0
"""chi+ of a rim lies at least this far above its core."""
UNIFORM_SD_PPB = 5.0
"""Lesions lie only where the white matter around them varies less than this (SD over tracts)."""

CLASS_LIMIT_PPB = 5.0
"""A lesion drawn by its age is iso within this (the floor of the analysis of lesions) ..."""
RIM_LIMIT_PPB = 8.0
"""... and has a rim whose chi+ lies at least this far above core and surroundings."""
LIMIT_GAP_PPB = 2.0
"""Values this near to a limit are drawn again."""

LEAST_CORE_MM = 1.0
"""Least depth of the core below a rim."""
_LEAST_DIAMETER_MM = 3.0
_TRIES = 200


@dataclass(frozen=True)
class Wish:
    """What one lesion should be: of a class, or of an age, from which its class will follow."""

    class_para: str
    class_dia: str
    location: str
    diameter_mm: float
    rim_mm: float
    age: str = ""


@dataclass(frozen=True)
class Sources:
    """What a lesion does to (chi+, abs(chi-)), in ppb, and the classes of that."""

    class_para: str
    class_dia: str
    core_ppb: tuple[float, float]
    rim_ppb: tuple[float, float]
    rim_mm: float = 0.0


def draw_values(
    wish: Wish,
    inside: Volume,
    white: WhiteMatter,
    tissues: dict[str, Tissue],
    rng: np.random.Generator,
) -> Sources | None:
    """Give a shape its values; None where the surroundings leave its class ambiguous."""
    para, dia, spread = white.surroundings(inside, tissues)
    if spread > UNIFORM_SD_PPB or para < HYPO_PARA_MARGIN_PPB + 2 or dia < HYPO_DIA_MARGIN_PPB + 7:
        return None
    draw = _by_age if wish.age else _by_class
    return draw(wish, inside, (para, dia), rng)


def class_of(difference_ppb: float) -> str | None:
    """Return the class of a difference to the surroundings; None within the gap at a limit."""
    if abs(abs(difference_ppb) - CLASS_LIMIT_PPB) < LIMIT_GAP_PPB:
        return None
    if abs(difference_ppb) < CLASS_LIMIT_PPB:
        return "iso"
    return "hyper" if difference_ppb > 0 else "hypo"


def _by_age(
    wish: Wish, inside: Volume, around: tuple[float, float], rng: np.random.Generator
) -> Sources | None:
    """Draw the values of an age until none is near a limit; the classes follow from them."""
    rim_mm = _rim_mm(wish, inside)
    if _diameter_mm(inside) < _LEAST_DIAMETER_MM or rim_mm is None:
        return None
    depth = inside.array[inside.array > 0]
    rim_share = float((depth <= rim_mm).mean())
    for _ in range(_TRIES):
        core = draw_sources(wish.age, rim_mm > 0, rng)
        rim = draw_rim(rng) if rim_mm > 0 else core
        mean_dia = (1 - rim_share) * core[1] + rim_share * rim[1]
        para = class_of(core[0] - around[0])
        dia = class_of(mean_dia - around[1])
        if rim_mm > 0:
            step = rim[0] - max(core[0], around[0])
            para = "rim" if step >= RIM_LIMIT_PPB + LIMIT_GAP_PPB else None
        if para is not None and dia is not None:
            return Sources(para, dia, core, rim, rim_mm)
    return None


def _by_class(
    wish: Wish, inside: Volume, around: tuple[float, float], rng: np.random.Generator
) -> Sources | None:
    """Draw the values of a class, a margin away from those around."""
    para, dia = around
    core_dia = _draw_dia(wish.class_dia, dia, rng)
    core_para = _draw_para(wish.class_para, para, rng)
    rim_mm = _rim_mm(wish, inside)
    if _diameter_mm(inside) < _LEAST_DIAMETER_MM or rim_mm is None:
        return None
    rim_para, rim_dia = core_para, core_dia
    if rim_mm > 0:
        least = max(30, para + HYPER_PARA_MARGIN_PPB, core_para + RIM_MARGIN_PPB)
        rim_para = rng.uniform(least, 60)
        if wish.class_dia == "hypo":
            rim_dia = min(rng.uniform(15, 25), dia - HYPO_DIA_MARGIN_PPB)
    # Once the factor of R2; drawn still, so that every lesion stays where it is.
    rng.uniform()
    return Sources(
        wish.class_para, wish.class_dia, (core_para, core_dia), (rim_para, rim_dia), rim_mm
    )


def _diameter_mm(inside: Volume) -> float:
    """Diameter of the sphere of the same volume."""
    volume = (inside.array > 0).sum() * inside.geometry.voxel_volume_mm3
    return float((6 * volume / np.pi) ** (1 / 3))


def _rim_mm(wish: Wish, inside: Volume) -> float | None:
    """Thickness of the rim, 0 without one; None where the core below it would not be seen."""
    if not wish.rim_mm:
        return 0.0
    # The core must be at least 1 mm deep, and under 6 mm the rim stays thin.
    rim_mm = min(wish.rim_mm, _diameter_mm(inside) / 4)
    return rim_mm if rim_mm >= 1.0 and inside.array.max() >= rim_mm + LEAST_CORE_MM else None


def _draw_para(name: str, around_ppb: float, rng: np.random.Generator) -> float:
    """chi+ of a core of a class, given that of the white matter around it."""
    if name == "hypo":
        return rng.uniform(1.0, around_ppb - HYPO_PARA_MARGIN_PPB)
    if name == "hyper":
        return rng.uniform(max(30.0, around_ppb + HYPER_PARA_MARGIN_PPB), 50.0)
    if name == "rim":
        return rng.uniform(8.0, 15.0)
    return around_ppb + rng.uniform(-1, 1) * ISO_MARGIN_PPB


def _draw_dia(name: str, around_ppb: float, rng: np.random.Generator) -> float:
    """abs(chi-) of a core of a class, given that of the white matter around it."""
    if name == "hyper":
        return around_ppb + rng.uniform(HYPER_DIA_MARGIN_PPB, 25.0)
    if name == "iso":
        return around_ppb + rng.uniform(-1, 1) * ISO_MARGIN_PPB
    highest = around_ppb - HYPO_DIA_MARGIN_PPB
    if rng.uniform() < 0.25 and highest > 18.0:
        return rng.uniform(18.0, min(25.0, highest))
    return rng.uniform(5.0, min(15.0, highest))
