"""A quick head for tests: ellipsoids of scalp, skull, CSF, cortex, white matter, nuclei, one sinus."""

from __future__ import annotations

import numpy as np

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.simulation.anatomy import Anatomy, Head
from QSMSeparationLib.simulation.tissues import draw_tissues, label_of

_SHELLS = (  # tissue, semi-axes (x, y, z) in mm around the origin
    ("skin", (66, 78, 66)),
    ("cortical bone", (62, 74, 62)),
    (24, (57, 69, 57)),
    ("cortex", (54, 66, 54)),
    ("white matter", (47, 59, 47)),
)
_BLOBS = (  # tissue or label, center, semi-axes; drawn on both sides
    (4, (8, -2, 12), (5, 18, 7)),
    ("putamen", (26, -4, 2), (6, 14, 9)),
    ("globus pallidus", (17, 0, 0), (5, 9, 6)),
    ("caudate", (14, -18, 14), (5, 12, 7)),
    ("dentate nucleus", (14, 34, -26), (6, 6, 4)),
)


def small_anatomy(spacing_mm: float = 2.0) -> Anatomy:
    """Draw the ellipsoids on a grid of 140 x 160 x 140 mm."""
    shape = tuple(int(n / spacing_mm) for n in (140, 160, 140))
    origin = tuple(-(n - 1) / 2 * spacing_mm for n in shape[::-1])
    grid = Geometry(shape, (spacing_mm,) * 3, origin)
    z, y, x = np.meshgrid(
        *[np.arange(n) * spacing_mm - (n - 1) / 2 * spacing_mm for n in shape], indexing="ij"
    )
    labels = np.zeros(shape, np.int16)

    def draw(number: int, center: tuple, axes: tuple) -> None:
        u = [(c - m) / a for c, m, a in zip((x, y, z), center, axes, strict=True)]
        labels[u[0] ** 2 + u[1] ** 2 + u[2] ** 2 <= 1] = number

    for name, axes in _SHELLS:
        draw(name if isinstance(name, int) else label_of(name), (0, 0, 0), axes)
    for side in (1, -1):
        for name, (cx, cy, cz), axes in _BLOBS:
            number = (
                name if isinstance(name, int) else label_of(name, "left" if side > 0 else "right")
            )
            draw(number, (side * cx, cy, cz), axes)
    draw(940, (0, -66, -28), (10, 4, 8))  # in front of the CSF, as a frontal sinus lies
    return Anatomy(Volume(labels, grid, "small head"))


def small_head(seed: int = 1, spacing_mm: float = 2.0) -> Head:
    """Return the ellipsoids with the values of a person, without lesions."""
    return Head(small_anatomy(spacing_mm), draw_tissues(seed), (), seed)
