"""MS lesions of known class: where they lie, what shape they have, what they do to chi.

Values (our assumption, anchored in the literature: normal-appearing white matter has
chi+ 14-17 and |chi-| 27-35 ppb): demyelinated core |chi-| 5-15, remyelinated 18-25, iron
rim 1-2 mm thick with chi+ 30-60 and |chi-| 15-25, solid iron chi+ 30-50, all in ppb.
They are drawn against the white matter around the lesion, and the margins below keep
every class unambiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation import lesion_shapes as shapes
from QSMSeparationLib.simulation.anatomy import Anatomy, Lesion
from QSMSeparationLib.simulation.lesion_places import WhiteMatter, clip
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

CLASS_SHARES: dict[tuple[str, str], float] = {
    ("rim", "hypo"): 0.16, ("rim", "iso"): 0.02, ("rim", "hyper"): 0.02,
    ("hyper", "hypo"): 0.15, ("hyper", "iso"): 0.05, ("hyper", "hyper"): 0.04,
    ("iso", "hypo"): 0.15, ("iso", "iso"): 0.10, ("iso", "hyper"): 0.08,
    ("hypo", "hypo"): 0.14, ("hypo", "iso"): 0.05, ("hypo", "hyper"): 0.04,
}  # fmt: skip
"""Share of each pair (class of chi+, class of chi-)."""

LOCATION_SHARES: dict[str, float] = {
    "periventricular": 0.40,
    "juxtacortical": 0.25,
    "infratentorial": 0.10,
    "deep white matter": 0.25,
}
"""Share of each location."""

_LARGEST_MM = {
    "periventricular": 20.0,
    "juxtacortical": 12.0,
    "infratentorial": 10.0,
    "deep white matter": 13.0,
}
_SMALLEST_MM = 3.2
_SMALLEST_RIM_MM = 5.0
_LEAST_CORE_MM = 1.0
_ATTEMPTS = 25
_REDRAWS = 6


@dataclass(frozen=True)
class _Wish:
    """What one lesion should be."""

    class_para: str
    class_dia: str
    location: str
    diameter_mm: float
    rim_mm: float


def draw_lesions(
    anatomy: Anatomy,
    tissues: dict[str, Tissue],
    seed: int,
    count: int = 16,
    masks: Sequence[Volume] = (),
) -> tuple[Lesion, ...]:
    """Draw MS lesions of known class and place them in a person's white matter.

    The class margins are the constants of this module (``ISO_MARGIN_PPB`` and so on):
    iso within 1 ppb of the white matter around the lesion; chi+ hypo at least 6 ppb
    below, hyper and rim at least 12 ppb above it and a rim 15 ppb above its core;
    abs(chi-) hypo at least 8 ppb below, hyper at least 10 ppb above it. Nothing is drawn in
    between. Lesions are clipped at the border of white matter, so none crosses into
    ventricle, CSF or grey matter, and lie 3 mm or more apart.

    Parameters
    ----------
    anatomy : Anatomy
        The person.
    tissues : dict of str to Tissue
        The person's values.
    seed : int
        The draw; the same seed gives the same lesions.
    count : int
        Number of lesions.
    masks : sequence of Volume
        Binary lesion masks to take the shapes from; irregular ellipsoids without any, and
        for lesions with a rim when every real shape is too flat for a core.

    Returns
    -------
    tuple of Lesion
        Numbered from 1, largest first.

    Raises
    ------
    InputError
        When the white matter has no room for so many lesions.
    """
    if count < 1:
        return ()
    rng = np.random.default_rng([seed, 303])
    white = WhiteMatter.of(anatomy)
    pool = shapes.real_shapes(masks)
    wishes = sorted(_wishes(white.locations(), count, rng), key=lambda wish: -wish.diameter_mm)
    lesions = []
    for number, wish in enumerate(wishes, start=1):
        lesion = _place(number, wish, white, tissues, pool, rng)
        white.occupy(lesion.inside_mm)
        lesions.append(lesion)
    return tuple(lesions)


def truth_rows(lesions: Sequence[Lesion]) -> list[dict[str, object]]:
    """Return the truth rows of lesions: class, place, size and values in ppb.

    ``centre_*_mm`` is the centre of mass in LPS world coordinates.
    """
    rows: list[dict[str, object]] = []
    for lesion in lesions:
        inside = np.argwhere(lesion.inside_mm.array > 0)
        x, y, z = lesion.inside_mm.geometry.world(inside.mean(axis=0))
        rows.append(
            {
                "id": lesion.id,
                "volume_mm3": round(lesion.volume_mm3, 1),
                "class_para": lesion.class_para,
                "class_dia": lesion.class_dia,
                "location": lesion.location,
                "diameter_mm": round(lesion.diameter_mm, 2),
                "rim_mm": round(lesion.rim_mm, 2),
                "core_para_ppb": round(lesion.core_para_ppb, 2),
                "core_dia_ppb": round(lesion.core_dia_ppb, 2),
                "rim_para_ppb": round(lesion.rim_para_ppb, 2),
                "rim_dia_ppb": round(lesion.rim_dia_ppb, 2),
                "r2_factor": round(lesion.r2_factor, 3),
                "centre_x_mm": round(float(x), 1),
                "centre_y_mm": round(float(y), 1),
                "centre_z_mm": round(float(z), 1),
            }
        )
    return rows


def _spread(shares: dict, count: int, rng: np.random.Generator) -> list:
    """Draw ``count`` keys so that each occurs as often as its share says, within one."""
    edges = np.cumsum(list(shares.values()))
    ticks = (np.arange(count) + rng.uniform()) / count * edges[-1]
    keys = list(shares)
    return [keys[n] for n in rng.permutation(np.searchsorted(edges, ticks, side="right"))]


def _wishes(locations: Sequence[str], count: int, rng: np.random.Generator) -> list[_Wish]:
    """Draw class, location and size of every lesion.

    Diameters are skewed to the small; lesions with a rim are larger (mean 11.9 against
    6.4-7.8 mm in AJR 2021.26777).
    """
    places = _spread({name: LOCATION_SHARES[name] for name in locations}, count, rng)
    wishes = []
    for (para, dia), place in zip(_spread(CLASS_SHARES, count, rng), places, strict=True):
        rim = para == "rim"
        diameter = np.exp(rng.normal(np.log(9.0 if rim else 5.5), 0.35 if rim else 0.45))
        smallest = _SMALLEST_RIM_MM + 0.5 if rim else _SMALLEST_MM
        diameter = float(np.clip(diameter, smallest, _LARGEST_MM[place]))
        wishes.append(_Wish(para, dia, place, diameter, float(rng.uniform(1, 2)) if rim else 0.0))
    return wishes


def _place(
    number: int,
    wish: _Wish,
    white: WhiteMatter,
    tissues: dict[str, Tissue],
    pool: list[shapes.RealShape],
    rng: np.random.Generator,
) -> Lesion:
    """Try places until a lesion fits with its class unambiguous; make it smaller if need be."""
    least = _SMALLEST_RIM_MM if wish.rim_mm else _SMALLEST_MM
    diameter = wish.diameter_mm
    others = [name for name in white.locations() if name != wish.location]
    for location in [wish.location] * _REDRAWS + others:
        stretch = rng.uniform(1.2, 1.6) if location == "periventricular" else rng.uniform(1, 1.2)
        half_length = diameter / 2 * stretch
        for index in white.candidates(location, diameter / 2, half_length, _ATTEMPTS, rng):
            real = _real(pool, diameter, wish.rim_mm, rng)
            inside = _shape(white, index, location, diameter, half_length, real, rng)
            if inside is None:
                continue
            placed = replace(wish, location=location)
            lesion = _with_values(number, placed, inside, white, tissues, rng)
            if lesion is not None:
                return lesion
        diameter = max(least, 0.85 * diameter)
    raise InputError(f"no room in white matter for lesion {number}; ask for fewer lesions")


def _real(
    pool: list[shapes.RealShape], diameter_mm: float, rim_mm: float, rng: np.random.Generator
) -> shapes.RealShape | None:
    """Draw a real shape of about a diameter, thick enough for a core within the rim."""
    least = 1.1 * (min(rim_mm, diameter_mm / 4) + _LEAST_CORE_MM) if rim_mm else 0.0
    thick = [s for s in pool if s.depth_mm.max() * diameter_mm / s.diameter_mm >= least]
    near = sorted(thick, key=lambda s: abs(np.log(s.diameter_mm / diameter_mm)))[:12]
    return near[rng.integers(len(near))] if near else None


def _shape(
    white: WhiteMatter,
    index: NDArray[np.int64],
    location: str,
    diameter_mm: float,
    half_length_mm: float,
    real: shapes.RealShape | None,
    rng: np.random.Generator,
) -> Volume | None:
    """Shape one lesion at a voxel, clipped to free white matter; None where it does not fit.

    Periventricular ones are drawn out away from the wall (Dawson's fingers).
    """
    centre = white.grid.world(index) + rng.uniform(-0.5, 0.5, 3) * np.asarray(white.grid.spacing_mm)
    axis = white.away_from_ventricle(index) if location == "periventricular" else None
    rotation = shapes.random_rotation(rng, axis)
    if real is not None:
        grid = shapes.local_grid(centre, 1.25 * real.reach_mm * diameter_mm / real.diameter_mm)
        depth = shapes.real_depth(grid, real, diameter_mm, rotation)
    else:
        waist = diameter_mm / 2 * np.sqrt(diameter_mm / 2 / half_length_mm)
        squeeze = rng.uniform(0.85, 1.15)
        semi_axes = (half_length_mm, waist * squeeze, waist / squeeze)
        grid = shapes.local_grid(centre, 1.5 * half_length_mm)
        depth = shapes.ellipsoid_depth(grid, semi_axes, rotation, rng.uniform(0.1, 0.2), rng)
    return clip(depth, grid, white, diameter_mm)


def _with_values(
    number: int,
    wish: _Wish,
    inside: Volume,
    white: WhiteMatter,
    tissues: dict[str, Tissue],
    rng: np.random.Generator,
) -> Lesion | None:
    """Give a shape its values; None where the surroundings leave its class ambiguous."""
    para, dia, spread = white.surroundings(inside, tissues)
    if spread > UNIFORM_SD_PPB or para < HYPO_PARA_MARGIN_PPB + 2 or dia < HYPO_DIA_MARGIN_PPB + 7:
        return None
    core_dia = _draw_dia(wish.class_dia, dia, rng)
    core_para = _draw_para(wish.class_para, para, rng)
    rim_mm, rim_para, rim_dia = 0.0, core_para, core_dia
    diameter = (6 * (inside.array > 0).sum() * inside.geometry.voxel_volume_mm3 / np.pi) ** (1 / 3)
    if diameter < 3.0:
        return None
    if wish.class_para == "rim":
        # The core must be seen: at least 1 mm deep, and under 6 mm the rim stays thin.
        rim_mm = min(wish.rim_mm, diameter / 4)
        if rim_mm < 1.0 or inside.array.max() < rim_mm + _LEAST_CORE_MM:
            return None
        rim_para = rng.uniform(
            max(30, para + HYPER_PARA_MARGIN_PPB, core_para + RIM_MARGIN_PPB), 60
        )
        if wish.class_dia == "hypo":
            rim_dia = min(rng.uniform(15, 25), dia - HYPO_DIA_MARGIN_PPB)
    return Lesion(
        id=number,
        inside_mm=inside,
        class_para=wish.class_para,
        class_dia=wish.class_dia,
        location=wish.location,
        rim_mm=float(rim_mm),
        core_para_ppb=float(core_para),
        core_dia_ppb=-float(core_dia),
        rim_para_ppb=float(rim_para),
        rim_dia_ppb=-float(rim_dia),
        r2_factor=float(rng.uniform(0.6, 0.9)),
    )


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
