"""The brain mask by ``anatomy-net``: its surface, refined on the image itself.

The network knows where brain is to within a voxel of 2 mm. Close to its surface the image
decides: within a few millimeters, what is surely brain and what is surely not have each a
brightness of their own (known locally, so that coils don't matter), and a voxel between them
goes with the one that it resembles, unless the network is sure.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from QSMSeparationLib.anatomy.segment import Segmentation, brain_on
from QSMSeparationLib.data.axes import Box
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.physics.smoothing import gaussian

_SURE = 0.9
"""Probability from which the network decides alone; as sure of the opposite below 1 - this."""
_NEAR_MM = 5.0
"""SD of the surroundings whose brightness a voxel is compared with."""
_TRUST_IN_IMAGE = 0.5
"""Weight of the brightness, as log odds a standard deviation squared."""
_LARGEST_ODDS = 2.0
"""What the brightness can say at most, as log odds."""
_EXTRACTED_SHARE = 0.6
"""An image with so many voxels of exactly 0 in the box of its brain was brain-extracted if
nothing outside the brain is left."""


def anatomy_mask(found: Segmentation, image: Volume) -> NDArray[np.bool_]:
    """Return the brain with its ventricles and sulci on the grid of an image.

    Parameters
    ----------
    found : Segmentation
        Of this image, or of one that lies over it.
    image : Volume
        Where the surface is refined: a magnitude.
    """
    share = brain_on(found, image.geometry)
    extracted = _extracted(image.array, share)
    if extracted is not None:
        return extracted
    near = share > 0.02
    if not bool(near.any()):
        return near.numpy()
    box = _box(near.numpy(), 8)
    odds = torch.logit(share[box].clamp(1e-4, 1 - 1e-4))
    odds = odds + _brightness_odds(image, box, share[box])
    mask = np.zeros(image.array.shape, bool)
    mask[box] = _smoothed((odds > 0).numpy(), image.geometry.spacing_kji)
    return mask


def _brightness_odds(image: Volume, box: Box, share: Tensor) -> Tensor:
    """Return log odds of brain by brightness, where the network is not sure."""
    spacing = image.geometry.spacing_kji
    values = torch.from_numpy(np.ascontiguousarray(image.array[box], dtype=np.float32))
    inner, outer = (share > _SURE), (share < 1 - _SURE)
    level_in, spread_in = _local_level(values, inner, spacing)
    level_out, spread_out = _local_level(values, outer, spacing)
    spread = torch.maximum(torch.maximum(spread_in, spread_out), 0.1 * (level_in - level_out).abs())
    spread = spread.clamp_min(1e-6)
    to_in, to_out = ((values - level) / spread for level in (level_in, level_out))
    odds = _TRUST_IN_IMAGE * (to_out.square() - to_in.square())
    return torch.where(inner | outer, 0.0, odds.clamp(-_LARGEST_ODDS, _LARGEST_ODDS))


def _local_level(
    values: Tensor, where: Tensor, spacing: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the surroundings that lie in ``where``."""
    weight = where.float()
    share = gaussian(weight, _NEAR_MM, spacing).clamp_min(1e-4)
    mean = gaussian(values * weight, _NEAR_MM, spacing) / share
    square = gaussian(values.square() * weight, _NEAR_MM, spacing) / share
    return mean, (square - mean.square()).clamp_min(0.0).sqrt()


def _smoothed(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.bool_]:
    """Return the largest part of a mask, its holes filled and its surface without specks."""
    soft = gaussian(torch.from_numpy(mask.astype(np.float32)), 0.7, spacing).numpy()
    parts, count = ndimage.label(soft > 0.5)
    if count > 1:
        parts = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return ndimage.binary_fill_holes(parts > 0)


def _extracted(values: NDArray[np.floating], share: Tensor) -> NDArray[np.bool_] | None:
    """Return what is not 0, holes filled, of an image whose brain was extracted before; else None.

    Such an image has nothing beside the brain: what little there is lies on its surface.
    """
    present = values != 0
    if present.mean() > _EXTRACTED_SHARE:
        return None
    beside = float((present & (share < 0.5).numpy()).sum()) / max(1, int(present.sum()))
    if beside > 0.15:
        return None
    parts, count = ndimage.label(present)
    if count > 1:
        present = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return ndimage.binary_fill_holes(present)


def _box(mask: NDArray[np.bool_], margin: int) -> Box:
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, s.start - margin), min(n, s.stop + margin))
        for s, n in zip(box, mask.shape, strict=True)
    )
