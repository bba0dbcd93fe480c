"""Brain stem, cerebellum with its folia, fourth ventricle and spinal cord."""

from __future__ import annotations

import numpy as np

from QSMSeparationLib.simulation.drawn_head.cortex import tentorium
from QSMSeparationLib.simulation.drawn_head.shapes import (
    Array,
    Space,
    View,
    blob,
    ellipsoid,
    noise,
    smooth_cut,
    smooth_union,
    tube,
)
from QSMSeparationLib.simulation.tissues import EXTRACEREBRAL_CSF_LABEL, label_of

STEM_BOX = ((-30.0, -64.0, -150.0), (30.0, 0.0, 4.0))
CORD = ((0, -38, -58, 7.0), (0, -43, -72, 5.8), (0, -45, -95, 5.5), (0, -46, -165, 5.5))
FOURTH_VENTRICLE_LABEL = 15
_CEREBELLUM_BOX = ((-62.0, -100.0, -72.0), (62.0, -26.0, 4.0))
_FASTIGIUM = (-44.0, -32.0)


def paint_hindbrain(space: Space, seed: int) -> None:
    """Label cerebellum, brain stem, spinal cord, aqueduct and fourth ventricle."""
    rng = np.random.default_rng([seed, 4])
    _paint_cerebellum(space, rng)
    view = space.view(*STEM_BOX)
    cord = tube(view, CORD)
    stem = brain_stem(view)
    view.paint(cord, label_of("spinal cord"), view.z < -64)
    view.paint(stem, label_of("brain stem"), view.z >= -64)
    _paint_ventricle(view, float(rng.uniform(0.8, 1.25)))
    for side in ("left", "right"):
        _paint_dentate(space, side, float(rng.normal(1, 0.04)))


def brain_stem(view: View) -> Array:
    """Signed distance to midbrain, pons and medulla."""
    midbrain = ellipsoid(view, (0, -26.5, -13), (15.5, 11.5, 14))
    tectum = ellipsoid(view, (0, -35, -9), (9, 5, 8))
    pons = ellipsoid(view, (0, -25.5, -33), (17.5, 12.5, 14.5))
    medulla = tube(view, ((0, -33, -42, 9.5), (0, -37, -54, 8.0), (0, -40, -66, 6.5)))
    stem = smooth_union(smooth_union(midbrain, tectum, 4), pons, 6)
    return smooth_union(stem, medulla, 6)


def _paint_ventricle(view: View, wide: float) -> None:
    tent = ellipsoid(view, (0, -40.5, -32), (7.5 * wide, 4.5 * wide, 12))
    roof = ellipsoid(view, (0, -45, -32), (5.0, 5.5 * wide, 5.0))
    recess = ellipsoid(view, (0, -40, -37), (14 * wide, 2.5, 3))
    aqueduct = tube(view, ((0, -28, -1, 1.3), (0, -33, -10, 1.1), (0, -38, -22, 1.6)))
    shape = smooth_union(smooth_union(tent, roof, 3), recess, 3)
    view.paint(np.minimum(shape, aqueduct), FOURTH_VENTRICLE_LABEL)


def cerebellar_hull(view: View) -> Array:
    """Signed distance to the cerebellum without its folia."""
    mirrored = View(np.abs(view.x), view.y, view.z, view.labels, view.slices)
    lobe = ellipsoid(mirrored, (25, -61, -37), (31, 30, 26), -12)
    vermis = ellipsoid(mirrored, (0, -62, -27), (20, 28, 30))
    hull = smooth_union(lobe, vermis, 10)
    return smooth_cut(hull, tentorium(view) + 0.9, 4)


def _paint_cerebellum(space: Space, rng: np.random.Generator) -> None:
    view = space.view(*_CEREBELLUM_BOX)
    hull = cerebellar_hull(view)
    behind, above = _FASTIGIUM[0] - view.y, view.z - _FASTIGIUM[1]
    radius = np.sqrt(behind**2 + above**2 + 0.15 * view.x**2) + 1
    wobble = 0.05 * noise(rng, hull.shape, 28, 0.5) + 0.02 * noise(rng, hull.shape, 11, 0.5)
    fan = np.arctan2(above, behind) + wobble - 0.006 * np.abs(view.x)
    leaf, lobule = rng.uniform((48, 14), (54, 17))
    fine = _to_sheet(fan * leaf) / leaf * radius
    coarse = _to_sheet(fan * lobule) / lobule * radius
    middle = _to_sheet(fan * lobule + np.pi) / lobule * radius
    fissure = ((coarse < 0.55) & (hull > -15)) | ((fine < 0.45) & (hull > -3.5))
    core = ellipsoid(view, (0, -54, -33), (28, 8, 6))
    deep = View(np.abs(view.x), view.y, view.z, view.labels, view.slices)
    core = smooth_union(core, ellipsoid(deep, (18, -58, -36), (16, 13, 9)), 6)
    core = np.minimum(
        core, tube(deep, ((15, -28, -34, 6.5), (20, -42, -36, 6.5), (20, -52, -36, 6)))
    )
    white = (core < 0) | ((middle < 0.9) & (hull < -4.5) & (core < 20))
    stem_free = view.y < -25
    for side, half in (("left", view.x <= 0), ("right", view.x > 0)):
        inside = (hull < 0) & half & stem_free
        view.labels[inside] = label_of("cerebellar cortex", side)
        view.labels[inside & fissure & (core > 2)] = EXTRACEREBRAL_CSF_LABEL
        arbor = white & half & ((hull < 0) | (core < 0)) & ~(fissure & (core > 2))
        view.labels[arbor & stem_free] = label_of("cerebellar white matter", side)


def _to_sheet(phase: Array) -> Array:
    """Distance of a phase to the nearest multiple of 2 pi, in radians."""
    return np.abs((phase + np.pi) % (2 * np.pi) - np.pi)


def _paint_dentate(space: Space, side: str, size: float) -> None:
    view = space.view((4, -72, -48), (30, -44, -22), side=side)
    bag = blob(view, (16, -57, -35), (8.5 * size, 8.5 * size, 6.0 * size), 25)
    crumple = 1.0 * np.sin(1.1 * view.x) * np.sin(1.1 * view.z + 0.7 * view.y)
    sheet = np.abs(bag + 1.2 + crumple) - 1.15
    hilum = blob(view, (10, -50, -34), (7, 6, 4.5))
    view.paint(np.maximum(sheet, -hilum), label_of("dentate nucleus", side))
