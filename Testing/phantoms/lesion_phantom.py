"""White matter full of balls of known class, for tests of the lesion analysis."""

import numpy as np

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.lesions.location import Tissue

WHITE_PARA, WHITE_DIA = 16.0, 30.0
VALUES = {  # core chi+, core |chi-|, rim chi+ in ppb
    ("iso", "iso"): (16.0, 30.0, 16.0),
    ("hypo", "hypo"): (6.0, 12.0, 6.0),
    ("hyper", "hypo"): (38.0, 14.0, 38.0),
    ("rim", "hypo"): (11.0, 12.0, 45.0),
    ("iso", "hyper"): (16.0, 48.0, 16.0),
    ("hypo", "iso"): (7.0, 30.0, 7.0),
}


def draw_ball(shape, center, radius, rim, spacing):
    """Voxel shares of core and rim of a ball, by 3x supersampling."""
    fine = (np.arange(3) - 1) / 3
    total = np.zeros((2, *shape), np.float32)
    axes = [np.arange(n) for n in shape]
    for dk in fine:
        for dj in fine:
            for di in fine:
                k, j, i = (
                    ((a + d - c) * s) ** 2
                    for a, d, c, s in zip(axes, (dk, dj, di), center, spacing, strict=True)
                )
                r = np.sqrt(k[:, None, None] + j[None, :, None] + i[None, None, :])
                total[0] += r < radius - rim
                total[1] += (r < radius) & (r >= radius - rim)
    return total / 27


def phantom(spacing=(1.0, 1.0, 1.0), radius=4.0, noise=1.5, direction=None, seed=0, repeat=4):
    """White matter full of balls of every class; returns maps, segmentation, truth."""
    rng = np.random.default_rng(seed)
    pitch = [int(np.ceil((2 * radius + 10) / s)) for s in spacing]
    keys = list(VALUES)
    shape = (repeat * pitch[0], 3 * pitch[1], 2 * pitch[2])
    para = np.full(shape, WHITE_PARA, np.float32)
    dia = np.full(shape, WHITE_DIA, np.float32)
    seg = np.zeros(shape, np.int16)
    truth, number = {}, 0
    for k in range(repeat):
        for n, key in enumerate(keys):
            number += 1
            corner = [k * pitch[0], (n % 3) * pitch[1], (n // 3) * pitch[2]]
            box = tuple(slice(c, c + p) for c, p in zip(corner, pitch, strict=True))
            center = [p / 2 + rng.uniform(-0.5, 0.5) for p in pitch]
            core, rim = draw_ball(tuple(pitch), center, radius, 1.5, spacing)
            core_para, core_dia, rim_para = VALUES[key]
            white = 1 - core - rim
            para[box] = white * WHITE_PARA + core * core_para + rim * rim_para
            dia[box] = white * WHITE_DIA + (core + rim) * core_dia
            seg[box][core + rim >= 0.5] = number
            truth[number] = key
    para += rng.normal(0, noise, shape)
    dia += rng.normal(0, noise, shape)
    geometry = Geometry(shape, spacing[::-1], (0, 0, 0), direction or (1, 0, 0, 0, 1, 0, 0, 0, 1))
    maps = {
        "chi_para": Volume(np.maximum(para, 0) / 1000, geometry, "para"),
        "chi_dia": Volume(-np.maximum(dia, 0) / 1000, geometry, "dia"),
    }
    white = Volume(np.full(shape, Tissue.WHITE, np.uint8), geometry, "tissue")
    mask = Volume(np.ones(shape, np.uint8), geometry, "mask")
    return maps, Volume(seg, geometry, "lesions"), mask, white, truth
