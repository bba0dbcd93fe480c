"""From the sources of a patch to R2' and R2* as a scan gives them, with drawn relaxivities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM
from QSMSeparationLib.physics.smoothing import sum_of_27
from QSMSeparationLib.simulation.tissues import r2_of_sources_hz
from QSMSeparationLib.training.heads import CHANNELS

_REFERENCE_PPM = 0.004


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches with their truth; maps are (batch, 1, k, j, i), ppm and Hz.

    Parameters
    ----------
    field_ppm, net_ppm, net_l2_ppm : Tensor
        Measured local field, its inversion (mostly tv), and the closed-form one.
    r2prime_hz, r2star_hz : Tensor
        Measured rates.
    sources_ppm : Tensor
        True chi+ and |chi-|, (batch, 2, k, j, i).
    true_r2prime_hz : Tensor
        R2' without noise.
    importance : Tensor
        0 outside the mask, 1 in it, up to 2 in blobs.
    dr_para, dr_dia : Tensor
        Relaxivities in Hz/ppm that the networks are told, (batch, 1, 1, 1, 1).
    """

    field_ppm: Tensor
    net_ppm: Tensor
    net_l2_ppm: Tensor
    r2prime_hz: Tensor
    r2star_hz: Tensor
    sources_ppm: Tensor
    true_r2prime_hz: Tensor
    importance: Tensor
    dr_para: Tensor
    dr_dia: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    @property
    def mask(self) -> Tensor:
        """1 in the mask, 0 outside."""
        return (self.importance > 0).float()

    @property
    def rate_ppm(self) -> Tensor:
        """R2' over the mean relaxivity."""
        return self.r2prime_hz / (0.5 * (self.dr_para + self.dr_dia))

    @property
    def asymmetry(self) -> Tensor:
        """(Dr+ - Dr-)/(Dr+ + Dr-)."""
        return (self.dr_para - self.dr_dia) / (self.dr_para + self.dr_dia)


def measure_usual(patches: Tensor, generator: torch.Generator, know_dr: bool = True) -> Batch:
    """Measure patches with values and relaxivities as they are usual at 3 T.

    For a network that sees R2* alone: from it R2' can be told as far as both have usual values.
    """
    return measure(patches, generator, know_dr, usual=True)


def measure(
    patches: Tensor, generator: torch.Generator, know_dr: bool = True, usual: bool = False
) -> Batch:
    """Draw relaxivities and noise, and measure the patches of a pool.

    Parameters
    ----------
    patches : Tensor
        (batch, len(CHANNELS), k, j, i).
    generator : torch.Generator
        Source of all draws.
    know_dr : bool
        False tells the networks 114 Hz/ppm, whatever it is (an ablation).
    usual : bool
        Draw values and relaxivities within 15 % of the usual ones, not widely.
    """
    count = len(patches)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand((count, 1, 1, 1, 1), generator=generator)

    def chance(share: float) -> Tensor:
        return (uniform(0, 1) < share).float()

    def smooth(knots: int = 4) -> Tensor:
        noise = torch.randn((count, 1, knots, knots, knots), generator=generator)
        return functional.interpolate(noise, size=patches.shape[2:], mode="trilinear")

    maps = {name: patches[:, n : n + 1] for n, name in enumerate(CHANNELS)}
    mask = (maps["importance"] > 0).float()
    scale = uniform(*(math.log(s) for s in ((0.87, 1.15) if usual else (0.65, 1.5)))).exp()
    field, para, dia = (maps[name] * scale for name in ("field", "para", "dia"))
    net = torch.where(chance(0.85) > 0, maps["net_tv"], maps["net_l2"]) * scale
    # The reference of net chi is known to a few ppb only.
    reference = mask * uniform(-1, 1) * _REFERENCE_PPM
    net = net + reference
    net_l2 = maps["net_l2"] * scale + reference
    dr = (100, 130) if usual else (80, 170)
    dr_para = uniform(*dr)
    dr_dia = torch.where(chance(0.5) > 0, dr_para, uniform(*dr))
    true = maps["r2prime_factor"] * (dr_para * para + dr_dia * dia)
    # What R2' suffers: a slow bias (R2 wrong by a share), excess near air, blur, noise, clipping.
    # R2 follows the scaled sources as it followed theirs.
    grown = r2_of_sources_hz(1000 * (para - maps["para"]), 1000 * (dia - maps["dia"]))
    r2 = (maps["r2"] + grown).clamp(min=0.4) * uniform(0.85, 1.15)
    excess = chance(0.1) * uniform(0, 15) * (smooth(3) - 1).clamp(min=0)
    bias = 1 + chance(0.3) * uniform(0, 0.12) * smooth(3)
    sd = uniform(math.log(0.4), math.log(4.0)).exp() * (1 + 0.2 * smooth(4)).clamp(min=0.3)
    noise = sd * torch.randn(field.shape, generator=generator)
    blurred = sum_of_27(true + noise) / 27
    share = chance(0.15) * uniform(0, 0.7)
    r2prime = (torch.lerp(true + noise, blurred, share) * bias + excess).clamp(min=0) * mask
    star_noise = 0.7 * sd * torch.randn(field.shape, generator=generator)
    r2star = ((true + r2 + star_noise) * bias + excess).clamp(min=0) * mask
    told = (dr_para, dr_dia) if know_dr else (torch.full_like(dr_para, DR_HZ_PER_PPM),) * 2
    return Batch(
        field_ppm=field,
        net_ppm=net,
        net_l2_ppm=net_l2,
        r2prime_hz=r2prime,
        r2star_hz=r2star,
        sources_ppm=torch.cat([para, dia], dim=1),
        true_r2prime_hz=true * mask,
        importance=maps["importance"],
        dr_para=told[0],
        dr_dia=told[1],
    )
