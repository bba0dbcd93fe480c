"""The grid on which an inversion works: the box of the mask, zero-padded to a quick size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps, mask_box
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.runtime.errors import InputError


class Window:
    """The bounding box of the mask on a padded periodic grid, and the dipole there.

    Parameters
    ----------
    maps : Maps
        Where the head lies.
    pad : float
        Zero margin as a fraction of each side of the box. The default serves methods that compare
        the field within the mask only.

    Attributes
    ----------
    padded : tuple of int
        Size of the periodic grid.
    dipole : Tensor
        D(k) on the half spectrum.
    spacing_kji : tuple of float
        Voxel size in mm.
    """

    def __init__(self, maps: Maps, pad: float = 0.15) -> None:
        if not maps.mask.any():
            raise InputError("the mask is empty: there is nothing to invert")
        self.mask = maps.mask.bool()
        self.box = mask_box(self.mask)
        self.inner = tuple(slice(0, s.stop - s.start) for s in self.box)
        operator = DipoleOperator(
            tuple(s.stop for s in self.inner),
            maps.spacing_kji,
            maps.b0_kji,
            pad=pad,
            device=self.mask.device,
        )
        self.padded, self.dipole = operator.padded, operator.kernel
        self.spacing_kji = maps.spacing_kji
        mean_step = math.prod(maps.spacing_kji) ** (1 / 3)
        self.step_weights = tuple(mean_step / step for step in maps.spacing_kji)

    def embed(self, volume: Tensor) -> Tensor:
        """Put a map on the padded grid, 0 outside the mask and where it is not finite."""
        padded = torch.zeros(self.padded, device=self.mask.device)
        inside = self.mask[self.box]
        values = volume[self.box].to(torch.float32)
        padded[self.inner] = torch.where(inside & values.isfinite(), values, 0.0)
        return padded

    def extract(self, padded: Tensor) -> Tensor:
        """Return a map on the grid of the scan: mean 0 over the mask, 0 outside it.

        The field says nothing about the mean of the susceptibility, so all methods leave
        the same reference: the mean over the mask.
        """
        volume = self.crop(padded)
        volume -= volume[self.mask].mean()
        return volume.mul_(self.mask)

    def crop(self, padded: Tensor) -> Tensor:
        """Return a map on the grid of the scan, 0 outside the box."""
        volume = torch.zeros(self.mask.shape, device=self.mask.device)
        volume[self.box] = padded[self.inner]
        return volume

    def spectral_mean(self, half: Tensor) -> float:
        """Return the mean over the whole spectrum of a real quantity on the half spectrum."""
        return float((half * self.columns).sum()) / math.prod(self.padded)

    @property
    def columns(self) -> Tensor:
        """How often the whole spectrum holds each column of the half one: once or twice."""
        count = self.padded[2] // 2 + 1
        times = torch.full((count,), 2.0, device=self.mask.device)
        times[0] = 1.0
        times[-1] = 2.0 if self.padded[2] % 2 else 1.0
        return times

    def laplacian(self) -> Tensor:
        """Return the symbol of sum_a w_a^2 grad_a^T grad_a on the half spectrum.

        ``grad_a`` are periodic forward differences and w_a the mean voxel size over that
        along the axis (``step_weights``).
        """
        total = torch.zeros_like(self.dipole)
        for axis, (n, weight) in enumerate(zip(self.padded, self.step_weights, strict=True)):
            index = torch.arange(total.shape[axis], device=total.device)
            view = [1, 1, 1]
            view[axis] = -1
            total += (weight**2 * (2 - 2 * torch.cos(2 * math.pi * index / n))).view(view)
        return total


def scale_(spectrum: Tensor, factor: Tensor) -> Tensor:
    """Multiply a complex spectrum by a real factor in place, without a complex copy of it."""
    spectrum.real.mul_(factor)
    spectrum.imag.mul_(factor)
    return spectrum


def difference(volume: Tensor, slab: slice, axis: int, out: Tensor) -> None:
    """Take the periodic forward difference of some planes of a volume."""
    here = volume[slab]
    if axis == 0:
        stop = min(slab.stop, volume.shape[0] - 1)
        count = stop - slab.start
        torch.sub(volume[slab.start + 1 : stop + 1], here[:count], out=out[:count])
        if count < len(here):
            torch.sub(volume[0], here[-1], out=out[-1])
        return
    n = here.shape[axis]
    torch.sub(
        here.narrow(axis, 1, n - 1), here.narrow(axis, 0, n - 1), out=out.narrow(axis, 0, n - 1)
    )
    torch.sub(here.select(axis, 0), here.select(axis, n - 1), out=out.select(axis, n - 1))
