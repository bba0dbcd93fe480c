"""From the sources of a patch to R2' and R2* as a scan gives them, with drawn relaxivities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.networks.inputs import S0_RATIO_RANGE
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM
from QSMSeparationLib.physics.smoothing import sum_of_27
from QSMSeparationLib.physics.spoiled import signal_at_te0, t1_weighting
from QSMSeparationLib.simulation.tissues import r2_of_sources_hz
from QSMSeparationLib.training.heads import CHANNELS

_REFERENCE_PPM = 0.004


@dataclass(frozen=True)
class Ranges:
    """What of a scan is drawn, and how widely.

    Parameters
    ----------
    scale : tuple of float
        Factor on all susceptibilities.
    dr : tuple of float
        Relaxivities in Hz/ppm.
    r2_scale : tuple of float
        Factor on R2.
    departures : float
        Share of the patches whose R2 departs from what tissue usually has: smoothly, and in lesions.
    """

    scale: tuple[float, float]
    dr: tuple[float, float]
    r2_scale: tuple[float, float] = (0.85, 1.15)
    departures: float = 0.0


WIDE = Ranges((0.65, 1.5), (80, 170))
"""For networks that measure both sources: no value may be the usual one."""

USUAL = Ranges((0.87, 1.15), (100, 130))
"""As they are usual at 3 T, for a network that sees R2* alone: R2' can be told from it only so."""

FOLLOWING = Ranges((0.8, 1.25), (80, 170), (0.95, 1.05), departures=0.25)
"""R2 that follows the sources mostly, for the joint network."""

_SMOOTH_DEPARTURE_HZ, _LESION_DEPARTURE_HZ = 2.0, 4.0
"""SD of a smooth departure of R2, and the largest in a lesion: those of the prior lose 1 to 6 Hz, and
half or half again as much is what can be wrong with it."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches with their truth; maps are (batch, 1, k, j, i), ppm and Hz.

    Parameters
    ----------
    field_ppm, net_ppm, net_tv_ppm, net_l2_ppm : Tensor
        Measured local field, its inversion (mostly tv), that of tv, and the closed-form one.
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
    misfit_ppm : Tensor
        SD of what no source explains of the field, as it is found in the field; alike.
    s0_log_ratio, s0_weighting, s0_known : Tensor
        Logarithm of the magnitude at TE 0 over its median, its weighting by T1, and 1 where there
        is one (else all three are 0).
    """

    field_ppm: Tensor
    net_ppm: Tensor
    net_tv_ppm: Tensor
    net_l2_ppm: Tensor
    r2prime_hz: Tensor
    r2star_hz: Tensor
    sources_ppm: Tensor
    true_r2prime_hz: Tensor
    importance: Tensor
    dr_para: Tensor
    dr_dia: Tensor
    misfit_ppm: Tensor
    s0_log_ratio: Tensor
    s0_weighting: Tensor
    s0_known: Tensor

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


@dataclass(frozen=True, eq=False)
class _Draws:
    """Random numbers for every patch of a batch, on the device of their generator.

    Parameters
    ----------
    count : int
        Patches.
    generator : torch.Generator
        Their source.
    """

    count: int
    generator: torch.Generator

    def places(self, *shape: int) -> Tensor:
        """Return numbers between 0 and 1, one shape a patch."""
        size = (self.count, *shape)
        return torch.rand(size, generator=self.generator, device=self.generator.device)

    def normal(self, *shape: int) -> Tensor:
        """Return normal numbers, one shape a patch."""
        size = (self.count, *shape)
        return torch.randn(size, generator=self.generator, device=self.generator.device)

    def uniform(self, low: float, high: float) -> Tensor:
        """Return a number a patch, (count, 1, 1, 1, 1)."""
        return low + (high - low) * self.places(1, 1, 1, 1)


def measure_usual(patches: Tensor, generator: torch.Generator, know_dr: bool = True) -> Batch:
    """Measure patches with values and relaxivities as they are usual at 3 T."""
    return measure(patches, generator, know_dr, USUAL)


def measure_following(patches: Tensor, generator: torch.Generator, know_dr: bool = True) -> Batch:
    """Measure patches whose R2 mostly follows their sources."""
    return measure(patches, generator, know_dr, FOLLOWING)


def measure(
    patches: Tensor, generator: torch.Generator, know_dr: bool = True, ranges: Ranges = WIDE
) -> Batch:
    """Draw relaxivities and noise, and measure the patches of a pool.

    Parameters
    ----------
    patches : Tensor
        (batch, len(CHANNELS), k, j, i).
    generator : torch.Generator
        Source of all draws, on the device of the patches.
    know_dr : bool
        False tells the networks 114 Hz/ppm, whatever it is (an ablation).
    ranges : Ranges
        How widely values are drawn.
    """
    draws = _Draws(len(patches), generator)
    uniform = draws.uniform

    def chance(share: float) -> Tensor:
        return (uniform(0, 1) < share).float()

    def smooth(knots: int = 4) -> Tensor:
        noise = draws.normal(1, knots, knots, knots)
        return functional.interpolate(noise, size=patches.shape[2:], mode="trilinear")

    maps = {name: patches[:, n : n + 1] for n, name in enumerate(CHANNELS)}
    mask = (maps["importance"] > 0).float()
    scale = uniform(*(math.log(s) for s in ranges.scale)).exp()
    field, para, dia = (maps[name] * scale for name in ("field", "para", "dia"))
    # The reference of net chi is known to a few ppb only.
    reference = mask * uniform(-1, 1) * _REFERENCE_PPM
    net_tv, net_l2 = (maps[name] * scale + reference for name in ("net_tv", "net_l2"))
    net = torch.where(chance(0.85) > 0, net_tv, net_l2)
    dr_para = uniform(*ranges.dr)
    dr_dia = torch.where(chance(0.5) > 0, dr_para, uniform(*ranges.dr))
    true = maps["r2prime_factor"] * (dr_para * para + dr_dia * dia)
    # What R2' suffers: a slow bias (R2 wrong by a share), excess near air, blur, noise, clipping.
    # R2 follows the scaled sources as it followed theirs.
    grown = r2_of_sources_hz(1000 * (para - maps["para"]), 1000 * (dia - maps["dia"]))
    r2 = (maps["r2"] + grown).clamp(min=0.4) * uniform(*ranges.r2_scale)
    in_lesions = uniform(-1, 1) * _LESION_DEPARTURE_HZ * (maps["importance"] - mask)
    departure = chance(0.5) * _SMOOTH_DEPARTURE_HZ * smooth(5) + in_lesions
    r2 = (r2 + chance(ranges.departures) * departure).clamp(min=0.4)
    excess = chance(0.1) * uniform(0, 15) * (smooth(3) - 1).clamp(min=0)
    bias = 1 + chance(0.3) * uniform(0, 0.12) * smooth(3)
    sd = uniform(math.log(0.4), math.log(4.0)).exp() * (1 + 0.2 * smooth(4)).clamp(min=0.3)
    noise = sd * draws.normal(*field.shape[1:])
    blurred = sum_of_27(true + noise) / 27
    share = chance(0.15) * uniform(0, 0.7)
    r2prime = (torch.lerp(true + noise, blurred, share) * bias + excess).clamp(min=0) * mask
    star_noise = 0.7 * sd * draws.normal(*field.shape[1:])
    r2star = ((true + r2 + star_noise) * bias + excess).clamp(min=0) * mask
    told = (dr_para, dr_dia) if know_dr else (torch.full_like(dr_para, DR_HZ_PER_PPM),) * 2
    return Batch(
        field_ppm=field,
        net_ppm=net,
        net_tv_ppm=net_tv,
        net_l2_ppm=net_l2,
        r2prime_hz=r2prime,
        r2star_hz=r2star,
        sources_ppm=torch.cat([para, dia], dim=1),
        true_r2prime_hz=true * mask,
        importance=maps["importance"],
        dr_para=told[0],
        dr_dia=told[1],
        misfit_ppm=maps["told_misfit"].amax((2, 3, 4), keepdim=True) * scale,
        **_magnitude_at_te0(maps["water"], maps["t1"], mask, draws),
    )


_TE0_SHARE = 0.6
"""Share of the patches that know the magnitude at TE 0: a network has to work without it, too."""

_TR_RANGE_S, _FLIP_RANGE_DEG = (0.02, 0.06), (6.0, 25.0)
"""Of gradient echoes with many echoes, as they are published; at 15 to 20 degrees mostly."""


def _magnitude_at_te0(
    water: Tensor, t1_s: Tensor, mask: Tensor, draws: _Draws
) -> dict[str, Tensor]:
    """Return the magnitude at TE 0 as a scan gives it: receive field, wrong flip angles, noise."""
    s0 = torch.ones_like(water)
    weighting = torch.zeros((len(water), 1, 1, 1, 1))
    for n, places in enumerate(draws.places(3).tolist()):
        tr_s = math.exp(_between(places[0], *(math.log(t) for t in _TR_RANGE_S)))
        flip_deg = _between(places[1], *_FLIP_RANGE_DEG)
        real_deg = flip_deg * _between(places[2], 0.85, 1.15)
        s0[n] = signal_at_te0(water[n], t1_s[n].clamp(min=0.1), tr_s, real_deg)
        weighting[n] = t1_weighting(tr_s, flip_deg)
    receive = 0.15 * functional.interpolate(
        draws.normal(1, 3, 3, 3), size=water.shape[2:], mode="trilinear"
    )
    noise = draws.uniform(0, 0.03)
    s0 = s0.clamp(min=1e-4).log() + receive + noise * draws.normal(*water.shape[1:])
    known = (draws.uniform(0, 1) < _TE0_SHARE).float()
    weighting = weighting.to(water.device)
    # The median of a patch is not that of the brain, which the receive field hides.
    median = torch.where(mask > 0, s0, torch.nan).flatten(1).nanmedian(dim=1).values.nan_to_num()
    ratio = (s0 - median.view(-1, 1, 1, 1, 1)).clamp(*(math.log(r) for r in S0_RATIO_RANGE))
    return {
        "s0_log_ratio": ratio * mask * known,
        "s0_weighting": weighting * known,
        "s0_known": known,
    }


def _between(share: float, low: float, high: float) -> float:
    """Return a value between two."""
    return low + share * (high - low)
