"""Removal of the background field: what is left is the field of sources within the brain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import mask_box
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.preprocess.pdf import pdf
from QSMSeparationLib.preprocess.resharp import resharp
from QSMSeparationLib.preprocess.source_prior import sources_seen_in_rates
from QSMSeparationLib.preprocess.vsharp import vsharp
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

Triple = tuple[float, float, float]
Method = Literal["resharp", "vsharp", "pdf"]

UNRELIABLE = 0.3
"""Below this reliability a field is not measured: it is filled from its neighbours."""

_RATE_UNRELIABLE = 0.6
"""Below this the echoes agree so little that rates are not measured either: they are filled, too."""

_EDGE_SD_MM = 1.5
_PURE_SHARE = 0.66
"""Voxels are brain alone if this share of a Gaussian about them is: 0.6 mm within a flat border."""

_KEPT_SHARE = 0.8
"""The local field is known from this share on: 1.3 mm within a flat border, more at a tip."""

_FILL_SWEEPS = 40
_ITERATIONS = {"resharp": 8, "pdf": 60}


@dataclass(frozen=True, eq=False)
class BackgroundResult:
    """The local field and where it holds.

    Parameters
    ----------
    local_field_ppm : Tensor
        Local field, mean 0 over ``mask``, 0 outside it.
    inner_field_ppm : Tensor
        The part of it that sources within ``mask`` make about their mean, and no others: what
        an inversion can explain. As far as rates showed sources; else the local field.
    mask : Tensor
        The mask after erosion, bool.
    residual : Tensor
        What the method could not explain, in ppm: the distance of mean-value-filtered data
        and model for ``resharp``, 0 for the others.
    notes : tuple of str
        What was done, to be shown.
    """

    local_field_ppm: Tensor
    inner_field_ppm: Tensor
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
    rates_hz: Sequence[Tensor] = (),
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
    rates_hz : sequence of Tensor
        R2*, or R2* and R2', in the mask. With them the part of the local field that looks
        like background is estimated too (``source_prior``).
    iterations : int, optional
        Of the iterative methods.
    report : Report
        Progress.
    """
    given = _checked(total_field_ppm, mask, method)
    depth = gaussian(given.float(), _EDGE_SD_MM, spacing_kji)
    mask = given & (depth >= _PURE_SHARE)
    if not mask.any():
        raise InputError("background removal: the mask is nothing but edge; check the mask")
    trust = mask.float() if weight is None else weight.clamp(0.0, 1.0) * mask
    trust = torch.where(torch.isfinite(total_field_ppm) & (trust >= UNRELIABLE), trust, 0.0)
    good, bad = trust > 0, mask & (trust == 0)
    if not good.any():
        raise InputError("background removal: no voxel of the field is reliable")
    field = torch.where(good, total_field_ppm.float(), 0.0)
    field = fill_harmonic((field - field[good].mean()) * mask, bad, good, spacing_kji)
    known, box = None, mask_box(mask)
    if rates_hz:
        inside, sure = mask[box], trust[box] >= _RATE_UNRELIABLE
        rates = [
            fill_harmonic(rate[box], inside & ~sure, inside & sure, spacing_kji)
            for rate in rates_hz
        ]
        sources = sources_seen_in_rates(field[box], inside, trust[box], rates, spacing_kji, b0_kji)
        known = _Known(sources, inside, spacing_kji, b0_kji)
        field[box] -= known.field
    residual = torch.zeros_like(field)
    rounds = iterations or _ITERATIONS.get(method, 0)
    kept = mask
    if method == "vsharp":
        local, kept = vsharp(field, mask, spacing_kji, report)
    elif method == "pdf":
        local = pdf(field, mask, trust, spacing_kji, b0_kji, rounds, report)
    else:
        local, residual = resharp(field, mask, trust, spacing_kji, b0_kji, rounds, report)
    kept = kept & (depth >= _KEPT_SHARE)
    if not kept.any():
        raise InputError("background removal: the mask is too thin for any ball; check the mask")
    inner = local
    if known:
        local[box] += known.field
        inner = local.clone()
        inner[box] -= known.field_beside(kept[box])
    local, inner = (torch.where(kept, f - f[kept].mean(), 0.0) for f in (local, inner))
    notes = [f"background removal: {method}, {_share(kept, given):.1%} of the mask kept"]
    if rates_hz:
        names = " and ".join(("R2*", "R2'")[: len(rates_hz)])
        notes.append(f"background removal: sources that follow {names} were kept apart from it")
    if bad.any():
        notes.append(f"{_share(bad, mask):.2%} of the mask filled as unreliable")
    return BackgroundResult(local, inner, kept, residual, tuple(notes))


def _checked(total_field_ppm: Tensor, mask: Tensor, method: str) -> Tensor:
    """Return the mask as bool, or refuse what can't be used."""
    if total_field_ppm.shape != mask.shape:
        raise InputError(
            f"total field {tuple(total_field_ppm.shape)} and mask {tuple(mask.shape)} do not fit"
        )
    if not mask.any():
        raise InputError("background removal: the brain mask is empty")
    if method not in ("resharp", "vsharp", "pdf"):
        raise InputError(f"background method '{method}' is unknown: use resharp, vsharp or pdf")
    return mask.bool()


def _share(part: Tensor, whole: Tensor) -> float:
    return int(part.sum()) / int(whole.sum())


class _Known:
    """Known sources, and their field within the mask."""

    def __init__(
        self, sources_ppm: Tensor, mask: Tensor, spacing_kji: Triple, b0_kji: Triple
    ) -> None:
        self._sources, self._mask = sources_ppm, mask
        shape = tuple(mask.shape)
        self._dipole = DipoleOperator(shape, spacing_kji, b0_kji, pad=0.5, device=mask.device)
        self.field = self._field_of(sources_ppm)

    def field_beside(self, kept: Tensor) -> Tensor:
        """Return the field of the sources that are not in ``kept``, and of their mean in it."""
        mean = self._sources[kept].mean()
        return self._field_of(torch.where(kept, mean, self._sources))

    def _field_of(self, sources_ppm: Tensor) -> Tensor:
        return self._dipole(sources_ppm) * self._mask


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
