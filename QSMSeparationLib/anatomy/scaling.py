"""Images of any unit become inputs of ``anatomy-net``."""

from __future__ import annotations

import torch
from torch import Tensor

_BRIGHT_SHARE = 0.99
"""Above the brain in most contrasts, below the brightest vessels and fat."""
_LARGEST = 2.0


def scaled(image: Tensor) -> Tensor:
    """Scale an image so that its bright tissue is 1; what is negative or not finite is 0.

    The percentile is that of the voxels above 0, so that a wide empty frame changes nothing.
    """
    image = image.float().nan_to_num(0.0, 0.0, 0.0).clamp(min=0.0)
    above = image[image > 0]
    if above.numel() == 0:
        return image
    rank = max(1, round(_BRIGHT_SHARE * above.numel()))
    bright = above.kthvalue(rank).values.clamp(min=torch.finfo(torch.float32).tiny)
    return (image / bright).clamp(max=_LARGEST)
