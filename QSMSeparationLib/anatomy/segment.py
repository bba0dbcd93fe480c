"""Labels of a brain image of any contrast, by ``anatomy-net``.

The image is stored upright, averaged to voxels of 2 mm and scaled. A first pass over all of
it finds where the brain lies; a second one over the window of the training, with the brain in
its middle, labels it. Scores, not labels, are brought back to the voxels of the image, so
that surfaces are smooth and lie between the voxels of the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from QSMSeparationLib.anatomy.scaling import scaled
from QSMSeparationLib.data.axes import Box
from QSMSeparationLib.data.structures import FIRST_OF_BRAIN, INDEX, STRUCTURES
from QSMSeparationLib.data.volume import Geometry, Volume, reorient, resample
from QSMSeparationLib.networks.weights import load_weights
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

WEIGHTS = "anatomy-net"
GRID_MM = 2.0
WINDOW = (96, 112, 96)
"""Voxels of 2 mm along (S, P, L) that hold a brain with what is around it."""
_MULTIPLE = 16
"""Sides that the network takes: four levels of blocks of two voxels."""
PLAUSIBLE_ML = (400.0, 2500.0)
"""Brains of children to large adults with their ventricles; less is a cut-off head or none."""
_TISSUE = 0.2
"""Brightness of tissue in scaled images; noise is darker in all but the noisiest."""
_LEAST_TISSUE_VOXELS = 150
"""6 cm2: a slice that holds so much cuts through a head, not through a speck."""
_HEAD_VOXELS = 110
"""22 cm from the top of the head down: any brain, and some neck."""
_ABOVE_VOXELS = 6
"""1.2 cm of skull and scalp above the brain."""
_LEAST_CERTAINTY = 0.625
"""Mean probability of the likeliest class in a brain: 0.648 to 0.679 on three heads for settings in
three contrasts, 0.653 to 0.671 on real heads and templates; 0.56 to 0.61 on balls, cylinders and
noise, 0.59 to 0.62 upside down. It belongs to the weights of today, and so does the test of it."""
ROUGH = (
    "the structures that anatomy-net labels are too rough to measure in, as its model card says; "
    "give a segmentation of your own"
)
"""To be read by the user."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Scores of an image at 2 mm.

    Parameters
    ----------
    brain : ndarray of float32
        Probability of brain, fluid in ventricles and sulci included.
    classes : Tensor
        Probability of every structure of the brain, (structure, k, j, i).
    left : Tensor
        Score that is positive on the left.
    geometry : Geometry
        The grid of 2 mm, axes nearest to (S, P, L).
    sha256 : str
        Of the weights.
    rough : bool
        The model card says that the structures are too rough to measure in; the brain is not.
    """

    brain: NDArray[np.float32]
    classes: Tensor
    left: Tensor
    geometry: Geometry
    sha256: str
    rough: bool = False

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The brain at 2 mm: its largest part, holes filled."""
        return _largest_filled(self.brain > 0.5)

    @property
    def millilitres(self) -> float:
        """Volume of the brain."""
        return float(self.mask.sum()) * self.geometry.voxel_volume_mm3 / 1000


def segment(image: Volume, report: Report = silent) -> Segmentation:
    """Find the structures of a brain.

    Parameters
    ----------
    image : Volume
        Any contrast, any orientation; its header says where up and left are.
    report : callable
        Progress.

    Raises
    ------
    InputError
        When there is no image, or no brain that could be told from the rest.
    """
    report(0, 3)
    coarse = _without_trunk(_coarse(image))
    weights = load_weights(WEIGHTS)
    first = _scores(weights.network, torch.from_numpy(coarse.array))
    report(1, 3)
    brain = _largest_filled(_brain_share(first) > 0.5)
    box = _window(brain, coarse.geometry.shape)
    inner = np.zeros(WINDOW, np.float32)
    there, here = _overlap(box, coarse.geometry.shape)
    inner[here] = coarse.array[there]
    scores = _symmetric_scores(weights.network, scaled(torch.from_numpy(inner)))
    report(2, 3)
    grid = _moved(coarse.geometry, box)
    chances = torch.softmax(scores[: len(STRUCTURES)], dim=0)
    found = Segmentation(
        chances[FIRST_OF_BRAIN:].sum(dim=0).numpy(),
        chances[FIRST_OF_BRAIN:],
        scores[len(STRUCTURES)],
        grid,
        weights.sha256,
        weights.card.get("labels") == "rough",
    )
    _require_brain(found, chances, image.source)
    report(3, 3)
    return found


def labels_on(found: Segmentation, mask: Volume) -> Volume:
    """Return label numbers in a mask on its own grid (int16), 0 outside it.

    Every voxel of the mask gets the likeliest structure of the brain there.
    """
    grid = mask.geometry
    inside = np.argwhere(mask.array > 0)
    result = np.zeros(grid.shape, np.int16)
    if len(inside) == 0:
        return mask.like(result, "anatomy")
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    places = sampling_places(found.geometry, grid, box)
    best = torch.full(places.shape[:3], -1.0)
    winner = torch.zeros(places.shape[:3], dtype=torch.int64)
    for number, chance in enumerate(found.classes):
        there = _sampled(chance, places)
        more = there > best
        winner[more] = number
        best = torch.maximum(best, there)
    left = _sampled(found.left, places) > 0
    numbers = torch.tensor([(s.left, s.right) for s in STRUCTURES[FIRST_OF_BRAIN:]])
    labels = torch.where(left, numbers[winner, 0], numbers[winner, 1]).numpy()
    result[box] = labels * (mask.array[box] > 0)
    return mask.like(result, "anatomy")


def brain_on(found: Segmentation, grid: Geometry) -> Tensor:
    """Return the probability of brain on another grid; parts off the brain are 0."""
    near = ndimage.binary_dilation(found.mask, iterations=2)
    share = torch.from_numpy(np.where(near, found.brain, 0.0).astype(np.float32))
    result = torch.zeros(grid.shape)
    if near.any():
        box = _box_on(near, found.geometry, grid)
        result[box] = _sampled(share, sampling_places(found.geometry, grid, box))
    return result


def _box_on(where: NDArray[np.bool_], geometry: Geometry, grid: Geometry) -> Box:
    """Return the box of a mask on another grid, with a voxel of margin."""
    box = ndimage.find_objects(where.astype(np.uint8))[0]
    edges = np.array(np.meshgrid(*[(s.start - 1, s.stop) for s in box])).reshape(3, -1).T
    corners = grid.index(geometry.world(edges.astype(float)))
    low = np.clip(np.floor(corners.min(axis=0)), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, grid.shape).astype(int)
    return tuple(slice(int(a), int(max(a, b))) for a, b in zip(low, high, strict=True))


def sampling_places(source: Geometry, grid: Geometry, box: Box) -> Tensor:
    """Return where the voxels of a box of ``grid`` lie in ``source``, for ``grid_sample``."""
    matrix, offset = source.index_affine(grid)
    axes = [torch.arange(s.start, s.stop, dtype=torch.float32) for s in box]
    places = torch.zeros(*(len(a) for a in axes), 3)
    for axis in range(3):
        half = max((source.shape[axis] - 1) / 2, 0.5)
        # grid_sample wants (i, j, k) from -1 to 1.
        target = places[..., 2 - axis]
        target += (float(offset[axis]) - half) / half
        for n, along in enumerate(axes):
            shape = [1, 1, 1]
            shape[n] = -1
            target += (float(matrix[axis, n]) / half * along).view(shape)
    return places


def _sampled(values: Tensor, places: Tensor) -> Tensor:
    found = functional.grid_sample(
        values[None, None], places[None], mode="bilinear", align_corners=True
    )
    return found[0, 0]


def _coarse(image: Volume) -> Volume:
    """Return the image at 2 mm, upright as stored, scaled, without its empty frame."""
    array = np.asarray(image.array, dtype=np.float32)
    if not np.isfinite(array).all():
        array = np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)
    if array.max(initial=0.0) <= 0 or float(array.max()) == float(array.min()):
        raise InputError(f"{image.source}: the image is empty; check the file")
    upright = reorient(image.like(array))
    full = np.argwhere(upright.array[::2, ::2, ::2] > 0)
    low = np.maximum(0, 2 * full.min(axis=0) - 2)
    high = np.minimum(upright.geometry.shape, 2 * full.max(axis=0) + 4)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    cut = Volume(upright.array[box], _cropped(upright.geometry, box), image.source)
    grid = _two_mm_grid(cut.geometry)
    # Odd, so that nothing moves; the interpolation averages over a voxel more.
    blocks = [1 + 2 * max(0, int((GRID_MM / s - 1) / 2)) for s in cut.geometry.spacing_kji]
    smooth = ndimage.uniform_filter(cut.array, blocks) if max(blocks) > 1 else cut.array
    coarse = resample(cut.like(smooth), grid)
    return coarse.like(scaled(torch.from_numpy(coarse.array)).numpy())


def _two_mm_grid(geometry: Geometry) -> Geometry:
    """Return a grid of 2 mm over the same box, axes unchanged."""
    extent = np.asarray(geometry.shape) * np.asarray(geometry.spacing_kji)
    shape = tuple(int(n) for n in np.maximum(8, np.ceil(extent / GRID_MM - 1e-6)))
    start = (extent / np.asarray(geometry.spacing_kji) - 1) / 2
    first = start - (np.asarray(shape) - 1) / 2 * GRID_MM / np.asarray(geometry.spacing_kji)
    return Geometry(shape, (GRID_MM,) * 3, tuple(geometry.world(first)), geometry.direction)


def _cropped(geometry: Geometry, box: Box) -> Geometry:
    shape = tuple(s.stop - s.start for s in box)
    corner = geometry.world(np.array([s.start for s in box]))
    return Geometry(shape, geometry.spacing_mm, tuple(corner), geometry.direction)


def _scores(network: nn.Module, image: Tensor) -> Tensor:
    """Return the scores of a whole image, (output, k, j, i)."""
    pad = [side for n in reversed(image.shape) for side in (0, -n % _MULTIPLE)]
    padded = functional.pad(image, pad)[None, None]
    with (
        torch.inference_mode(),
        torch.autocast("cpu", torch.bfloat16, enabled=_has_fast_bfloat16()),
    ):
        scores = network(padded)[0].float()
    return scores[:, : image.shape[0], : image.shape[1], : image.shape[2]]


def _symmetric_scores(network: nn.Module, image: Tensor) -> Tensor:
    """Return the mean scores of an image and of its mirror image, where left is right."""
    mirrored = _scores(network, image.flip(-1)).flip(-1)
    mirrored[len(STRUCTURES)] *= -1
    return (_scores(network, image) + mirrored) / 2


def _has_fast_bfloat16() -> bool:
    """Return whether the processor multiplies in bfloat16, which labels do not feel."""
    found = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("amx_bf16", False) or found.get("avx512_bf16", False))


def _brain_share(scores: Tensor) -> NDArray[np.float32]:
    return torch.softmax(scores[: len(STRUCTURES)], dim=0)[FIRST_OF_BRAIN:].sum(dim=0).numpy()


def _largest_filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest part of a mask without holes.

    Parts are told apart after an opening, so that a bridge of a voxel does not join a muscle
    to the brain.
    """
    opened = ndimage.binary_opening(mask, iterations=1)
    parts, count = ndimage.label(opened if opened.any() else mask)
    if count == 0:
        return mask
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return ndimage.binary_fill_holes(ndimage.binary_dilation(largest, iterations=2, mask=mask))


def _without_trunk(coarse: Volume) -> Volume:
    """Return the upper part of an image that shows more than a head.

    The network knows heads with some of their neck; a whole neck and shoulders have muscle that
    it has never seen. The top of the head is where slices begin to hold tissue.
    """
    smooth = ndimage.uniform_filter(coarse.array, 3)
    tissue = (smooth > _TISSUE).sum(axis=(1, 2))
    slices = np.flatnonzero(tissue > _LEAST_TISSUE_VOXELS)
    if slices.size == 0:
        return coarse
    low = max(0, int(slices[-1]) + 1 - _HEAD_VOXELS)
    box = (slice(low, None), slice(None), slice(None))
    full = (slice(low, coarse.array.shape[0]), *(slice(0, n) for n in coarse.array.shape[1:]))
    return Volume(coarse.array[box], _cropped(coarse.geometry, full), coarse.source)


def _window(brain: NDArray[np.bool_], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the window about the brain (or the middle), which may reach beyond the image.

    It begins a little above the brain: what was taken for brain below it, in a neck, does not
    move it.
    """
    box = []
    for axis, side in enumerate(WINDOW):
        where = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
        if axis == 0 and where.size:
            start = int(where[-1]) + 1 + _ABOVE_VOXELS - side
        else:
            middle = where[[0, -1]].mean() if where.size else (shape[axis] - 1) / 2
            start = round(float(middle) - (side - 1) / 2)
        box.append(slice(start, start + side))
    return tuple(box)


def _overlap(box: Box, shape: tuple[int, ...]) -> tuple[Box, Box]:
    """Return the part of an image that a window covers, and where in the window it lies."""
    there = tuple(slice(max(0, s.start), min(n, s.stop)) for s, n in zip(box, shape, strict=True))
    here = tuple(
        slice(t.start - s.start, t.stop - s.start) for s, t in zip(box, there, strict=True)
    )
    return there, here


def _moved(geometry: Geometry, box: Box) -> Geometry:
    """Return the grid of a window."""
    corner = geometry.world(np.array([s.start for s in box], dtype=float))
    return Geometry(WINDOW, geometry.spacing_mm, tuple(corner), geometry.direction)


def _require_brain(found: Segmentation, chances: Tensor, source: str) -> None:
    """Refuse what is not likely a brain: no mask is better than a wrong one."""
    way_out = "give a brain mask with --mask"
    volume = found.millilitres
    if not PLAUSIBLE_ML[0] <= volume <= PLAUSIBLE_ML[1]:
        raise InputError(f"{source}: no brain could be told ({volume:.0f} ml found); {way_out}")
    mask = torch.from_numpy(found.mask)
    certainty = float(chances.amax(dim=0)[mask].mean())
    if certainty < _LEAST_CERTAINTY:
        raise InputError(
            f"{source}: this looks too little like a brain (certainty {certainty:.2f}); {way_out}"
        )
    if _upside_down(found):
        raise InputError(
            f"{source}: the cerebellum lies above the cerebrum, the header must say a wrong "
            f"orientation; correct it, or {way_out}"
        )


def _upside_down(found: Segmentation) -> bool:
    """Say whether the cerebellum lies above the middle of the white matter."""
    winner = found.classes.argmax(dim=0).numpy()
    inside = found.mask
    heights = {}
    for name in ("white matter", "cerebellar cortex"):
        where = np.flatnonzero(
            ((winner == INDEX[name] - FIRST_OF_BRAIN) & inside).sum(axis=(1, 2)) > 0
        )
        count = ((winner == INDEX[name] - FIRST_OF_BRAIN) & inside).sum(axis=(1, 2))
        if count.sum() < 500:
            return False
        heights[name] = float((where * count[where]).sum() / count[where].sum())
    return heights["cerebellar cortex"] > heights["white matter"]
