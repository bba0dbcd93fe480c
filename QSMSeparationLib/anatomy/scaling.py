"""Images of any unit become inputs of ``anatomy-net``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BRIGHT_PERCENT = 99.0
"""Above the brain in most contrasts, below the brightest vessels and fat."""
_LARGEST = 2.0


def scaled(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale an image so that its bright tissue is 1; what is negative or not finite is 0.

    The percentile is that of the voxels above 0, so that a wide empty frame changes nothing.
    """
    image = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0).clip(min=0.0)
    above = image[image > 0]
    if above.size == 0:
        return image
    bright = float(np.percentile(above, _BRIGHT_PERCENT))
    return (image / max(bright, float(np.finfo(np.float32).tiny))).clip(max=_LARGEST)
