"""The head around the brain: meninges' CSF, skull, sinuses, face, neck, fat and skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.simulation.drawn_head.shapes import (
    Array,
    Point,
    Space,
    View,
    blob,
    ellipsoid,
    enlarge,
    noise,
    smooth_union,
    step,
    tube,
)
from QSMSeparationLib.simulation.tissues import (
    AIR_SINUS_LABEL,
    EXTRACEREBRAL_CSF_LABEL,
    label_of,
)

_COARSE = 2
_CLOSING_MM = 8.0
OPTIC_NERVE_LABEL = 530
MANDIBLE = ((52, -4, -66, 5), (51, 4, -96, 7), (34, 42, -112, 6.5), (0, 70, -113, 7.5))
AIRWAY = (
    (0, 30, -60, 8), (0, 12, -66, 9), (0, 0, -82, 7.5), (0, -2, -102, 7), (0, 2, -122, 8),
    (0, 6, -165, 9),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Shells:
    """Signed distances on the whole grid: inside of the skull, skin, and skull thickness."""

    cranium_mm: Array
    skin_mm: Array
    skull_mm: Array


def paint_head(space: Space, seed: int) -> Shells:
    """Label everything outside the brain, whose labels must be there already."""
    rng = np.random.default_rng([seed, 5])
    shells = _shells(space, rng)
    outside = _paint_layers(space, shells, rng)
    for side in ("left", "right"):
        view = space.view((-6, -110, -165), (100, 115, 30), side=side)
        _paint_face(view, shells, rng, outside)
    _paint_neck(space, shells, outside)
    _paint_air(space, shells, rng, outside)
    return shells


def _shells(space: Space, rng: np.random.Generator) -> Shells:
    thin = (slice(None, None, _COARSE),) * 3
    brain = space.labels[thin] > 0
    away = ndimage.distance_transform_edt(~brain, sampling=_COARSE)
    deep = ndimage.distance_transform_edt(away < _CLOSING_MM, sampling=_COARSE)
    gap = rng.uniform(1.0, 2.0)
    cranium = np.where(deep > 0, _CLOSING_MM - gap - deep, away - gap).astype(np.float32)
    cranium = ndimage.gaussian_filter(cranium, 1.0)
    x, y, z = (c[thin] for c in space.coordinates)
    view = View(x, y, z, space.labels[thin], thin)
    lumps = noise(rng, view.x.shape, 22, 0.5)
    flank = step(np.abs(view.x), 42, 62) * step(-view.z, -35, 5)
    skull = (rng.uniform(6.0, 7.5) + 0.5 * lumps - 2.2 * flank).astype(np.float32)
    scalp = rng.uniform(5.0, 7.0) + 4.5 * flank * step(view.y, -60, -30)
    skin = _outline(view, cranium - skull - scalp.astype(np.float32), rng)
    fields = (enlarge(f, space.labels.shape, _COARSE) for f in (cranium, skin, skull))
    return Shells(*fields)


def _outline(view: View, scalp: Array, rng: np.random.Generator) -> Array:
    """Signed distance to the skin: scalp, face, nose, chin, ears and neck."""
    both = View(np.abs(view.x), view.y, view.z, view.labels, view.slices)
    wide, long = rng.normal(1, 0.03, 2)
    face = ellipsoid(both, (0, 32, -56), (66 * wide, 54, 66 * long))
    face = smooth_union(face, ellipsoid(both, (0, 58, -106), (30 * wide, 27, 19)), 14)
    cheek = ellipsoid(both, (42 * wide, 52, -66), (22, 24, 24))
    face = smooth_union(face, cheek, 14)
    nose = ellipsoid(both, (0, 88, -60 * long), (14, 20 * rng.normal(1, 0.08), 15))
    bridge = ellipsoid(both, (0, 82, -42), (8, 12, 22))
    face = smooth_union(face, smooth_union(nose, bridge, 8), 7)
    neck = np.sqrt((both.x / 60) ** 2 + ((both.y + 30) / 62) ** 2)
    neck = np.maximum((neck - 1) * 60, view.z + 70).astype(np.float32)
    skin = smooth_union(smooth_union(scalp, face, 16), neck, 24)
    ear = ellipsoid(both, (83, -28, -42), (7, 14, 27))
    return smooth_union(skin, np.maximum(ear, -ellipsoid(both, (91, -22, -40), (8, 8, 15))), 5)


def _paint_layers(space: Space, shells: Shells, rng: np.random.Generator) -> NDArray[np.bool_]:
    """CSF, skull, muscle, fat and skin; returns the voxels outside the cranium."""
    labels, cranium, skin = space.labels, shells.cranium_mm, shells.skin_mm
    x, _, z = space.coordinates
    free = labels == 0
    labels[free & (cranium < 0)] = EXTRACEREBRAL_CSF_LABEL
    outside = free & (cranium >= 0)
    # strands that run up and down, as muscles and fat planes of the neck do
    strands = np.repeat(noise(rng, (29, 60, 50), 5.0, 0.4), 2, axis=0)
    mottle = enlarge(strands, labels.shape, 4)
    inner = outside & (skin < 0)
    labels[inner] = label_of("skin")
    inner &= skin < -1.8
    labels[inner] = label_of("fat")
    below = (z < -40) | (np.abs(x) > 46)
    flesh = inner & (skin < -5.5) & below
    labels[flesh] = label_of("muscle")
    labels[flesh & (np.abs(mottle) < 0.13) & (z < -40)] = label_of("fat")
    labels[flesh & (mottle > 1.2) & (z < -40)] = label_of("soft tissue")
    # the shell of bone ends at the foramen magnum
    bone = outside & (cranium < shells.skull_mm) & (z > -71)
    labels[bone] = label_of("cortical bone")
    table = 1.7
    marrow = bone & (cranium > table) & (cranium < shells.skull_mm - table) & (z > -45)
    labels[marrow & (mottle > -1.6)] = label_of("bone marrow")
    return outside


def _allowed(
    view: View,
    shells: Shells,
    outside: NDArray[np.bool_],
    skin_mm: float,
    skull_mm: float = 1.8,
) -> NDArray[np.bool_]:
    """Where the face may be painted: below the skin, and not in the skull's inner table."""
    deep = outside[view.slices] & (shells.skin_mm[view.slices] < -skin_mm)
    return deep & (shells.cranium_mm[view.slices] > skull_mm)


def _below(view: View, shells: Shells, skin_mm: float) -> NDArray[np.bool_]:
    return shells.skin_mm[view.slices] < -skin_mm


def _bone(view: View, shape: Array, where: NDArray[np.bool_], table: float = 1.6) -> None:
    view.paint(shape, label_of("cortical bone"), where.copy())
    view.paint(shape + table, label_of("bone marrow"), where.copy())


def _paint_face(
    view: View, shells: Shells, rng: np.random.Generator, outside: NDArray[np.bool_]
) -> None:
    """Bones, eye, muscles and mastoid of one side."""
    where = _allowed(view, shells, outside, 4.5)
    fat = label_of("fat")
    # brow and ethmoid bone, which the orbit and the sinuses hollow out
    _bone(view, blob(view, (12, 62, -30), (36, 32, 14)), where & _below(view, shells, 6.5))
    _bone(view, blob(view, (0, 44, -38), (20, 36, 13)), where & _below(view, shells, 7))
    view.paint(blob(view, (30, 45, -37), (18, 32, 17), -18), fat, where.copy())
    view.paint(blob(view, (58, 26, -84), (7, 15, 22)), label_of("muscle"), where.copy())
    view.paint(blob(view, (8, 42, -94), (17, 26, 14)), label_of("muscle"), where.copy())
    _bone(view, tube(view, MANDIBLE), where)
    _bone(view, blob(view, (10, 58, -81), (22, 22, 6)), where, 2.0)
    cheekbone = ((63, -10, -52, 3), (64, 20, -51, 3), (54, 48, -53, 4.5), (36, 66, -57, 4))
    _bone(view, tube(view, cheekbone), where)
    sinus = blob(view, (30, 48, -66), (15.5, 17.5, 16.5))
    view.paint(sinus, label_of("cortical bone"), where.copy())
    _bone(view, blob(view, (6, 5, -40), (18, 22, 12)), where)
    _bone(view, tube(view, ((2, -10, -44, 6), (2, -24, -62, 4.5))), where)
    _bone(view, tube(view, ((16, -18, -42, 7), (36, -26, -45, 9), (56, -36, -46, 11))), where)
    mastoid = blob(view, (56, -40, -58), (11, 14, 17))
    _bone(view, mastoid, where, 2.0)
    cells = np.minimum(mastoid, blob(view, (50, -32, -46), (14, 9, 8))) + 2.5
    bubbles = np.maximum(cells, noise(rng, view.x.shape, 7, 0.4) + 0.1)
    view.paint(bubbles, AIR_SINUS_LABEL, where & (shells.cranium_mm[view.slices] > 2))
    canal = tube(view, ((48, -24, -44, 3.5), (64, -23, -44, 3.0), (76, -22, -43, 3.0)))
    view.paint(canal, AIR_SINUS_LABEL, where.copy())
    _paint_eye(view, shells, outside)


def _paint_eye(view: View, shells: Shells, outside: NDArray[np.bool_]) -> None:
    where = _allowed(view, shells, outside, 0.5)
    for start in ((24, 55, -30), (24, 55, -43), (21, 55, -37), (39, 55, -37)):
        strap = tube(view, ((*start, 1.8), (23, 34, -35, 1.6), (17, 22, -33, 1.0)))
        view.paint(strap, label_of("muscle"), where.copy())
    nerve = tube(
        view,
        ((31, 52, -37, 2), (24, 36, -36, 2), (13, 16, -29, 2), (5, 5, -22, 2.2), (0, 1, -21, 2.4)),
    )
    passes = (view.labels == EXTRACEREBRAL_CSF_LABEL) | where
    view.paint(nerve, OPTIC_NERVE_LABEL, passes)
    view.paint(blob(view, (32, 64, -37), (12.8, 12.8, 12.8)), label_of("eye"), where.copy())


def _paint_neck(space: Space, shells: Shells, outside: NDArray[np.bool_]) -> None:
    """Cervical spine: bodies, discs, arches and spinous processes."""
    view = space.view((-35, -110, -165), (35, 5, -60))
    where = _allowed(view, shells, outside, 5, 0) & (view.z < -71)
    part = (view.z + 66) % 18.0
    vertebra = part > 3
    body = np.sqrt((view.x / 11) ** 2 + ((view.y + 27) / 9) ** 2) - 1
    body = np.maximum(10 * body, 3 - part).astype(np.float32)
    disc = np.where(vertebra, 9, 10 * body).astype(np.float32)
    view.paint(np.where(part <= 3, disc - 30, 9), label_of("soft tissue"), where & (body < 4))
    canal = shells.cranium_mm[view.slices]
    arch = np.maximum(np.abs(canal - 2.5) - 2.5, np.abs(part - 10) - 5.5).astype(np.float32)
    spine = np.maximum(np.abs(view.x) - 3.5, np.abs(part - 8 - 0.1 * view.y - 6) - 3.5)
    spine = np.maximum(spine, np.maximum(view.y + 52, -78 - view.y)).astype(np.float32)
    for bone in (body, arch, spine):
        _bone(view, bone, where)


def _paint_air(
    space: Space, shells: Shells, rng: np.random.Generator, outside: NDArray[np.bool_]
) -> None:
    """Paranasal sinuses, nasal cavity with turbinates, mouth and pharynx."""
    mucosa = label_of("mucosa")
    for side in ("left", "right"):
        view = space.view((-1, -10, -110), (50, 100, 12), side=side)
        where = _allowed(view, shells, outside, 4.5)
        where &= (shells.cranium_mm[view.slices] > 1.8) & (view.x > 0.8)
        grow = rng.normal(1, 0.12, 4).clip(0.7, 1.3)
        nasal = blob(view, (4.5, 56, -60), (7.5, 36, 17))
        view.paint(nasal, mucosa, where.copy())
        slit = np.maximum(nasal + 1.6, 2.6 - np.abs((view.z + 66) % 11 - 5.5) - 0.25 * (9 - view.x))
        view.paint(slit, AIR_SINUS_LABEL, where.copy())
        _sinus(view, (30, 48, -66), (12.5, 14.5, 14), grow[0], where)
        _sinus(view, (8, 14, -38), (8.5, 11, 8), grow[1], where)
        frontal = blob(view, (11, 75, -14), (13 * grow[2], 8, 14 * grow[2]))
        view.paint(frontal - 2.0, label_of("cortical bone"), where.copy())
        view.paint(frontal, AIR_SINUS_LABEL, where & (shells.skin_mm[view.slices] < -7))
        ethmoid = blob(view, (8.5, 46, -40), (7.5, 20, 10))
        view.paint(ethmoid, label_of("cortical bone"), where.copy())
        cells = np.sin(0.55 * view.y) * np.sin(0.6 * view.z + 0.3 * view.x)
        view.paint(np.maximum(ethmoid + 1, 0.25 - np.abs(cells)), AIR_SINUS_LABEL, where.copy())
    view = space.view((-30, -20, -165), (30, 90, -40))
    where = _allowed(view, shells, outside, 4.5)
    airway = tube(view, AIRWAY)
    mouth = blob(view, (0, 46, -86.5), (20, 30, 2.4))
    view.paint(airway - 2.0, mucosa, where.copy())
    view.paint(np.minimum(airway, mouth), AIR_SINUS_LABEL, where.copy())


def _sinus(view: View, center: Point, radii: Point, grow: float, where: NDArray[np.bool_]) -> None:
    shape = blob(view, center, tuple(r * float(grow) for r in radii))
    view.paint(shape - 1.5, label_of("cortical bone"), where.copy())
    view.paint(shape, label_of("mucosa"), where.copy())
    view.paint(shape + 1.2, AIR_SINUS_LABEL, where.copy())
