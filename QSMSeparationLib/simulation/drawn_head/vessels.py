"""Veins and arteries of a procedural head, as curves in world coordinates."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.simulation.anatomy import Vessel
from QSMSeparationLib.simulation.drawn_head.cortex import Folds
from QSMSeparationLib.simulation.drawn_head.nuclei import FRONTAL_HORN_AND_BODY
from QSMSeparationLib.simulation.drawn_head.shapes import Array, Space, smooth_nodes
from QSMSeparationLib.simulation.drawn_head.skull import Shells
from QSMSeparationLib.simulation.tissues import LABELS, WHITE_MATTER, label_of

Points = NDArray[np.float64]
_STEP_MM = 0.5
_WHITE = [number for number, name in LABELS.items() if name in WHITE_MATTER]

# x, y, z, radius in atlas mm; x is mirrored for the left side
INTERNAL_CEREBRAL = (
    (2.2, 6, 10, 0.7), (2.2, -8, 14.5, 0.9), (2.2, -24, 13, 1.0), (1.5, -36, 7, 1.1),
    (0.3, -42, 3, 1.3),
)  # fmt: skip
THALAMOSTRIATE = ((20, -22, 18, 0.5), (16.5, -8, 16, 0.7), (10.5, 2, 13, 0.9), (2.6, 6, 10, 0.9))
SEPTAL = ((4.5, 27, 9, 0.4), (2.0, 17, 12, 0.5), (2.0, 7, 10.5, 0.7))
BASAL = (
    (9, -2, -18, 0.7), (16, -13, -15, 0.8), (18.5, -26, -9, 0.9), (9, -37, -2, 1.0),
    (0.3, -43, 2, 1.1),
)  # fmt: skip
CAROTID = (
    (30, -8, -128, 2.4), (28, -10, -90, 2.4), (26, -12, -62, 2.4), (24, -13, -45, 2.2),
    (12, -6, -38, 2.1), (12, 6, -32, 2.0), (12, 5, -22, 1.9),
)  # fmt: skip
MIDDLE_CEREBRAL = ((12, 5, -22, 1.6), (26, 4, -16, 1.4), (38, 3, -12, 1.2), (41, -6, -3, 0.9),
                   (41, -18, 6, 0.7))  # fmt: skip
ANTERIOR_CEREBRAL = (
    (12, 5, -22, 1.3), (2, 11, -21, 1.2), (1.0, 30, -12, 1.1), (0.8, 38, 4, 1.0),
    (0.8, 30, 24, 0.9), (0.8, 8, 33, 0.7), (0.8, -18, 34, 0.5),
)  # fmt: skip
VERTEBRAL = ((15, -30, -128, 1.7), (17, -31, -90, 1.7), (14, -34, -70, 1.6), (6, -27, -58, 1.6),
             (0.3, -14, -47, 1.6))  # fmt: skip
POSTERIOR_CEREBRAL = (
    (0.5, -13, -19, 1.3), (9, -13, -19, 1.2), (18.5, -24, -14, 1.0), (15, -42, -5, 0.8),
    (9, -58, -1, 0.6),
)  # fmt: skip
BASILAR = ((0, -13.5, -47, 1.7), (0, -10.5, -34, 1.6), (0, -12.5, -19, 1.6))


def draw_vessels(space: Space, seed: int, folds: Folds, shells: Shells) -> tuple[Vessel, ...]:
    """Return the vessels of one person."""
    rng = np.random.default_rng([seed, 6])
    vessels = list(_sinuses(space, shells, rng))
    both_sides = [
        *((nodes, "vein") for nodes in (INTERNAL_CEREBRAL, THALAMOSTRIATE, SEPTAL, BASAL)),
        *((nodes, "artery") for nodes in (CAROTID, MIDDLE_CEREBRAL, ANTERIOR_CEREBRAL)),
        *((nodes, "artery") for nodes in (VERTEBRAL, POSTERIOR_CEREBRAL)),
    ]
    for nodes, tissue in both_sides:
        for side in (-1, 1):
            vessels.append(_named(space, nodes, side, tissue, rng))
    vessels.append(_named(space, BASILAR, 1, "artery", rng))
    vessels.extend(_medullary_veins(space, rng))
    vessels.extend(_cortical_veins(space, folds, rng))
    trimmed = (_within_head(space, v) for v in vessels)
    return tuple(v for v in trimmed if len(v.points_mm) > 2)


def _within_head(space: Space, vessel: Vessel) -> Vessel:
    """The longest stretch of a vessel that lies inside the grid and the skin."""
    index = np.rint(space.geometry.index(vessel.points_mm))
    inside = np.all((index >= 0) & (index < space.labels.shape), axis=1)
    inside &= space.sample_labels(vessel.points_mm) != label_of("air")
    runs, count = ndimage.label(inside)
    longest = 1 + np.argmax(np.bincount(runs, minlength=2)[1:]) if count else 1
    keep = runs == longest
    return Vessel(vessel.points_mm[keep], vessel.radius_mm[keep], vessel.tissue)


def _vessel(points: Points, radius: Points, tissue: str) -> Vessel:
    """A vessel with its points at most half a millimeter apart."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, length[-1], max(int(np.ceil(length[-1] / 0.45)), 1) + 1)
    even = np.stack([np.interp(at, length, points[:, axis]) for axis in range(3)], axis=1)
    return Vessel(even, np.interp(at, length, radius), tissue)


def _named(
    space: Space, nodes: Iterable, side: int, tissue: str, rng: np.random.Generator
) -> Vessel:
    table = np.array(list(nodes), dtype=np.float64)
    table[:, 3] *= rng.uniform(0.8, 1.2)
    table[1:-1, :3] += rng.normal(0, 0.3, (len(table) - 2, 3))
    curve = smooth_nodes(table, 8)
    curve[:, 0] = side * np.abs(curve[:, 0])
    return _vessel(space.to_world(curve[:, :3]), curve[:, 3], tissue)


def _wall(space: Space, shells: Shells, center: Points, ways: Points, inset_mm: float) -> Points:
    """Points on the inside of the skull in the given directions from a center."""
    steps = np.arange(25, 120, 0.5)
    rays = center + steps[None, :, None] * ways[:, None, :]
    world = space.to_world(rays.reshape(-1, 3))
    cranium = space.sample(shells.cranium_mm, world).reshape(len(ways), -1)
    first = np.argmax(cranium > -inset_mm, axis=1)
    return rays[np.arange(len(ways)), first]


def _sinuses(space: Space, shells: Shells, rng: np.random.Generator) -> Iterable[Vessel]:
    """Sagittal, straight, transverse and sigmoid sinuses, and the vein of Galen."""
    angle = np.radians(np.linspace(-20, 193, 60))
    ways = np.stack([0 * angle, np.cos(angle), np.sin(angle)], axis=1)
    sagittal = _wall(space, shells, np.array([0.0, -18.0, 8.0]), ways, 1.5)
    torcula = sagittal[-1]
    full = rng.uniform(3.0, 4.0)
    yield _vessel(space.to_world(sagittal), np.linspace(1.2, full, len(sagittal)), "vein")
    galen = smooth_nodes(((0, -41, 4), (0, -46, 3), (0, -51, -1)), 8)
    yield _vessel(space.to_world(galen), np.full(len(galen), 2.0), "vein")
    straight = smooth_nodes(((0, -51, -1), (0, -70, -7), tuple(torcula)), 8)
    yield _vessel(space.to_world(straight), np.full(len(straight), rng.uniform(2.2, 2.8)), "vein")
    # the right transverse sinus is the larger one in most people
    for side, radius in ((1, rng.uniform(2.8, 4.0)), (-1, rng.uniform(2.0, 3.5))):
        turn = np.radians(np.linspace(4, 72, 24))
        start = np.array([0.0, -50.0, torcula[2]])
        ways = np.stack([side * np.sin(turn), -np.cos(turn), -0.12 * np.sin(turn)], axis=1)
        lateral = _wall(space, shells, start, ways, 1.5)
        bend = lateral[-1] * (0.93, 0.93, 1) + (0, 0, -14)
        path = np.vstack([torcula, lateral, bend, (side * 34, -42, -52), (side * 27, -32, -64)])
        curve = smooth_nodes(path, 4)
        yield _vessel(space.to_world(curve), np.full(len(curve), radius), "vein")


def _medullary_veins(space: Space, rng: np.random.Generator) -> Iterable[Vessel]:
    """Thin veins that fan out from the roof of the lateral ventricles."""
    wall = smooth_nodes(FRONTAL_HORN_AND_BODY, 12)
    for side in (-1, 1):
        for at in np.linspace(4, len(wall) - 4, 42) + rng.uniform(-1, 1, 42):
            start = wall[int(at)]
            lift = rng.uniform(0.2, 1.2)
            way = np.array(
                [np.cos(lift), 0.012 * (start[1] + 5) + rng.normal(0, 0.1), np.sin(lift)]
            )
            way /= np.linalg.norm(way)
            bend = rng.normal(0, 0.006, 3)
            reach = np.arange(0, rng.uniform(14, 34), _STEP_MM)[:, None]
            path = start[:3] + reach * way + reach**2 * bend
            path[:, 0] *= side
            world = space.to_world(path)
            white = np.isin(space.sample_labels(world), _WHITE)
            # from the first step into white matter to the first one out of it
            begin = int(np.argmax(white))
            end = begin + int(np.argmin(np.append(white[begin:], False)))
            if end - begin >= 12:
                radius = np.linspace(rng.uniform(0.35, 0.55), 0.25, end - begin)
                yield _vessel(world[begin:end], radius, "vein")


def _slope(field: Array, points: Points) -> Points:
    """Gradient of a field at (k, j, i) points."""
    shifts = np.eye(3)
    ahead = [_at(field, points + s) for s in shifts]
    behind = [_at(field, points - s) for s in shifts]
    return (np.array(ahead) - np.array(behind)).T / 2


def _at(field: Array, points: Points) -> Points:
    return ndimage.map_coordinates(field, points.T, order=1, mode="nearest").astype(np.float64)


def _cortical_veins(space: Space, folds: Folds, rng: np.random.Generator) -> Iterable[Vessel]:
    """Veins that climb through the sulci to the superior sagittal sinus."""
    view = folds.view
    candidates = np.argwhere(
        (np.abs(folds.sheet_mm) < 0.6) & (folds.depth_mm > 1) & (folds.depth_mm < 9)
        & (view.z > -25) & (folds.hull_mm < 0)
    )  # fmt: skip
    points = candidates[np.sort(rng.choice(len(candidates), 160, replace=False))].astype(float)
    paths = [points]
    alive = np.ones(len(points), bool)
    lost = np.full(len(points), 200)
    mid_i = (np.asarray(folds.view.x.shape[2]) - 1) / 2
    for count in range(1, 200):
        across = _slope(folds.sheet_mm, points)
        across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-6
        inward = _slope(folds.depth_mm, points)
        way = np.stack([np.full(len(points), 1.0), np.zeros(len(points)),
                        0.6 * np.sign(mid_i - points[:, 2])], axis=1)  # fmt: skip
        sheet = _at(folds.sheet_mm, points)[:, None]
        held = (np.abs(sheet) < 1.3).astype(float)
        for normal in (across * held, inward):
            way -= (way * normal).sum(axis=1, keepdims=True) * normal
        way /= np.linalg.norm(way, axis=1, keepdims=True) + 1e-6
        # in a sulcus just below the hull; over the crown of a gyrus just above it
        deep = _at(folds.depth_mm, points)[:, None] - np.where(held > 0, 1.2, -0.8)
        points = points + _STEP_MM * way - 0.25 * held * sheet * across
        points = points - 0.1 * deep.clip(-2, 2) * inward
        # ends at the sagittal sinus, or where it leaves the surface
        here = (np.abs(points[:, 2] - mid_i) > 3) & (_at(folds.depth_mm, points) > -2.5)
        lost[alive & ~here] = count
        alive &= here
        paths.append(points)
    tracks = np.array(paths)
    corner = np.array([s.start for s in view.slices])
    for track, end in zip(tracks.transpose(1, 0, 2), lost, strict=True):
        if end > 16:
            world = space.geometry.world(track[:end] + corner)
            yield _vessel(world, np.linspace(0.35, rng.uniform(0.7, 1.5), end), "vein")
