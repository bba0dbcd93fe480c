"""What the methods of inversion and separation work on: :class:`Maps`, and the box of a mask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from QSMSeparationLib.data.axes import Box, Triple
from QSMSeparationLib.runtime.errors import InputError


def mask_box(mask: Tensor) -> Box:
    """Return the smallest box that holds the mask (k, j, i), which is not empty."""
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = torch.nonzero(torch.amax(mask, dim=others)).flatten()
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


_NOT_GIVEN = torch.empty(0)


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of one head on one grid, as torch tensors on one device.

    Parameters
    ----------
    mask : Tensor
        Brain mask, bool, shape (k, j, i).
    spacing_kji : tuple of float
        Voxel size in mm.
    b0_kji : tuple of float
        Unit vector of B0 in the axes of the array.
    b0_tesla : float
        Field strength.
    total_field, local_field : Tensor, optional
        Field in ppm, with the background and without it.
    net : Tensor, optional
        Net susceptibility in ppm.
    r2prime, r2star : Tensor, optional
        Relaxation rates in Hz.
    magnitude : Tensor, optional
        Magnitude, any scale: shows borders where R2* is not known.
    s0 : Tensor, optional
        Magnitude of a spoiled gradient echo at TE 0, any scale: with ``tr_s`` and ``flip_deg`` it
        tells water and T1.
    tr_s, flip_deg : float, optional
        Repetition time and flip angle of the gradient echo.
    trust : Tensor, optional
        How far each voxel of the field can be trusted, 0 to 1; 1 in the mask where it is not given.
    dr_para, dr_dia : float
        Relaxivities of chi+ and chi- in Hz/ppm at ``b0_tesla``.
    """

    mask: Tensor
    spacing_kji: Triple
    b0_kji: Triple
    b0_tesla: float = 3.0
    total_field: Tensor | None = None
    local_field: Tensor | None = None
    net: Tensor | None = None
    r2prime: Tensor | None = None
    r2star: Tensor | None = None
    magnitude: Tensor | None = None
    s0: Tensor | None = None
    tr_s: float | None = None
    flip_deg: float | None = None
    trust: Tensor = _NOT_GIVEN
    dr_para: float = 114.0
    dr_dia: float = 114.0

    def __post_init__(self) -> None:
        trust = self.trust.float().clamp(0, 1) if self.trust.numel() else self.mask.float()
        object.__setattr__(self, "trust", trust)

    @property
    def has_te0(self) -> bool:
        """Whether the magnitude at TE 0 is known with what weights it."""
        return self.s0 is not None and bool(self.tr_s) and bool(self.flip_deg)

    @property
    def mean_dr(self) -> float:
        """Mean of both relaxivities in Hz/ppm."""
        return 0.5 * (self.dr_para + self.dr_dia)

    @property
    def dr_asymmetry(self) -> float:
        """(Dr+ - Dr-) / (Dr+ + Dr-)."""
        return (self.dr_para - self.dr_dia) / (self.dr_para + self.dr_dia)

    def need(self, *names: str) -> list[Tensor]:
        """Return maps by name, or raise InputError that names the missing one."""
        found = [getattr(self, name) for name in names]
        for name, value in zip(names, found, strict=True):
            if value is None:
                raise InputError(f"the map '{name}' is needed by this method but was not given")
        return found
