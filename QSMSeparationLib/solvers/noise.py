"""White noise of a map, measured in the map itself."""

from __future__ import annotations

import math

from torch import Tensor

_SMALLEST_FIELD_PPM = 5e-4


def white_noise_sd(volume: Tensor, mask: Tensor) -> float:
    """Estimate the SD of white noise in a map.

    In a block of 2x2x2 voxels the mixed difference along all three axes removes whatever
    varies along fewer; its median absolute value over the blocks within the mask ignores
    the few with vessels or edges (after Donoho and Johnstone, Biometrika 1994;81:425).
    """
    detail, inside = volume.nan_to_num(), mask.bool()
    for axis in range(3):
        n = detail.shape[axis] // 2 * 2
        even, odd = (slice(start, n, 2) for start in (0, 1))
        pick = [slice(None)] * 3
        pairs = []
        for part in (even, odd):
            pick[axis] = part
            pairs.append((detail[tuple(pick)], inside[tuple(pick)]))
        detail = pairs[1][0] - pairs[0][0]
        inside = pairs[0][1] & pairs[1][1]
    values = detail[inside].abs()
    return float(values.median()) * 1.4826 / math.sqrt(8) if values.numel() else 0.0


def field_noise_ppm(field_ppm: Tensor, mask: Tensor) -> float:
    """Return the noise of a local field; never 0, as weights of penalties are shares of it."""
    return max(white_noise_sd(field_ppm, mask), _SMALLEST_FIELD_PPM)
