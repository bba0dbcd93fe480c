"""A small picture of a result, to look through a cohort in minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import reorient
from QSMSeparationLib.io.files import written_whole

FOLDER = "thumbnails"
SHOWN = ("chi_para", "chi_dia", "net")
_SIDE_MM, _PIXELS, _QUALITY = 200.0, 220, 80
"""Side of a tile in mm (a head) and in pixels; three of them are 15 to 25 kB as JPEG."""


def write_thumbnail(result: Result, out: Path, name: str) -> Path:
    """Write chi+, |chi-| and net chi in the axial plane with most of the brain; returns the file."""
    file = out / FOLDER / f"{name}.jpg"
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as partial:
        Image.fromarray(thumbnail(result)).save(partial, "JPEG", quality=_QUALITY, optimize=True)
    return file


def thumbnail(result: Result) -> NDArray[np.uint8]:
    """Return the tiles side by side, radiological: the patient's left is on the right."""
    shown = [name for name in SHOWN if name in result.maps]
    mask = reorient(result.volume("net").like(result.mask.astype(np.float32), "mask"))
    plane = int(np.argmax(mask.array.sum(axis=(1, 2))))
    spacing = mask.geometry.spacing_mm
    center = _center(mask.array[plane])
    tiles = []
    for name in shown:
        low, high = MAPS[name].report_window(
            float(result.facts["MagneticFieldStrength"]), "standard"
        )
        values = MAPS[name].scale * reorient(result.volume(name)).array[plane]
        gray = np.clip((values - low) / (high - low), 0, 1) * (mask.array[plane] > 0)
        tiles.append(_tile(gray, spacing[1], spacing[0], center))
    return (255 * np.hstack(tiles)).astype(np.uint8)


def _center(inside: NDArray[np.float32]) -> tuple[float, float]:
    rows, columns = np.nonzero(inside)
    return (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2


def _tile(
    gray: NDArray[np.float64], row_mm: float, column_mm: float, center: tuple[float, float]
) -> NDArray[np.float64]:
    """Return a square of fixed size in mm around a center, sampled linearly."""
    from scipy.ndimage import map_coordinates

    offset = (np.arange(_PIXELS) - (_PIXELS - 1) / 2) * _SIDE_MM / _PIXELS
    rows, columns = center[0] + offset / row_mm, center[1] + offset / column_mm
    return map_coordinates(gray, np.meshgrid(rows, columns, indexing="ij"), order=1)
