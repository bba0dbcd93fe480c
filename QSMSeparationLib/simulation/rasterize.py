"""A head on a fine upright grid: labels, chi+, chi-, R2, water and T1.

Labels of 1 mm are refined by comparing smoothed indicators, so borders are smooth at any
grid; vessels and lesions are drawn at the fine grid itself. All lies in world axes, hence
B0 is along k, whatever the orientation of the scan will be.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from QSMSeparationLib.data.axes import Box
from QSMSeparationLib.data.maps import mask_box
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.simulation import texture
from QSMSeparationLib.simulation.anatomy import Anatomy, Head, Lesion, Vessel
from QSMSeparationLib.simulation.fine_head import (
    FineHead,
    StateTable,
    coarse_factor,
    even_box,
    refined,
)
from QSMSeparationLib.simulation.microstructure import Fibers, draw_anisotropy, fiber_directions
from QSMSeparationLib.simulation.tissues import (
    EXTRACEREBRAL_CSF_LABEL,
    LABELS,
    PARENCHYMA_LABELS,
    VENTRICLE_LABELS,
    label_of,
    r2_of_sources_hz,
)

_SMOOTHING_MM = 0.6
_TEXTURE_SD = 0.08
_BLOCK = 64
_CLOSING_MM = 5.0
_VESSEL_RADIUS_STEP_MM = 0.1
_SLAB = 64


def rasterize(head: Head, spacing_mm: float, report: Report = silent) -> FineHead:
    """Draw a head on an upright grid of ``spacing_mm``."""
    anatomy = head.anatomy
    grid = fine_grid(anatomy.labels.geometry, spacing_mm)
    labels = refine_labels(anatomy.labels, grid, report)
    mask = anatomy.labels.like(brain_mask(anatomy).astype(np.int16))
    brain = refine_labels(mask, grid).bool()
    for vessel in anatomy.vessels:
        draw_vessel(labels, vessel, grid)
    values = _lookup_tables(head)
    index = labels.int()
    chi_para = values["para"][index].mul_(brain)
    chi_dia = values["dia"][index].mul_(brain)
    bulk = values["bulk"][index]
    r2 = values["free_r2"][index]
    del index
    for seed, chi in ((1, chi_para), (2, chi_dia)):
        apply_texture(chi, anatomy.labels.geometry, grid, [head.seed, 200 + seed])
    lesions = torch.zeros(grid.shape, dtype=torch.int16)
    for lesion in head.lesions:
        draw_lesion(lesion, grid, labels, lesions, chi_para, chi_dia, r2)
    box = even_box(mask_box(brain), coarse_factor(spacing_mm), grid.shape)
    drawn = dict(head.drawn)
    fibers = _detail(head, grid, box, labels, chi_para, chi_dia, drawn)
    _add_r2_of_sources(r2, labels, chi_para, chi_dia, values["follows"])
    return FineHead(
        grid, labels, lesions, brain, chi_para, chi_dia, bulk, r2,
        *_state_tables(head, values), box, fibers,
        {lesion.id: lesion.age for lesion in head.lesions}, drawn,
    )  # fmt: skip


def _detail(
    head: Head,
    grid: Geometry,
    box: Box,
    labels: Tensor,
    chi_para: Tensor,
    chi_dia: Tensor,
    drawn: dict[str, Any],
) -> Fibers | None:
    """Let chi vary within tissues, in place, and find the fibers, on a coarse grid of the brain."""
    factor = coarse_factor(grid.spacing_mm[0])
    half = tuple(slice(s.start + factor // 2, s.stop, factor) for s in box)
    coarse = np.ascontiguousarray(labels[half].numpy())
    spacing_mm = grid.spacing_mm[0] * factor
    if "texture" in head.realism:
        rng = np.random.default_rng([head.seed, 9302])
        drawn["texture_sd"] = round(float(rng.uniform(*texture.SD_RANGE)), 3)
        factors = texture.source_factors(coarse, spacing_mm, drawn["texture_sd"], rng)
        for chi, change in zip((chi_para, chi_dia), factors, strict=True):
            chi[box].mul_(refined(change, factor))
    if "fibers" not in head.realism:
        return None
    rng = np.random.default_rng([head.seed, 9303])
    anisotropy = draw_anisotropy(rng)
    drawn["anisotropy"] = asdict(anisotropy)
    return Fibers(factor, fiber_directions(coarse, spacing_mm, rng), anisotropy)


def _add_r2_of_sources(
    r2: Tensor, labels: Tensor, chi_para: Tensor, chi_dia: Tensor, follows: Tensor
) -> None:
    """Add what iron and myelin bring to R2, slab by slab."""
    for start in range(0, len(r2), _SLAB):
        part = slice(start, start + _SLAB)
        added = r2_of_sources_hz(1000 * chi_para[part], -1000 * chi_dia[part])
        r2[part].add_(added.mul_(follows[labels[part].int()]))


def _state_tables(
    head: Head, values: dict[str, Tensor]
) -> tuple[StateTable, StateTable, StateTable]:
    """Water, T1 and the factor of R2' by label and by lesion."""
    count = 1 + max((lesion.id for lesion in head.lesions), default=0)
    water, t1, factor = (torch.ones(count) for _ in range(3))
    for lesion in head.lesions:
        water[lesion.id] = lesion.state.water
        t1[lesion.id] = lesion.state.t1_s
        factor[lesion.id] = head.relaxivities.scale * head.relaxivities.lesions.get(lesion.id, 1.0)
    return (
        StateTable(values["water"], water),
        StateTable(values["t1"], t1),
        StateTable(values["factor"], factor),
    )


def fine_grid(coarse: Geometry, spacing_mm: float) -> Geometry:
    """Return the upright grid of another spacing over the same box."""
    extent = [n * s for n, s in zip(coarse.shape, coarse.spacing_kji, strict=True)]
    shape = tuple(math.floor(e / spacing_mm + 1e-6) for e in extent)
    corner = coarse.world(np.full(3, -0.5))
    return Geometry(shape, (spacing_mm,) * 3, tuple(corner + 0.5 * spacing_mm))


def brain_mask(anatomy: Anatomy) -> NDArray[np.bool_]:
    """Return parenchyma with ventricles and sulci (closed by 5 mm, no bone or air)."""
    labels = anatomy.labels.array
    brain = np.isin(labels, PARENCHYMA_LABELS + VENTRICLE_LABELS)
    box = _bounding_box(brain, margin=12)
    inner = brain[box]
    near = ndimage.distance_transform_edt(~inner) <= _CLOSING_MM
    closed = ndimage.distance_transform_edt(near) > _CLOSING_MM
    fluid = np.isin(labels[box], (EXTRACEREBRAL_CSF_LABEL, label_of("vein"), label_of("artery")))
    mask = np.zeros_like(brain)
    mask[box] = inner | (closed & (fluid | inner))
    pieces, count = ndimage.label(mask)
    if count > 1:
        mask = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return mask


def refine_labels(labels: Volume, grid: Geometry, report: Report = silent) -> Tensor:
    """Refine a label map to a finer upright grid over the same box.

    The indicator of every label is smoothed and interpolated, both as one separable matrix
    product, and the largest wins. Block by block, for the labels that a block holds.
    """
    source = labels.array
    matrices = [_refining_matrix(axis, labels.geometry, grid) for axis in range(3)]
    refined = torch.zeros(grid.shape, dtype=torch.int16)
    starts = [range(0, n, _BLOCK) for n in grid.shape]
    of = math.prod(len(s) for s in starts)
    for done, start in enumerate(product(*starts)):
        report(done, of)
        rows = [m[a : a + _BLOCK] for m, a in zip(matrices, start, strict=True)]
        used = [torch.nonzero(r.any(dim=0)).flatten() for r in rows]
        columns = [slice(int(u[0]), int(u[-1]) + 1) for u in used]
        part = source[tuple(columns)]
        present = np.flatnonzero(np.bincount(part.ravel()))
        target = refined[tuple(slice(a, a + _BLOCK) for a in start)]
        target.fill_(int(present[0]))
        best = None
        k, j, i = (r[:, c] for r, c in zip(rows, columns, strict=True))
        for number in present if len(present) > 1 else ():
            indicator = torch.from_numpy((part == number).astype(np.float32))
            score = torch.matmul(torch.matmul(j, indicator), i.T)
            score = torch.matmul(k, score.view(score.shape[0], -1)).view(target.shape)
            if best is None:
                best = score
                continue
            target.masked_fill_(score > best, int(number))
            torch.maximum(best, score, out=best)
    return refined


def _refining_matrix(axis: int, coarse: Geometry, grid: Geometry) -> Tensor:
    """Gaussian smoothing on the coarse grid and linear interpolation to the fine one, one axis."""
    n, spacing = coarse.shape[axis], coarse.spacing_kji[axis]
    distance = (np.arange(n)[:, None] - np.arange(n)[None]) * spacing
    smooth = np.exp(-0.5 * (distance / _SMOOTHING_MM) ** 2) * (abs(distance) < 3 * _SMOOTHING_MM)
    smooth /= smooth.sum(axis=1, keepdims=True)
    fine = (np.arange(grid.shape[axis]) + 0.5) * grid.spacing_kji[axis] / spacing - 0.5
    left = np.clip(np.floor(fine), 0, max(0, n - 2)).astype(int)
    weight = np.clip(fine - left, 0, 1)[:, None]
    matrix = smooth[left] * (1 - weight) + smooth[np.minimum(left + 1, n - 1)] * weight
    return torch.from_numpy(matrix.astype(np.float32))


def apply_texture(chi: Tensor, coarse: Geometry, grid: Geometry, seed: list[int]) -> None:
    """Multiply a map by 1 + spatially correlated noise (SD 8 %, about 1.5 and 6 mm)."""
    rng = np.random.default_rng(seed)
    shape = tuple(n // 2 + 1 for n in coarse.shape)
    noise = np.zeros(shape, dtype=np.float32)
    for sigma in (0.75, 3.0):
        part = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma)
        noise += part / part.std()
    noise *= np.float32(_TEXTURE_SD / math.sqrt(2))
    np.clip(noise, -3 * _TEXTURE_SD, 3 * _TEXTURE_SD, out=noise)
    texture_grid = Geometry(shape, tuple(2 * s for s in coarse.spacing_mm), coarse.origin_mm)
    everything = tuple(slice(0, n) for n in shape)
    slabs = torch.from_numpy(noise)
    for start in range(0, grid.shape[0], 64):
        part_grid = _slab(grid, start, min(64, grid.shape[0] - start))
        factor = _interpolate(slabs, everything, texture_grid, part_grid)
        chi[start : start + 64].mul_(factor.add_(1.0))


def draw_vessel(labels: Tensor, vessel: Vessel, grid: Geometry) -> None:
    """Draw a vessel into a label map, over brain and CSF only."""
    number = label_of(vessel.tissue)
    allowed = torch.zeros(max(LABELS) + 1, dtype=torch.bool)
    allowed[list(PARENCHYMA_LABELS + VENTRICLE_LABELS + (EXTRACEREBRAL_CSF_LABEL,))] = True
    centers = np.rint(grid.index(vessel.points_mm)).astype(np.int64)
    steps = np.maximum(1, np.rint(vessel.radius_mm / _VESSEL_RADIUS_STEP_MM)).astype(int)
    flat = labels.view(-1)
    for step in np.unique(steps):
        offsets = _ball(step * _VESSEL_RADIUS_STEP_MM / grid.spacing_mm[0])
        voxels = (centers[steps == step][:, None, :] + offsets[None]).reshape(-1, 3)
        inside = np.all((voxels >= 0) & (voxels < np.asarray(grid.shape)), axis=1)
        index = torch.from_numpy(np.ravel_multi_index(voxels[inside].T, grid.shape))
        index = index[allowed[flat[index].long()]]
        flat[index] = number


def draw_lesion(
    lesion: Lesion,
    grid: Geometry,
    labels: Tensor,
    lesions: Tensor,
    chi_para_ppm: Tensor,
    chi_dia_ppm: Tensor,
    free_r2_hz: Tensor,
) -> None:
    """Draw a lesion into the maps of a fine head; vessels and CSF stay as they are."""
    small = lesion.inside_mm.geometry
    whole = tuple(slice(0, n) for n in small.shape)
    target, inside = _interpolate_box(lesion.inside_mm.array, whole, small, grid)
    tissue = torch.zeros(max(LABELS) + 1, dtype=torch.bool)
    tissue[list(PARENCHYMA_LABELS)] = True
    within = (inside > 0) & tissue[labels[target].long()]
    rim = within & (inside <= lesion.rim_mm)
    for values, core, edge in (
        (chi_para_ppm, lesion.core_para_ppb / 1000, lesion.rim_para_ppb / 1000),
        (chi_dia_ppm, lesion.core_dia_ppb / 1000, lesion.rim_dia_ppb / 1000),
        (free_r2_hz, lesion.state.free_r2_hz, lesion.state.rim_free_r2_hz),
    ):
        values[target][within] = core
        values[target][rim] = edge
    lesions[target][within] = lesion.id


def _lookup_tables(head: Head) -> dict[str, Tensor]:
    """Values by label number; susceptibility of R2' sources is kept to the brain later."""
    outside_air = head.tissues["air"].bulk_ppm
    names = ("para", "dia", "bulk", "free_r2", "follows", "t1", "water", "factor")
    tables = {name: torch.zeros(max(LABELS) + 1) for name in names}
    for number, name in LABELS.items():
        tissue = head.tissues[name]
        tables["para"][number] = tissue.chi_para_ppb / 1000
        tables["dia"][number] = tissue.chi_dia_ppb / 1000
        tables["bulk"][number] = tissue.bulk_ppm - outside_air
        tables["free_r2"][number] = tissue.free_r2_hz
        tables["follows"][number] = float(tissue.parenchyma)
        tables["t1"][number] = tissue.t1_ms / 1000
        tables["water"][number] = tissue.water
        relaxivities = head.relaxivities
        tables["factor"][number] = relaxivities.scale * relaxivities.tissues.get(name, 1.0)
    return tables


def _interpolate_box(
    values: NDArray[np.float32], box: Box, coarse: Geometry, grid: Geometry
) -> tuple[Box, Tensor]:
    """Interpolate a box of a coarse upright grid; returns the fine box and its values."""
    # Half a coarse voxel beyond the outermost centers: the extent of the box's voxels.
    low = grid.index(coarse.world(np.array([s.start - 0.5 for s in box])))
    high = grid.index(coarse.world(np.array([s.stop - 0.5 for s in box])))
    start = np.clip(np.ceil(low - 1e-6).astype(int), 0, grid.shape)
    stop = np.clip(np.floor(high + 1e-6).astype(int) + 1, start, grid.shape)
    target = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    part = Geometry(
        tuple(max(1, t.stop - t.start) for t in target),
        grid.spacing_mm,
        tuple(grid.world(start.astype(float))),
    )
    if any(t.stop <= t.start for t in target):
        return target, torch.zeros(tuple(t.stop - t.start for t in target))
    return target, _interpolate(torch.from_numpy(np.ascontiguousarray(values)), box, coarse, part)


def _interpolate(values: Tensor, box: Box, coarse: Geometry, grid: Geometry) -> Tensor:
    """Interpolate linearly, axis by axis, between two upright grids."""
    first, last = grid.world(np.zeros(3)), grid.world(np.asarray(grid.shape) - 1.0)
    low, high = coarse.index(first), coarse.index(last)
    for axis, n in enumerate(grid.shape):
        place = torch.linspace(float(low[axis]), float(high[axis]), n, dtype=torch.float64)
        place = (place - box[axis].start).clamp_(0, values.shape[axis] - 1)
        left = place.floor().long().clamp_(max=max(0, values.shape[axis] - 2))
        right = (left + 1).clamp_(max=values.shape[axis] - 1)
        view = [1, 1, 1]
        view[axis] = -1
        weight = (place - left).float().view(view)
        values = torch.lerp(
            values.index_select(axis, left), values.index_select(axis, right), weight
        )
    return values


def _slab(grid: Geometry, start: int, count: int) -> Geometry:
    """Return ``count`` slices of a grid from slice ``start`` on."""
    origin = grid.world(np.array([float(start), 0.0, 0.0]))
    return Geometry((count, *grid.shape[1:]), grid.spacing_mm, tuple(origin), grid.direction)


def _ball(radius: float) -> NDArray[np.int64]:
    """Offsets (n, 3) of the voxels whose center lies within ``radius`` voxels."""
    reach = math.ceil(radius)
    axis = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return offsets[(offsets**2).sum(axis=1) <= radius**2 + 1e-6]


def _bounding_box(mask: NDArray[np.bool_], margin: int = 0) -> Box:
    """Smallest box around a mask, grown by ``margin`` voxels."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return _grow(box, margin, mask.shape)


def _grow(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    """Grow a box, within an array's shape."""
    return tuple(
        slice(max(0, s.start - margin), min(n, s.stop + margin))
        for s, n in zip(box, shape, strict=True)
    )
