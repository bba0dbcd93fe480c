"""Volumes as compressed 8-bit data that a browser can unpack.

Voxels are put in radiological order first: (i, j, k) run nearest to (left, posterior,
superior). They are cropped to the mask; level 0 is outside it, levels 1 to 255 span a
fixed range, which is wider than any window and kept in the file.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.quantities import IN_REPORT, MAPS, PRESETS, SD_OF, Window
from QSMSeparationLib.data.volume import Geometry, Volume, reorient, resample
from QSMSeparationLib.runtime.errors import InputError

MOST_VALUES = 10_400_000
"""Voxels of brain times maps that a report may hold; more are shown on a coarser grid.

A report of noise, which hardly compresses, then has 14 MB, which mail and browsers still take.
"""


@dataclass(frozen=True, eq=False)
class Scene:
    """Maps in the units of the screen, mask and labels, on the grid of the display."""

    geometry: Geometry
    maps: dict[str, NDArray[np.float32]]
    mask: NDArray[np.bool_]
    labels: NDArray[np.int32]
    note: str = ""


def make_scene(maps: Mapping[str, Volume], mask: Volume, labels: Volume | None) -> Scene:
    """Bring maps to the display: radiological order, cropped, at most ``MOST_VALUES``."""
    for volume in (*maps.values(), *([labels] if labels is not None else [])):
        mask.require_same_grid(volume)
    count = int(np.count_nonzero(mask.array))
    if count == 0:
        raise InputError(f"{mask.source}: the mask is empty, there is nothing to show")
    chosen = [name for name in IN_REPORT if name in maps]
    if not chosen:
        raise InputError(f"a report needs at least one map of: {', '.join(IN_REPORT)}")
    most_voxels = MOST_VALUES / len(chosen)
    grid, note = reorient(mask).geometry, ""
    if count > most_voxels:
        factor = float(np.cbrt(count / most_voxels))
        grid = _coarser(grid, factor)
        size = " x ".join(f"{s:.2g}" for s in grid.spacing_mm)
        note = (
            f"The pictures are shown on a coarser grid of {size} mm to keep this file small; "
            "all numbers rest on the full grid."
        )
    inside = _on(mask.like((mask.array > 0).astype(np.uint8)), grid, 0) > 0
    box = _box(inside)
    shown = {}
    for name in chosen:
        array = np.nan_to_num(maps[name].array.astype(np.float32))
        shown[name] = _on(maps[name].like(array), grid, 1)[box] * np.float32(MAPS[name].scale)
    drawn = np.zeros(inside.shape, dtype=np.int32)
    if labels is not None:
        drawn = _on(labels.like(labels.array.astype(np.int32)), grid, 0)
    corner = grid.world(np.array([s.start for s in box]))
    shape = tuple(s.stop - s.start for s in box)
    geometry = Geometry(shape, grid.spacing_mm, tuple(corner), grid.direction)
    return Scene(geometry, shown, inside[box], drawn[box], note)


def pack(scene: Scene, titles: Mapping[str, str], b0_tesla: float) -> dict[str, Any]:
    """Return a scene as data for the page."""
    matrix, origin = scene.geometry.direction_matrix, scene.geometry.origin_mm
    return {
        "shape": list(scene.geometry.shape),
        "spacing": list(scene.geometry.spacing_mm),
        "origin": list(origin),
        "direction": matrix.ravel().tolist(),
        "maps": [
            {
                "name": name,
                "title": titles[name],
                "unit": MAPS[name].unit_on_screen,
                "sd": name in SD_OF.values(),
                "span": list(MAPS[name].span_at(b0_tesla)),
                "windows": {one: list(MAPS[name].report_window(b0_tesla, one)) for one in PRESETS},
                "data": levels(values, scene.mask, MAPS[name].span_at(b0_tesla)).decode(),
            }
            for name, values in scene.maps.items()
        ],
        "labels": _packed(scene.labels.astype("<i4")).decode(),
    }


def levels(values: NDArray[np.float32], mask: NDArray[np.bool_], span: Window) -> bytes:
    """Quantize a map to levels 1 to 255 within the mask and compress it."""
    low, high = span
    scaled = np.clip((values - low) / (high - low), 0, 1) * 254 + 1
    return _packed(np.where(mask, np.rint(scaled), 0).astype(np.uint8))


def _packed(array: NDArray[Any]) -> bytes:
    # mtime=0 keeps equal reports equal.
    return base64.b64encode(gzip.compress(array.tobytes(), compresslevel=6, mtime=0))


def _on(volume: Volume, grid: Geometry, order: int) -> NDArray[Any]:
    upright = reorient(volume)
    if upright.geometry.shape == grid.shape:
        return upright.array
    return resample(upright, grid, order=order).array


def _coarser(grid: Geometry, factor: float) -> Geometry:
    extent = np.asarray(grid.shape[::-1]) * np.asarray(grid.spacing_mm)
    spacing = np.asarray(grid.spacing_mm) * factor
    size = np.maximum(1, np.floor(extent / spacing)).astype(int)
    first = grid.world(np.full(3, -0.5))
    corner = first + grid.direction_matrix @ (0.5 * spacing)
    return Geometry(tuple(size[::-1]), tuple(spacing), tuple(corner), grid.direction)


def _box(inside: NDArray[np.bool_], margin: int = 3) -> tuple[slice, ...]:
    box = []
    for axis in range(3):
        used = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = int(used[0]) - margin, int(used[-1]) + 1 + margin
        box.append(slice(max(0, low), min(inside.shape[axis], high)))
    return tuple(box)
