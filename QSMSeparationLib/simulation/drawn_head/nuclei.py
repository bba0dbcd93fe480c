"""The inside of a procedural cerebrum: ventricles, callosum, deep nuclei, tract labels.

Positions and sizes follow the MNI atlas coordinates of textbooks.
"""

from __future__ import annotations

import numpy as np

from QSMSeparationLib.simulation.drawn_head.cortex import BRAIN_BOX, tentorium
from QSMSeparationLib.simulation.drawn_head.shapes import (
    Array,
    Space,
    View,
    blob,
    smooth_union,
    step,
    tube,
)
from QSMSeparationLib.simulation.tissues import label_of

SIDES = ("left", "right")
_CENTRAL = ((0.0, -82.0, -30.0), (50.0, 42.0, 34.0))
VENTRICLE_LABEL = {"left": 4, "right": 43}
TEMPORAL_HORN_LABEL = {"left": 5, "right": 44}
THIRD_VENTRICLE_LABEL = 14

FRONTAL_HORN_AND_BODY = (
    (6.5, 31, 1, 1.6), (7.5, 25, 7, 3.2), (6.5, 14, 12, 3.6), (6.8, 0, 17, 3.5),
    (9, -15, 20, 3.5), (14, -28, 18, 4.0), (21, -38, 13, 5.2), (24, -43, 7, 5.6),
)  # fmt: skip
OCCIPITAL_HORN = ((24, -43, 7, 5.0), (26, -56, 6, 3.2), (23, -69, 6, 1.2))
TEMPORAL_HORN = (
    (24, -43, 6, 4.8), (30, -38, -2, 3.2), (34.5, -28, -9, 2.0), (34.5, -16, -15, 1.9),
    (30.5, -9, -19, 1.6),
)  # fmt: skip
CAUDATE = (
    (11.5, 22, 0, 4.0), (13.0, 17, 5, 5.8), (14.0, 9, 10, 5.2), (15.5, -2, 17, 3.7),
    (17.5, -14, 21, 3.1), (21, -26, 20, 2.5), (28, -37, 14, 1.9), (31.5, -38, 4, 1.6),
    (35, -29, -5, 1.5), (36.5, -18, -11, 1.4),
)  # fmt: skip
HIPPOCAMPUS = (
    (24, -11, -21, 5.4), (28, -20, -17, 5.0), (28.5, -28, -12, 4.4), (25, -36, -4, 3.9),
    (19, -40, 3, 2.6),
)  # fmt: skip
PEDUNCLE = ((18, -13, -3, 3.5), (14.5, -16.5, -12, 4.6), (8.5, -20, -23, 4.2))


def paint_core(space: Space, seed: int) -> None:
    """Label ventricles, callosum and nuclei; the brain stem must be there already."""
    rng = np.random.default_rng([seed, 3])
    wide = float(np.clip(np.exp(rng.normal(0.12, 0.18)), 0.9, 1.6))
    thick = float(np.clip(rng.normal(1, 0.1), 0.8, 1.2))
    _paint_callosum(space, thick)
    calcified = rng.random() < 0.4
    for side in SIDES:
        view = space.view(*_CENTRAL, side=side)
        own = wide * float(rng.normal(1, 0.06))
        _paint_ventricles(view, side, own)
        size = 1 + rng.normal(0, 0.025, 6).clip(-0.05, 0.05)
        _paint_thalamus(view, side, size)
        _paint_striatum(view, side, size)
        _paint_limbic(view, side, size)
        _paint_midbrain(view, side, size)
        if calcified:
            spot = blob(view, (24, -42, 8), tuple(rng.uniform(1.4, 3.2, 3)))
            view.paint(spot, label_of("choroid calcification", side))
    _paint_third_ventricle(space, wide)


def _paint_callosum(space: Space, thick: float) -> None:
    view = space.view((-30, -56, -14), (30, 46, 40))
    across = np.abs(view.x)
    y = view.y + np.sign(view.y + 5) * -0.012 * across**2
    z = view.z - 0.006 * across**2
    dy, dz = (y + 5) / 41, (z - 2) / 27
    angle = np.degrees(np.arctan2(dz, dy))
    angle = np.where(angle < -90, angle + 360, angle)
    radius = np.sqrt(dy * dy + dz * dz)
    inward = (1 - radius) * np.where(np.abs(angle - 90) < 50, 28.0, 36.0)
    ends = np.exp(-(((angle - 10) / 22) ** 2)) + 0.9 * np.exp(-(((angle - 176) / 14) ** 2))
    depth = thick * (4.2 + 6.5 * ends * (1 - across / 60)) * step(angle, -52, -10)
    depth = depth * step(angle, 202, 186)
    reach = 15 + 8 * ends
    inside = (inward > 0.2) & (inward < depth) & (across < reach)
    for name, low, high in (("genu", -90, 48), ("body", 48, 148), ("splenium", 148, 275)):
        part = inside & (angle >= low) & (angle < high)
        view.labels[part] = label_of(f"corpus callosum {name}")


def _widened(nodes: tuple, factor: float) -> list[tuple[float, float, float, float]]:
    return [(x, y, z, r * factor) for x, y, z, r in nodes]


def _paint_ventricles(view: View, side: str, wide: float) -> None:
    body = tube(view, _widened(FRONTAL_HORN_AND_BODY, wide), 1.15)
    body = smooth_union(body, tube(view, _widened(OCCIPITAL_HORN, wide), 1.2), 3)
    apart = view.x > 0.9
    view.paint(body, VENTRICLE_LABEL[side], apart)
    horn = tube(view, _widened(TEMPORAL_HORN, wide), 0.9)
    view.paint(horn, TEMPORAL_HORN_LABEL[side], (body > 0) & (view.y > -36))
    view.paint(horn, VENTRICLE_LABEL[side], view.y <= -36)


def _paint_third_ventricle(space: Space, wide: float) -> None:
    view = space.view((-8, -34, -20), (8, 10, 20))
    slit = blob(view, (0, -11, 1), (1.9 * wide, 16, 12.5))
    bridge = blob(view, (0, -12, 5), (9, 3, 2.5))
    callosum = view.labels >= label_of("corpus callosum genu")
    view.paint(slit, THIRD_VENTRICLE_LABEL, (bridge > 0) & ~callosum)


def _pallidum(view: View, size: Array) -> Array:
    return blob(view, (21.0, -5, -1), tuple(size[0] * np.array((5.3, 10.9, 7.8))), 22)


def _putamen(view: View, size: Array) -> Array:
    # the shell bends round the pallidum: its outer face is convex
    bent = View(view.x + 0.006 * (view.y + 2) ** 2, view.y, view.z, view.labels, view.slices)
    return blob(bent, (28.6, -1, 1), tuple(size[1] * np.array((5.9, 18.8, 12.3))), 11)


def _paint_thalamus(view: View, side: str, size: Array) -> None:
    below = blob(view, (9.5, -14, -8), (11.5, 13, 9))
    view.paint(below, label_of("ventral diencephalon", side), (view.x > 0) & (view.z < 3))
    main = blob(view, (10.5, -18, 7), tuple(size[2] * np.array((10.6, 17.2, 10.7))), 22)
    pulvinar = blob(view, (15.5, -28.5, 6.5), tuple(size[2] * np.array((8.4, 7.2, 7.8))))
    # the posterior limb of the internal capsule stays open beside the pallidum
    free = (_pallidum(view, size) > 3.6) & (view.x > 0)
    view.paint(main, label_of("thalamus", side), free)
    view.paint(pulvinar, label_of("pulvinar", side), free & (view.y < -24))


def _paint_striatum(view: View, side: str, size: Array) -> None:
    putamen, pallidum = _putamen(view, size), _pallidum(view, size)
    caudate = tube(view, _widened(CAUDATE, 1.04 * float(size[3])), 1.1)
    view.paint(blob(view, (12.5, 14, -4.5), (6.5, 6.0, 5.4)), label_of("accumbens", side))
    view.paint(caudate, label_of("caudate", side), (putamen > 2.8) & (view.x > 2))
    view.paint(putamen, label_of("putamen", side), pallidum > 0)
    view.paint(pallidum, label_of("globus pallidus", side))


def _paint_limbic(view: View, side: str, size: Array) -> None:
    horn = view.labels == TEMPORAL_HORN_LABEL[side]
    body = tube(view, _widened(HIPPOCAMPUS, 1.16 * float(size[4])), 0.95)
    view.paint(body, label_of("hippocampus", side), ~horn)
    almond = blob(view, (23, -3.5, -19.5), (7.8, 7.6, 7.8))
    view.paint(almond, label_of("amygdala", side), (body > 0) & ~horn)


def _paint_midbrain(view: View, side: str, size: Array) -> None:
    stem = np.isin(view.labels, (16, label_of("ventral diencephalon", side), 0))
    view.paint(tube(view, PEDUNCLE), label_of("cerebral peduncle", side), stem)
    leaning = View(view.x + 0.35 * (view.y + 18), view.y, view.z, view.labels, view.slices)
    nigra = blob(leaning, (10.5, -18, -13), tuple(size[5] * np.array((3.0, 7.0, 5.2))))
    view.paint(nigra, label_of("substantia nigra", side), view.x > 2)
    subthalamic = blob(view, (11.5, -14, -6.5), (3.4, 4.6, 2.8), -25)
    view.paint(subthalamic, label_of("subthalamic nucleus", side))
    red = blob(view, (5, -20.5, -9.5), tuple(size[5] * np.array((3.4, 3.5, 4.2))))
    view.paint(red, label_of("red nucleus", side))


def paint_tracts(space: Space) -> None:
    """Give the white matter of both hemispheres the labels of its tracts."""
    for side in SIDES:
        view = space.view((0, BRAIN_BOX[0][1], -34), (64, 40, 48), side=side)
        white = view.labels == label_of("white matter", side)
        for name, inside in _tracts(view).items():
            view.labels[white & inside] = label_of(name, side)


def _tracts(view: View) -> dict[str, np.ndarray]:
    """Where the tracts run; later ones win."""
    x, z = view.x, view.z
    y = view.y + 2.5 * np.sin(0.33 * z + 0.2 * x)
    crown = (x > 14 + 0.1 * np.maximum(z - 18, 0)) & (x < 33) & (z > 14) & (z < 42)
    crown &= tentorium(view) > 8
    front = (x > 8) & (x < 32) & (y > 22) & (y < 38) & (z > -12) & (z < 28)
    # between the nuclei: medial to the bent axis of the putamen
    medial = x < 27.5 - 0.19 * (y + 1) - 0.006 * (y + 2) ** 2 + 9.0 * step(y, -14, -26)
    between = medial & (x > 7) & (z < 20) & (z > -9)
    radiation = ((32, -27, -1, 4.0), (36, -42, 3, 5.0), (33, -58, 6, 5.0), (23, -76, 6, 4.0))
    stratum = ((40, -14, -12, 3.0), (41, -30, -9, 4.5), (40, -46, -5, 4.5), (34, -60, -2, 3.5))
    arcuate = ((38, 18, 28, 3.5), (38, 0, 29, 4.5), (38, -22, 30, 5.0), (42, -40, 24, 5.0),
               (46, -46, 10, 4.0))  # fmt: skip
    return {
        "anterior corona radiata": front | (crown & (y >= 6) & (y < 34)),
        "superior corona radiata": crown & (y >= -24) & (y < 6),
        "posterior corona radiata": crown & (y >= -50) & (y < -24),
        "superior longitudinal fasciculus": tube(view, arcuate) < 0,
        "optic radiation": tube(view, radiation, 1.6) < 0,
        "sagittal stratum": tube(view, stratum, 1.6) < 0,
        "anterior internal capsule": between & (y > 1) & (y < 24),
        "posterior internal capsule": between & (y > -24) & (y <= 1),
        "retrolenticular capsule": between & (y > -36) & (y <= -24) & (x > 18) & (z < 16),
    }
