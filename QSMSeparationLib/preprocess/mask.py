"""A brain mask from a multi-echo scan alone, and repair of masks made elsewhere.

What tells the brain from the rest without any learned shape: bone and air give no signal,
fluid hardly decays between echoes, and only the brain is a thick body of tissue in the
middle. All lengths are in millimeters, so voxel size, matrix and storage order do not matter.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed
from torch import Tensor

from QSMSeparationLib.data.axes import Shape, Triple
from QSMSeparationLib.physics.smoothing import gaussian, mean_of_blocks, over_blocks
from QSMSeparationLib.preprocess._distance import depth_up_to
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

Mask = NDArray[np.bool_]

GRID_MM = 2.0
TISSUE_R2STAR = (0.45, 1.65)
"""R2* of brain over that in its middle: fluid decays slower, muscle and scalp faster."""
LEAST_R2STAR_HZ = 3.0
"""No brain decays slower; noise and single echoes show no decay at all."""
CORE_MM = 3.0
"""Half the thickness that brain has and nerves, vessels and meninges lack."""
SEED_MM = 6.0
"""Half the thickness that no bridge between brain and muscle has."""
LEAST_MUSCLE_ML = 1.0
FAT_RATIO = 1.5
"""Magnitude at TE = 0 over that of the brain nearby: fat has more, cortex next to a coil less."""
REACH_MM = 5.0
"""How far brain may lie from its core."""
CLOSING_MM = 5.0
"""Sulci narrower than twice this belong to the mask."""
LEAK_MM = 6.0
"""Half the width of the ways by which ventricles may be open to the outside."""
PLAUSIBLE_ML = (400.0, 2500.0)


def brain_mask(
    magnitude: Tensor | NDArray[np.float32],
    echo_times_s: tuple[float, ...],
    spacing_kji: Triple,
    *,
    quality: Tensor | NDArray[np.float32] | None = None,
    report: Report = silent,
) -> Mask:
    """Find the brain (with ventricles and sulci, without meninges) in a gradient-echo scan.

    Parameters
    ----------
    magnitude : Tensor or ndarray
        Echoes, (echo, k, j, i), any scale.
    echo_times_s : tuple of float
        Echo times in seconds.
    spacing_kji : tuple of float
        Voxel size in mm.
    quality : Tensor or ndarray, optional
        Phase quality, 0 to 1; voxels below 0.1 are left out.
    report : callable
        Progress.

    Returns
    -------
    ndarray of bool
        The mask, (k, j, i).
    """
    magnitude = torch.as_tensor(magnitude)
    if magnitude.ndim != 4 or len(magnitude) != len(echo_times_s):
        raise InputError(
            f"magnitude {tuple(magnitude.shape)} does not fit {len(echo_times_s)} echo times"
        )
    block = [max(1, round(GRID_MM / s)) for s in spacing_kji]
    block = [min(b, n) for b, n in zip(block, magnitude.shape[1:], strict=True)]
    spacing = tuple(s * b for s, b in zip(spacing_kji, block, strict=True))
    report(0, 4)
    signal, darkest, start, decay = _signal_and_decay(magnitude, echo_times_s, block)
    report(1, 4)
    least = _least_signal(signal, spacing)
    head, pure = ((values > least).cpu().numpy() for values in (signal, darkest))
    tissue = _tissue(head, decay, spacing)
    if quality is not None:
        good = mean_of_blocks(_filled(torch.as_tensor(quality).float(), block), block) > 0.1
        tissue &= good.cpu().numpy()
    report(2, 4)
    tissue &= ~_unlike_brain(start, tissue, head, decay, spacing)
    brain = _brain(tissue, head, pure, spacing)
    report(3, 4)
    millilitres = brain.sum() * math.prod(spacing) / 1000
    if not PLAUSIBLE_ML[0] <= millilitres <= PLAUSIBLE_ML[1]:
        raise InputError(
            f"no brain could be told from the magnitude ({millilitres:.0f} ml found); "
            "give a brain mask with --mask"
        )
    mask = _refined(brain, block, tuple(magnitude.shape[1:]), spacing)
    report(4, 4)
    return mask


def _signal_and_decay(
    magnitude: Tensor, echo_times_s: tuple[float, ...], block: list[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what the echoes tell of each block of voxels.

    Magnitude (rms over echoes), its least value in the block, magnitude at TE = 0, R2* in Hz.
    """
    sums = [torch.zeros((), device=magnitude.device)] * 5
    square = torch.zeros(magnitude.shape[1:], device=magnitude.device)
    for echo, te in zip(magnitude, echo_times_s, strict=True):
        fine = torch.nan_to_num(echo.to(torch.float32), 0.0, 0.0, 0.0)
        square.addcmul_(fine, fine, value=1 / len(echo_times_s))
        m = mean_of_blocks(_filled(fine, block), block)
        weight = m * m
        log = torch.log(m.clamp_min(1e-12))
        terms = (weight, weight * te, weight * te**2, weight * log, weight * te * log)
        sums = [s + t for s, t in zip(sums, terms, strict=True)]
    w, wt, wtt, wy, wty = sums
    determinant = w * wtt - wt**2
    determinant = torch.where(determinant > 0, determinant, torch.inf)
    slope = (w * wty - wt * wy) / determinant
    start = torch.exp(((wtt * wy - wt * wty) / determinant).clamp(-80.0, 80.0))
    rms = _filled(square.sqrt_(), block)
    darkest = over_blocks(rms, block, torch.minimum)
    return mean_of_blocks(rms, block), darkest, start, -slope


def _least_signal(signal: Tensor, spacing: Triple) -> Tensor:
    """Return the magnitude that the head has at least, whatever the sensitivity of the coil does."""
    if not bool(torch.isfinite(signal).all()) or float(signal.max()) <= 0:
        raise InputError("the magnitude is zero everywhere; check the images")
    top = torch.quantile(signal[signal > 0][:: max(1, signal.numel() // 500_000)], 0.99)
    values = (signal / top).clamp_(0.0, 1.0)
    rough = values > float(threshold_otsu(values.cpu().numpy())) * 0.7
    level = gaussian(values * rough, 20.0, spacing)
    level = level / gaussian(rough.float(), 20.0, spacing).clamp_min(1e-3)
    return 0.35 * top * level.clamp_min(0.05)


def _tissue(head: Mask, decay: Tensor, spacing: Triple) -> Mask:
    """Return where R2* is that of brain; its level is read from the middle of the head.

    Decay depends neither on coil sensitivity nor on flip angle and repetition time, which
    turn the contrast of the magnitude round from scan to scan.
    """
    inside = torch.from_numpy(head).to(decay.device)
    share = gaussian(inside.float(), 1.5, spacing).clamp_min(0.05)
    decay = gaussian(torch.where(inside, decay.clamp(0.0, 150.0), 0.0), 1.5, spacing) / share
    deepest = _deepest(head, spacing)
    grids = np.ogrid[tuple(slice(0, n) for n in head.shape)]
    r2 = sum(((g - c) * s) ** 2 for g, c, s in zip(grids, deepest, spacing, strict=True))
    values = decay.cpu().numpy()
    level = float(np.median(values[head & (r2 <= 35.0**2)])) if head.any() else 0.0
    if level < LEAST_R2STAR_HZ:
        return np.zeros_like(head)
    low, high = (factor * level for factor in TISSUE_R2STAR)
    return head & (values > low) & (values < high)


def _unlike_brain(start: Tensor, tissue: Mask, head: Mask, decay: Tensor, spacing: Triple) -> Mask:
    """Return where the magnitude at TE = 0 is that of fat, or nearer to fluid's than to the brain's.

    Fat may decay as slowly as tissue, and a thin skull does not part it from the brain. Under
    the skull the field makes fluid decay as fast as tissue; its magnitude still tells it,
    unless the flip angle gives both the same: then nothing is said of fluid.
    """
    thick = depth_up_to(
        CORE_MM + 1.0, _without_specks(tissue, spacing), spacing, outside_beyond=True
    )
    core = _largest(thick > CORE_MM)
    weight = torch.from_numpy(core.astype(np.float32)).to(start.device)
    level = gaussian(torch.where(weight > 0, start, 0.0), 15.0, spacing)
    level = level / gaussian(weight, 15.0, spacing).clamp_min(1e-4)
    ratio = (start / level.clamp_min(1e-12)).cpu().numpy()
    fat = ratio > FAT_RATIO
    rate = decay.cpu().numpy()
    near = _within(REACH_MM, core, spacing)
    fluid = head & near & (rate < 0.3 * np.median(rate[core])) if core.any() else core
    if fluid.sum() * math.prod(spacing) < 2000:
        return fat
    of_fluid = float(np.median(ratio[fluid]))
    if abs(of_fluid - 1) < 0.2:
        return fat
    return fat | (np.abs(ratio - of_fluid) < np.abs(ratio - 1)) & ~core


def _brain(tissue: Mask, head: Mask, pure: Mask, spacing: Triple) -> Mask:
    """Return the thick body of tissue in the middle, sulci closed and holes filled.

    Its core is looked for where nothing of a block is dark: the inner table of a thin skull,
    which parts brain from marrow, is finer than a block.
    """
    core, other = _parted(_without_specks(tissue & pure, spacing) & pure, spacing)
    brain = _grown(core, tissue & ~other, REACH_MM, spacing)
    brain |= _enclosed(brain, spacing) & head
    near = np.pad(_within(CLOSING_MM, brain, spacing), 1, mode="edge")
    closed = ~_within(CLOSING_MM, ~near, spacing)[1:-1, 1:-1, 1:-1]
    return ndimage.binary_fill_holes(_largest(brain | (closed & head)))


def _parted(tissue: Mask, spacing: Triple) -> tuple[Mask, Mask]:
    """Return the core of the brain, and other thick bodies that touch it (muscle of the neck).

    Bodies that are apart where they are thickest are parted where they are thinnest, by a
    watershed of the depth.
    """
    depth = depth_up_to(SEED_MM + 1.0, tissue, spacing, outside_beyond=True)
    core = depth > CORE_MM
    parts, count = ndimage.label(depth > SEED_MM)
    if count < 2:
        return _largest(core), np.zeros_like(core)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    small = sizes * math.prod(spacing) < 1000 * LEAST_MUSCLE_ML
    small[np.argmax(sizes)] = False
    basins = watershed(-depth, np.where(small[parts], 0, parts), mask=core)
    brain = basins == np.argmax(sizes)
    return _largest(brain), (basins > 0) & ~brain


def _enclosed(brain: Mask, spacing: Triple) -> Mask:
    """Return the cavities that can be entered by narrow ways only: wide ventricles.

    What is farther than ``LEAK_MM`` from the brain and not joined to the border of the image,
    grown back by as much.
    """
    far = ~_within(LEAK_MM, brain, spacing)
    parts, _ = ndimage.label(far)
    faces = [parts[(slice(None),) * a + (end,)] for a in range(3) for end in (0, -1)]
    outside = np.unique(np.concatenate([face.ravel() for face in faces]))
    cavities = far & ~np.isin(parts, outside)
    if not cavities.any():
        return cavities
    reach_mm = LEAK_MM + 0.5 * min(spacing)
    return _within(reach_mm, cavities, spacing)


def _deepest(mask: Mask, spacing: Triple) -> tuple[int, ...]:
    """Return the voxel that is deepest in a mask, of every second one."""
    depth = ndimage.distance_transform_edt(np.pad(mask[::2, ::2, ::2], 1), sampling=spacing)
    return tuple(2 * (n - 1) for n in np.unravel_index(np.argmax(depth), depth.shape))


def _within(distance_mm: float, mask: Mask, spacing: Triple) -> Mask:
    """Return the mask grown by a ball."""
    return depth_up_to(distance_mm + 1.0, ~mask, spacing) <= distance_mm


def _without_specks(tissue: Mask, spacing: Triple) -> Mask:
    """Close holes of single voxels, so that noise and veins do not make tissue look thin."""
    share = gaussian(torch.from_numpy(tissue.astype(np.float32)), 1.5, spacing)
    return (share > 0.5).numpy()


def _grown(core: Mask, tissue: Mask, reach_mm: float, spacing: Triple) -> Mask:
    """Grow a core through tissue, voxel by voxel, by ``reach_mm`` at most."""
    cross = ndimage.generate_binary_structure(3, 1)
    steps = max(1, round(reach_mm / min(spacing)))
    near = _within(reach_mm, core, spacing)
    return ndimage.binary_dilation(core, cross, iterations=steps, mask=(tissue & near) | core)


def _largest(mask: Mask) -> Mask:
    """Return the largest part of a mask, face neighbors joined."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    return parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))


def _filled(volume: Tensor, block: list[int]) -> Tensor:
    """Continue a volume beyond its border to whole blocks."""
    margin = [-n % b for n, b in zip(volume.shape, block, strict=True)]
    pad = (0, margin[2], 0, margin[1], 0, margin[0])
    return functional.pad(volume[None, None], pad, mode="replicate")[0, 0]


def _refined(mask: Mask, block: list[int], shape: tuple[int, ...], spacing: Triple) -> Mask:
    """Bring a coarse mask to the fine grid with a smooth border."""
    soft = gaussian(torch.from_numpy(mask.astype(np.float32)), 1.2, spacing)[None, None]
    factors = [float(b) for b in block]
    fine = functional.interpolate(soft, scale_factor=factors, mode="trilinear")[0, 0]
    return (fine[: shape[0], : shape[1], : shape[2]] > 0.5).numpy()


def clean_mask(mask: Tensor | NDArray, shape: Shape | None = None, source: str = "mask") -> Mask:
    """Check a given brain mask and mend it: largest part, holes filled.

    Parameters
    ----------
    mask : Tensor or ndarray
        0 outside, one other value (1, 255) inside; (k, j, i).
    shape : tuple of int, optional
        Shape it must have.
    source : str
        What to call it in messages.
    """
    values = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)
    if values.ndim != 3 or (shape is not None and values.shape != tuple(shape)):
        wanted = f"needed {tuple(shape)}" if shape is not None else "three axes are needed"
        raise InputError(f"{source}: a mask of shape {values.shape}; {wanted}")
    if values.dtype != bool:
        if not np.isfinite(values).all():
            raise InputError(f"{source}: the mask holds values that are not numbers; use 0 and 1")
        kinds = np.unique(values)
        if np.setdiff1d(kinds, [0]).size > 1 or kinds.min() < 0:
            raise InputError(
                f"{source}: a mask has 0 and one other value, this one has {len(kinds)} values "
                f"from {kinds[0]:g} to {kinds[-1]:g}; threshold it or choose one label"
            )
        values = values > 0
    if not values.any():
        raise InputError(f"{source}: the mask is empty; draw the brain or leave the mask out")
    return ndimage.binary_fill_holes(_largest(values))
