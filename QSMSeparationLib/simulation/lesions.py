"""MS lesions of known class: where they lie, what shape they have, and what they are like.

Their values are drawn in :mod:`QSMSeparationLib.simulation.lesion_values`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation import lesion_shapes as shapes
from QSMSeparationLib.simulation.anatomy import Anatomy, Lesion
from QSMSeparationLib.simulation.lesion_ages import AGES, draw_state, likely_age
from QSMSeparationLib.simulation.lesion_places import WhiteMatter, clip
from QSMSeparationLib.simulation.lesion_values import LEAST_CORE_MM, Sources, Wish, draw_values
from QSMSeparationLib.simulation.tissues import Tissue, r2_of_sources_hz

CLASS_SHARES: dict[tuple[str, str], float] = {
    ("rim", "hypo"): 0.16, ("rim", "iso"): 0.02, ("rim", "hyper"): 0.02,
    ("hyper", "hypo"): 0.15, ("hyper", "iso"): 0.05, ("hyper", "hyper"): 0.04,
    ("iso", "hypo"): 0.15, ("iso", "iso"): 0.10, ("iso", "hyper"): 0.08,
    ("hypo", "hypo"): 0.14, ("hypo", "iso"): 0.05, ("hypo", "hyper"): 0.04,
}  # fmt: skip
"""Share of each pair (class of chi+, class of chi-)."""

_AGE_SHARES: dict[tuple[str, str], float] = {
    (name, kind): age.share * (age.rim_chance if kind == "rim" else 1 - age.rim_chance)
    for name, age in AGES.items()
    for kind in ("rim", "")
}

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
_ATTEMPTS = 25
_REDRAWS = 6


def draw_lesions(
    anatomy: Anatomy,
    tissues: dict[str, Tissue],
    seed: int,
    count: int = 16,
    masks: Sequence[Volume] = (),
    by_age: bool = False,
) -> tuple[Lesion, ...]:
    """Draw MS lesions of known class and place them in a person's white matter.

    Nothing is drawn near the limits between classes
    (:mod:`QSMSeparationLib.simulation.lesion_values`). Lesions are clipped at the border of
    white matter, so none crosses into ventricle, CSF or grey matter, and lie 3 mm or more apart.

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
    by_age : bool
        Draw the age first, values by it, and let the class follow from the values; else draw
        the class first and an age that fits its values.

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
    states = np.random.default_rng([seed, 9103])
    wishes = _wishes(white.locations(), count, by_age, rng)
    wishes.sort(key=lambda wish: -wish.diameter_mm)
    lesions = []
    for number, wish in enumerate(wishes, start=1):
        lesion = _place(number, wish, white, tissues, pool, rng, states)
        white.occupy(lesion.inside_mm)
        lesions.append(lesion)
    return tuple(lesions)


def truth_rows(lesions: Sequence[Lesion]) -> list[dict[str, object]]:
    """Return the truth rows of lesions: class, place, size and values in ppb.

    ``center_*_mm`` is the center of mass in LPS world coordinates.
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
                "age": lesion.age,
                "water": round(lesion.state.water, 4),
                "t1_s": round(lesion.state.t1_s, 3),
                "core_r2_hz": round(core_r2_hz(lesion), 2),
                "centre_x_mm": round(float(x), 1),
                "centre_y_mm": round(float(y), 1),
                "centre_z_mm": round(float(z), 1),
            }
        )
    return rows


def core_r2_hz(lesion: Lesion) -> float:
    """Return R2 of a lesion's core at 3 T."""
    sources = r2_of_sources_hz(lesion.core_para_ppb, -lesion.core_dia_ppb)
    return lesion.state.free_r2_hz + sources


def _spread(shares: dict, count: int, rng: np.random.Generator) -> list:
    """Draw ``count`` keys so that each occurs as often as its share says, within one."""
    edges = np.cumsum(list(shares.values()))
    ticks = (np.arange(count) + rng.uniform()) / count * edges[-1]
    keys = list(shares)
    return [keys[n] for n in rng.permutation(np.searchsorted(edges, ticks, side="right"))]


def _wishes(
    locations: Sequence[str], count: int, by_age: bool, rng: np.random.Generator
) -> list[Wish]:
    """Draw class, location and size of every lesion.

    Diameters are skewed to the small; lesions with a rim are larger (mean 11.9 against
    6.4-7.8 mm in AJR 2021.26777).
    """
    places = _spread({name: LOCATION_SHARES[name] for name in locations}, count, rng)
    wishes = []
    kinds = _spread(_AGE_SHARES if by_age else CLASS_SHARES, count, rng)
    for (first, second), place in zip(kinds, places, strict=True):
        rim = "rim" in (first, second)
        para, dia, age = (second, "", first) if by_age else (first, second, "")
        diameter = np.exp(rng.normal(np.log(9.0 if rim else 5.5), 0.35 if rim else 0.45))
        smallest = _SMALLEST_RIM_MM + 0.5 if rim else _SMALLEST_MM
        diameter = float(np.clip(diameter, smallest, _LARGEST_MM[place]))
        rim_mm = float(rng.uniform(1, 2)) if rim else 0.0
        wishes.append(Wish(para, dia, place, diameter, rim_mm, age))
    return wishes


def _place(
    number: int,
    wish: Wish,
    white: WhiteMatter,
    tissues: dict[str, Tissue],
    pool: list[shapes.RealShape],
    rng: np.random.Generator,
    states: np.random.Generator,
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
            sources = draw_values(wish, inside, white, tissues, rng)
            if sources is not None:
                return _lesion(number, location, wish.age, inside, sources, states)
        diameter = max(least, 0.85 * diameter)
    raise InputError(f"no room in white matter for lesion {number}; ask for fewer lesions")


def _real(
    pool: list[shapes.RealShape], diameter_mm: float, rim_mm: float, rng: np.random.Generator
) -> shapes.RealShape | None:
    """Draw a real shape of about a diameter, thick enough for a core within the rim."""
    least = 1.1 * (min(rim_mm, diameter_mm / 4) + LEAST_CORE_MM) if rim_mm else 0.0
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
    center = white.grid.world(index) + rng.uniform(-0.5, 0.5, 3) * np.asarray(white.grid.spacing_mm)
    axis = white.away_from_ventricle(index) if location == "periventricular" else None
    rotation = shapes.random_rotation(rng, axis)
    if real is not None:
        grid = shapes.local_grid(center, 1.25 * real.reach_mm * diameter_mm / real.diameter_mm)
        depth = shapes.real_depth(grid, real, diameter_mm, rotation)
    else:
        waist = diameter_mm / 2 * np.sqrt(diameter_mm / 2 / half_length_mm)
        squeeze = rng.uniform(0.85, 1.15)
        semi_axes = (half_length_mm, waist * squeeze, waist / squeeze)
        grid = shapes.local_grid(center, 1.5 * half_length_mm)
        depth = shapes.ellipsoid_depth(grid, semi_axes, rotation, rng.uniform(0.1, 0.2), rng)
    return clip(depth, grid, white, diameter_mm)


def _lesion(
    number: int,
    location: str,
    age: str,
    inside: Volume,
    sources: Sources,
    states: np.random.Generator,
) -> Lesion:
    """Put a lesion together; its state is drawn here, and its age where it has none yet."""
    rim = sources.class_para == "rim"
    age = age or likely_age(*sources.core_ppb, rim, states)
    return Lesion(
        id=number,
        inside_mm=inside,
        class_para=sources.class_para,
        class_dia=sources.class_dia,
        location=location,
        rim_mm=float(sources.rim_mm),
        core_para_ppb=float(sources.core_ppb[0]),
        core_dia_ppb=-float(sources.core_ppb[1]),
        rim_para_ppb=float(sources.rim_ppb[0]),
        rim_dia_ppb=-float(sources.rim_ppb[1]),
        age=age,
        state=draw_state(age, states),
    )
