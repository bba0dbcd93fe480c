"""Removal of the background field: what is left is the field of sources within the brain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.errors import InputError
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.preprocess.pdf import pdf
from QSMSeparationLib.preprocess.resharp import resharp
from QSMSeparationLib.preprocess.source_prior import sources_seen_in_r2star
from QSMSeparationLib.preprocess.vsharp import vsharp
from QSMSeparationLib.progress import Report, silent

Triple = tuple[float, float, float]
Method = Literal["resharp", "vsharp", "pdf"]

_UNRELIABLE = 0.3
_EDGE_SHARE = 0.8
"""Edge voxels without a ball are kept if this share of their 27 neighbours is brain."""

_FILL_SWEEPS = 40
_ITERATIONS = {"resharp": 25, "pdf": 60}


@dataclass(frozen=True, eq=False)
class BackgroundResult:
    """The local field and where it holds.

    Parameters
    ----------
    local_field_ppm : Tensor
        Local field, mean 0 over ``mask``, 0 outside it.
    mask : Tensor
        The mask after erosion, bool.
    residual : Tensor
        What the method could not explain, in ppm: the distance of mean-value-filtered data
        and model for ``resharp``, 0 for the others.
    notes : tuple of str
        What was done, to be shown.
    """

    local_field_ppm: Tensor
    mask: Tensor
    residual: Tensor
    notes: tuple[str, ...]


def remove_background(
    total_field_ppm: Tensor,
    mask: Tensor,
    spacing_kji: Triple,
    b0_kji: Triple,
    method: Method = "resharp",
    weight: Tensor | None = None,
    r2star_hz: Tensor | None = None,
    iterations: int | None = None,
    report: Report = silent,
) -> BackgroundResult:
    """Remove the field of sources outside the mask.

    Parameters
    ----------
    total_field_ppm : Tensor
        Total field, (k, j, i).
    mask : Tensor
        Brain mask.
    spacing_kji : tuple of float
        Voxel size in mm.
    b0_kji : tuple of float
        Unit vector of B0 in array axes.
    method : {"resharp", "vsharp", "pdf"}
        ``resharp`` is the most exact; see the module of each.
    weight : Tensor, optional
        Reliability of each voxel, 0 to 1. Unreliable voxels are filled from their
        neighbours before any filter and do not count in a fit.
    r2star_hz : Tensor, optional
        R2* in the mask. With it the part of the local field that looks like background is
        estimated too (``source_prior``).
    iterations : int, optional
        Of the iterative methods.
    report : Report
        Progress.
    """
    mask = mask.bool()
    if total_field_ppm.shape != mask.shape:
        raise InputError(
            f"total field {tuple(total_field_ppm.shape)} and mask {tuple(mask.shape)} do not fit"
        )
    if not mask.any():
        raise InputError("background removal: the brain mask is empty")
    if method not in ("resharp", "vsharp", "pdf"):
        raise InputError(f"background method '{method}' is unknown: use resharp, vsharp or pdf")
    trust = mask.float() if weight is None else weight.clamp(0.0, 1.0) * mask
    field = torch.nan_to_num(total_field_ppm.float(), 0.0, 0.0, 0.0)
    trust = torch.where(torch.isfinite(total_field_ppm), trust, 0.0)
    bad = mask & (trust < _UNRELIABLE)
    good = mask & ~bad
    if not good.any():
        raise InputError("background removal: no voxel of the field is reliable")
    field = fill_harmonic((field - field[good].mean()) * mask, bad, good, spacing_kji)
    trust = torch.where(bad, 0.0, trust)
    known = _known_field(field, mask, trust, r2star_hz, spacing_kji, b0_kji)
    field = field - known
    residual = torch.zeros_like(field)
    rounds = iterations or _ITERATIONS.get(method, 0)
    if method == "vsharp":
        local, kept = vsharp(field, mask, spacing_kji, report)
    elif method == "pdf":
        local, kept = pdf(field, mask, trust, spacing_kji, b0_kji, rounds, report), mask
    else:
        local, fits, residual = resharp(field, mask, trust, spacing_kji, b0_kji, rounds, report)
        kept = fits | (mask & (_neighbour_share(mask) >= _EDGE_SHARE))
    if not kept.any():
        raise InputError("background removal: the mask is too thin for any ball; check the mask")
    local = local + known
    local = torch.where(kept, local - local[kept].mean(), 0.0)
    share = int(kept.sum()) / int(mask.sum())
    notes = [f"background removal: {method}, {share:.1%} of the mask kept"]
    if r2star_hz is not None:
        notes.append("background removal: sources that follow R2* were kept apart from it")
    if bad.any():
        notes.append(f"{int(bad.sum()) / int(mask.sum()):.2%} of the mask filled as unreliable")
    return BackgroundResult(local, kept, residual, tuple(notes))


def _known_field(
    field_ppm: Tensor,
    mask: Tensor,
    trust: Tensor,
    r2star_hz: Tensor | None,
    spacing_kji: Triple,
    b0_kji: Triple,
) -> Tensor:
    """Return the field in the mask of the sources that R2* shows, 0 without R2*."""
    if r2star_hz is None:
        return torch.zeros_like(field_ppm)
    sources = sources_seen_in_r2star(field_ppm, mask, trust, r2star_hz, spacing_kji, b0_kji)
    dipole = DipoleOperator(tuple(mask.shape), spacing_kji, b0_kji, pad=0.5, device=mask.device)
    return dipole(sources) * mask


def fill_harmonic(field: Tensor, bad: Tensor, good: Tensor, spacing_kji: Triple) -> Tensor:
    """Return the field with bad voxels filled by the harmonic function of their surroundings.

    Jacobi's iteration over the list of bad voxels, started from a mean of the neighbours
    that grows inwards.
    """
    where = torch.nonzero(bad)
    if len(where) == 0:
        return field
    shape = torch.tensor(field.shape, device=field.device)
    stride = torch.tensor([shape[1] * shape[2], shape[2], 1], device=field.device)
    near, strength = [], []
    known = (good | bad).flatten()
    for axis in range(3):
        for side in (-1, 1):
            step = torch.zeros(3, dtype=torch.long, device=field.device)
            step[axis] = side
            at = where + step
            valid = ((at >= 0) & (at < shape)).all(1)
            index = (at.clamp_min(0).minimum(shape - 1) * stride).sum(1)
            near.append(index)
            strength.append((valid & known[index]) / spacing_kji[axis] ** 2)
    index, weight = torch.stack(near, 1), torch.stack(strength, 1).float()
    values, own = field.flatten().clone(), (where * stride).sum(1)
    filled = good.flatten().clone()
    for _ in range(_FILL_SWEEPS):
        now = weight * filled[index]
        total = now.sum(1)
        mean = (now * values[index]).sum(1) / total.clamp_min(1e-12)
        values[own] = torch.where(total > 0, mean, values[own])
        filled[own] |= total > 0
    return values.view_as(field)


def _neighbour_share(mask: Tensor) -> Tensor:
    """Return the share of brain among the 27 voxels about each voxel."""
    padded = functional.pad(mask.float()[None, None], (1,) * 6)
    return functional.avg_pool3d(padded, 3, stride=1)[0, 0]
