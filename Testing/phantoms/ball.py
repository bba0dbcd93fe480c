"""A ball with boxes of known sources, their field and R2': for inversion and separation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from QSMSeparationLib.data.axes import Triple
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.dipole import DipoleOperator

Box = tuple[float, float, float]
"""Concentration in ppm, place of the center on each axis and half of the edge in mm."""
EVERYWHERE = float("inf")
"""Half of the edge of a box that fills the ball."""


def ball_with_boxes(
    radius_mm: float,
    para: Sequence[Box],
    dia: Sequence[Box],
    shape: tuple[int, int, int] = (31, 37, 34),
    spacing: Triple = (1.0, 1.0, 1.0),
    b0: Triple = (1.0, 0.0, 0.0),
    noise_ppm: float = 0.0,
    rate_hz: float = 0.0,
) -> tuple[Maps, Tensor, Tensor]:
    """Draw a ball; returns maps with noise in field and R2' (in Hz), chi+ and |chi-| in ppm."""
    axes = [np.arange(n, dtype=np.float32) - n / 2 for n in shape]
    place = np.stack(
        np.meshgrid(*[a * s for a, s in zip(axes, spacing, strict=True)], indexing="ij")
    )
    mask = torch.from_numpy((place**2).sum(0) < radius_mm**2)

    def draw(boxes: Sequence[Box]) -> Tensor:
        inside = [ppm * (np.abs(place - center).max(0) < half) for ppm, center, half in boxes]
        return torch.from_numpy(np.sum(inside, axis=0).astype(np.float32)) * mask

    chi_para, chi_dia = draw(para), draw(dia)
    random = torch.Generator().manual_seed(0)
    field = DipoleOperator(shape, spacing, b0, pad=1.0)(chi_para - chi_dia)
    field = (field + noise_ppm * torch.randn(shape, generator=random)) * mask
    rate = 114 * (chi_para + chi_dia) + rate_hz * torch.randn(shape, generator=random)
    maps = Maps(mask, spacing, b0, local_field=field, r2prime=(rate * mask).clamp(min=0))
    return maps, chi_para, chi_dia
