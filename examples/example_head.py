"""A head of a few ellipsoids, scanned by the simulator in seconds: data for the examples.

Real use starts from files. The digital head with MS lesions takes a minute: ``qsmsep simulate``.
"""

from __future__ import annotations

import numpy as np

from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.simulation.anatomy import Anatomy, Head
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.rasterize import rasterize
from QSMSeparationLib.simulation.scanner import Truth, simulate_scan
from QSMSeparationLib.simulation.tissues import draw_tissues, label_of

CSF = 24  # FreeSurfer's number

# Tissue, center and semi-axes (x, y, z) in mm; later ones lie in front of earlier ones.
ELLIPSOIDS = (
    ("skin", (0, 0, 0), (66, 78, 66)),
    ("cortical bone", (0, 0, 0), (62, 74, 62)),
    (CSF, (0, 0, 0), (57, 69, 57)),
    ("cortex", (0, 0, 0), (54, 66, 54)),
    ("white matter", (0, 0, 0), (47, 59, 47)),
    ("putamen", (26, -4, 2), (7, 14, 9)),
    ("putamen", (-26, -4, 2), (7, 14, 9)),
    ("globus pallidus", (16, 0, 0), (5, 9, 7)),
    ("globus pallidus", (-16, 0, 0), (5, 9, 7)),
)


def small_head(spacing_mm: float) -> Head:
    """Return the ellipsoids on a grid of 140 x 160 x 140 mm, with the tissue values of a person."""
    shape = tuple(int(length / spacing_mm) for length in (140, 160, 140))
    origin = tuple(-(n - 1) / 2 * spacing_mm for n in shape[::-1])
    grid = Geometry(shape, (spacing_mm,) * 3, origin)
    world = grid.world(np.moveaxis(np.indices(shape), 0, -1))
    labels = np.zeros(shape, np.int16)
    for tissue, center, axes in ELLIPSOIDS:
        number = tissue if isinstance(tissue, int) else label_of(tissue)
        labels[(((world - center) / axes) ** 2).sum(-1) <= 1] = number
    return Head(Anatomy(Volume(labels, grid, "small head")), draw_tissues(seed=1), (), seed=1)


def scan_small_head(voxel_mm: float = 4.0) -> tuple[Scan, Truth]:
    """Scan the head with five gradient echoes and a spin echo; return the scan and its truth."""
    spin_echo_s = tuple(0.012 * n for n in range(1, 9))
    protocol = Protocol(voxel_mm=(voxel_mm,) * 3, spin_echo_times_s=spin_echo_s, seed=1)
    fine = rasterize(small_head(protocol.fine_spacing_mm), protocol.fine_spacing_mm)
    return simulate_scan(fine, protocol, "sub-01")
