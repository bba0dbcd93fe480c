"""Removal of the background field: what is left is the field of sources within the brain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from QSMSeparationLib.catalogue import DEFAULT_BACKGROUND, find
from QSMSeparationLib.data.axes import Box, Triple
from QSMSeparationLib.data.maps import Maps, mask_box
from QSMSeparationLib.data.method import Method, Value
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.preprocess.source_prior import sources_seen_in_rates
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.runtime.errors import InputError

UNRELIABLE = 0.3
"""Below this reliability a field is not measured: it is filled from its neighbors."""

_RATE_UNRELIABLE = 0.6
"""Below this the echoes agree so little that rates are not measured either: they are filled, too."""

_EDGE_SD_MM = 1.5
_PURE_SHARE = 0.66
"""Voxels are brain alone if this share of a Gaussian about them is: 0.6 mm within a flat border."""

_KEPT_SHARE = 0.8
"""The local field is known from this share on: 1.3 mm within a flat border, more at a tip."""

_FILL_SWEEPS = 40


@dataclass(frozen=True, eq=False)
class BackgroundResult:
    """The local field and where it holds.

    Parameters
    ----------
    local_field : Tensor
        Local field in ppm, mean 0 over ``mask``, 0 outside it.
    local_field_in_mask : Tensor
        The part of it that sources within ``mask`` make about their mean, and no others: what
        an inversion can explain. As far as rates showed sources; else the local field.
    mask : Tensor
        The mask after erosion, bool.
    notes : tuple of str
        Sentences for the user on what was done.
    """

    local_field: Tensor
    local_field_in_mask: Tensor
    mask: Tensor
    notes: tuple[str, ...]


def remove_background(
    maps: Maps,
    method: Method | None = None,
    parameters: Mapping[str, Value] | None = None,
    rates_hz: Sequence[Tensor] = (),
    context: Context | None = None,
) -> BackgroundResult:
    """Remove the field of sources outside the mask.

    Parameters
    ----------
    maps : Maps
        ``total_field``, the brain mask, and ``trust``: unreliable voxels are filled from their
        neighbors before any filter and do not count in a fit.
    method : Method, optional
        Row of the stage ``background``; the default one where it is not given.
    parameters : mapping, optional
        Parameters of the method that differ from its defaults.
    rates_hz : sequence of Tensor
        R2*, or R2*, R2' and R2, in the mask. With them the part of the local field that looks
        like background is estimated too (``source_prior``).
    context : Context, optional
        Progress.
    """
    method = method or find(DEFAULT_BACKGROUND, "background")
    given = maps.mask.bool()
    if not given.any():
        raise InputError("background removal: the brain mask is empty")
    depth = gaussian(given.float(), _EDGE_SD_MM, maps.spacing_kji)
    pure, filled = _filled(maps, given & (depth >= _PURE_SHARE))
    (field,), known, box = pure.need("total_field"), None, mask_box(pure.mask)
    if rates_hz:
        known = _sources_in_rates(pure, rates_hz, box)
        field[box] -= known.field
    local, holds = method.run(pure, context, **(parameters or {}))
    kept = holds & (depth >= _KEPT_SHARE)
    if not kept.any():
        raise InputError("background removal: the mask is too thin for any ball; check the mask")
    inner = local
    if known:
        local[box] += known.field
        inner = local.clone()
        inner[box] -= known.field_outside(kept[box])
    local, inner = (torch.where(kept, f - f[kept].mean(), 0.0) for f in (local, inner))
    notes = [f"background removal: {method.name}, {_share(kept, given):.1%} of the mask kept"]
    if rates_hz:
        names = ", ".join(("R2*", "R2'", "R2")[: len(rates_hz)])
        notes.append(f"background removal: sources that follow {names} were kept apart from it")
    if filled.any():
        notes.append(f"{_share(filled, pure.mask):.2%} of the mask filled as unreliable")
    return BackgroundResult(local, inner, kept, tuple(notes))


def _filled(maps: Maps, mask: Tensor) -> tuple[Maps, Tensor]:
    """Return the maps in a mask with the unreliable part of the field filled, and that part."""
    if not mask.any():
        raise InputError("background removal: the mask is nothing but edge; check the mask")
    (total_field,) = maps.need("total_field")
    trust = maps.trust * mask
    trust = torch.where(torch.isfinite(total_field) & (trust >= UNRELIABLE), trust, 0.0)
    good, bad = trust > 0, mask & (trust == 0)
    if not good.any():
        raise InputError("background removal: no voxel of the field is reliable")
    field = torch.where(good, total_field.float(), 0.0)
    field = fill_harmonic((field - field[good].mean()) * mask, bad, good, maps.spacing_kji)
    return replace(maps, mask=mask, total_field=field, trust=trust), bad


def _sources_in_rates(maps: Maps, rates_hz: Sequence[Tensor], box: Box) -> _PriorSources:
    """Return the sources within a box that the rates show."""
    inside, trust = maps.mask[box], maps.trust[box]
    sure = trust >= _RATE_UNRELIABLE
    spacing, b0 = maps.spacing_kji, maps.b0_kji
    rates = [fill_harmonic(rate[box], inside & ~sure, inside & sure, spacing) for rate in rates_hz]
    (field,) = maps.need("total_field")
    sources = sources_seen_in_rates(field[box], inside, trust, rates, spacing, b0)
    return _PriorSources(sources, inside, spacing, b0)


def _share(part: Tensor, whole: Tensor) -> float:
    return int(part.sum()) / int(whole.sum())


class _PriorSources:
    """Sources that the rates show, and their field within the mask."""

    def __init__(
        self, sources_ppm: Tensor, mask: Tensor, spacing_kji: Triple, b0_kji: Triple
    ) -> None:
        self._sources, self._mask = sources_ppm, mask
        shape = tuple(mask.shape)
        self._dipole = DipoleOperator(shape, spacing_kji, b0_kji, pad=0.5, device=mask.device)
        self.field = self._field_of(sources_ppm)

    def field_outside(self, kept: Tensor) -> Tensor:
        """Return the field of the sources that are not in ``kept``, and of their mean in it."""
        mean = self._sources[kept].mean()
        return self._field_of(torch.where(kept, mean, self._sources))

    def _field_of(self, sources_ppm: Tensor) -> Tensor:
        return self._dipole(sources_ppm) * self._mask


def fill_harmonic(field: Tensor, bad: Tensor, good: Tensor, spacing_kji: Triple) -> Tensor:
    """Return the field with bad voxels filled by the harmonic function of their surroundings.

    Jacobi's iteration over the list of bad voxels, started from a mean of the neighbors
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
