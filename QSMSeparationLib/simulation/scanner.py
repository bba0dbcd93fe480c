"""The simulated scanner: a fine head becomes an ME-GRE (and spin-echo) scan with truth.

The field of the whole head is computed once on the fine upright grid. The scan's voxels
may lie at any angle and have any shape: the fine maps are sampled on a grid that divides
every voxel at least in two along each axis, the complex signal is formed there and
averaged (:mod:`QSMSeparationLib.simulation.acquisition`). The truth is averaged in the same
way, so truth and signal share one point spread. What no source explains, and what the scanner
spoils, is added to the voxels of the scan.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.scan import Scan, SpinEcho
from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.simulation import effects, field_errors
from QSMSeparationLib.simulation.acquisition import Acquired, acquire, fine_maps
from QSMSeparationLib.simulation.coil import add_noise, noise_sd
from QSMSeparationLib.simulation.fine_head import FineHead
from QSMSeparationLib.simulation.microstructure import Fibers, fiber_field, sin2_to_b0, white_matter
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.realism import Realism
from QSMSeparationLib.simulation.sampling import nearest, sample
from QSMSeparationLib.simulation.tissues import LABELS

_MARGIN_BELOW_BRAIN_MM = 12.0
_VESSEL_LABELS = [n for n, name in LABELS.items() if name in ("vein", "artery")]


@dataclass(frozen=True, eq=False)
class Truth:
    """What the simulation knows, on the grid of the scan.

    Parameters
    ----------
    geometry : Geometry
        The grid of the scan.
    maps : dict of str to ndarray
        ``chi_para``, ``chi_dia``, ``net``, ``local_field``, ``local_field_isotropic``,
        ``total_field`` (ppm), ``r2``, ``r2prime``, ``r2star`` (Hz), ``t1`` (s), ``water``,
        float32. chi- is the mean over directions where it is a tensor. The local field holds
        all that lies inside the mask; its isotropic part is that of chi+ + chi- alone.
    mask : ndarray
        Brain, bool.
    labels, lesions : ndarray
        Label and lesion numbers, int16.
    protocol : Protocol
        How it was scanned.
    ages : dict of int to str
        Age of every lesion.
    realism : dict
        Level and parts, and what was drawn for them.
    """

    geometry: Geometry
    maps: dict[str, NDArray[np.float32]]
    mask: NDArray[np.bool_]
    labels: NDArray[np.int16]
    lesions: NDArray[np.int16]
    protocol: Protocol
    ages: dict[int, str] = field(default_factory=dict)
    realism: dict[str, Any] = field(default_factory=dict)


def simulate_scan(
    head: FineHead,
    protocol: Protocol,
    name: str = "sub-01",
    report: Report = silent,
    realism: Realism | None = None,
) -> tuple[Scan, Truth]:
    """Scan a head.

    Parameters
    ----------
    head : FineHead
        From :func:`QSMSeparationLib.simulation.rasterize.rasterize`.
    protocol : Protocol
        How it is scanned.
    name : str
        BIDS name of the subject.
    report : callable
        Progress.
    realism : Realism, optional
        What the scan suffers beside noise; nothing without it.

    Returns
    -------
    scan : Scan
        Magnitude and wrapped phase with noise, and the spin echo if asked for.
    truth : Truth
        The maps behind it on the same grid.
    """
    realism = realism or Realism()
    report(0, 3 + len(protocol.echo_times_s))
    grid = scan_grid(head, protocol)
    drawn: dict[str, Any] = dict(head.drawn)
    spin_grid = grid
    if "motion" in realism:
        spin_grid, drawn["motion"] = effects.moved(grid, protocol.seed)
    maps = fine_maps(head, protocol)
    report(2, 3 + len(protocol.echo_times_s))
    mask, labels, lesions = nearest([head.brain, head.labels, head.lesions], head.geometry, grid)
    poles = 2 if "poles" in realism else 0
    got = acquire(maps, grid, spin_grid, protocol, poles, report)
    del maps
    found = _Voxels(head, grid, torch.from_numpy(mask), labels, got, protocol)
    isotropic = got.maps["local_field"] * found.mask
    got.maps["local_field_isotropic"] = isotropic
    _misfit(found, realism, drawn)
    _spoil(found, realism)
    scan = _scan(got, mask, protocol, realism, grid, name)
    facts = {"level": realism.level, "parts": sorted(realism.parts), "drawn": drawn}
    truth = Truth(
        grid, _truth_maps(got.maps, mask), mask, labels, lesions, protocol, head.ages, facts
    )
    return scan, truth


@dataclass(frozen=True, eq=False)
class _Voxels:
    """A scan in the making, and what is needed to spoil it."""

    head: FineHead
    grid: Geometry
    brain: Tensor
    labels: NDArray[np.int16]
    got: Acquired
    protocol: Protocol

    @property
    def mask(self) -> Tensor:
        """The brain as numbers."""
        return self.brain.float()

    @functools.cached_property
    def white(self) -> Tensor:
        """White matter, 0 or 1."""
        return torch.from_numpy(white_matter(self.labels).astype(np.float32)) * self.mask

    @functools.cached_property
    def vessels(self) -> Tensor:
        """Veins and arteries, 0 or 1."""
        return torch.from_numpy(np.isin(self.labels, _VESSEL_LABELS).astype(np.float32))

    def of_brain(self, coarse: Tensor, fibers: Fibers) -> Tensor:
        """Sample a map of the brain's coarse grid at the voxels of the scan."""
        box = self.head.box_geometry
        step = box.spacing_mm[0] * fibers.factor
        corner = box.world(np.full(3, (fibers.factor - 1) / 2))
        own = Geometry(tuple(coarse.shape), (step,) * 3, tuple(corner))
        return sample(coarse[None], own, self.grid)[0]


def _misfit(voxels: _Voxels, realism: Realism, drawn: dict[str, Any]) -> None:
    """Add to the local field what no isotropic source explains, and put it in the echoes."""
    own = np.random.default_rng([voxels.protocol.seed, 9401])
    gain, sd, strong = (
        own.uniform(*r)
        for r in (
            field_errors.GAIN_RANGE,
            field_errors.SD_RANGE_PPB,
            field_errors.STRONG_SD_RANGE_PPB,
        )
    )
    extra = torch.zeros(voxels.grid.shape)
    fibers = voxels.head.fibers
    if fibers is not None:
        coarse = _coarse_dia(voxels.head, fibers.factor)
        spacing = voxels.head.geometry.spacing_mm[0] * fibers.factor
        made = fiber_field(coarse, fibers.direction, spacing, fibers.anisotropy)
        extra = voxels.of_brain(made, fibers) * voxels.mask
    if "misfit" in realism or "strong-misfit" in realism:
        sd_ppm = float(strong if "strong-misfit" in realism else sd) / 1000
        place = field_errors.Surroundings(voxels.mask, voxels.white, voxels.vessels)
        extra = field_errors.misfit(extra, place, voxels.grid.spacing_kji, sd_ppm, own)
    if bool(voxels.brain.any()):
        drawn["misfit_sd_ppb"] = round(1000 * float(extra[voxels.brain].std()), 3)
    drawn["field_gain"] = float(gain) if "gain" in realism else 1.0
    extra += (drawn["field_gain"] - 1) * voxels.got.maps["local_field_isotropic"]
    if not bool(extra.any()):
        return
    voxels.got.maps["local_field"] = voxels.got.maps["local_field_isotropic"] + extra
    voxels.got.maps["total_field"] += extra
    times, b0 = voxels.protocol.echo_times_s, voxels.protocol.b0_tesla
    effects.shift_phase_(voxels.got.echoes, extra, times, b0)


def _coarse_dia(head: FineHead, factor: int) -> Tensor:
    """Return chi- on the coarse grid of the brain's box."""
    dia = head.chi_dia_ppm[head.box]
    return dia if factor == 1 else torch.nn.functional.avg_pool3d(dia[None, None], factor)[0, 0]


def _spoil(voxels: _Voxels, realism: Realism) -> None:
    """Do to the echoes what uneven coils, blood, pools, readout and metal do."""
    got, protocol, grid = voxels.got, voxels.protocol, voxels.grid
    wanted = realism.parts & {"bias", "flow", "pools", "bipolar", "dropout"}
    if not wanted:
        return
    fibers = voxels.head.fibers
    sin2 = torch.full(grid.shape, 2 / 3)
    if fibers is not None:
        sin2 = voxels.of_brain(sin2_to_b0(fibers.direction), fibers)
    tissue = effects.Tissue(
        got.maps["chi_dia"], got.maps["r2"] + got.maps["r2prime"], got.maps["r2"],
        got.maps["t1"], got.maps["water"], voxels.white, sin2, voxels.vessels,
    )  # fmt: skip
    times, b0, seed = protocol.echo_times_s, protocol.b0_tesla, protocol.seed
    if "pools" in wanted:
        spin_times = protocol.spin_echo_times_s
        effects.two_pools_(got.echoes, times, got.spin, spin_times, tissue, b0)
    if "bias" in wanted:
        excitation = (protocol.tr_s, protocol.flip_deg)
        effects.uneven_coils_(got.echoes, got.spin, tissue, grid, excitation, seed)
    if "flow" in wanted:
        effects.flow_(got.echoes, times, tissue, grid, seed)
    if "bipolar" in wanted:
        effects.bipolar_(got.echoes, seed)
    if "dropout" in wanted:
        got.maps["total_field"] += effects.metal_(got.echoes, times, grid, b0, seed)


def _scan(
    got: Acquired,
    mask: NDArray[np.bool_],
    protocol: Protocol,
    realism: Realism,
    grid: Geometry,
    name: str,
) -> Scan:
    """Add noise, and take away what a smaller matrix does not measure."""
    rng = np.random.default_rng([protocol.seed, 31])
    after: Callable[[Tensor], Tensor] | None = None
    small = ("zero-filling" in realism, "partial-fourier" in realism)
    if any(small):
        after = functools.partial(
            effects.smaller_matrix,
            zero_filling=small[0],
            partial_fourier=small[1],
            seed=protocol.seed,
        )
    sigma = noise_sd(got.echoes[0], mask, protocol.snr)
    magnitude, phase = add_noise(got.echoes, sigma, rng, after)
    spin_echo = None
    if protocol.spin_echo_times_s:
        sigma = noise_sd(got.spin[0], mask, protocol.snr)
        spin_echo = SpinEcho(add_noise(got.spin, sigma, rng)[0], protocol.spin_echo_times_s, grid)
    return Scan(
        magnitude, phase, protocol.echo_times_s, protocol.b0_tesla, grid, spin_echo, name=name,
        tr_s=protocol.tr_s, flip_deg=protocol.flip_deg,
    )  # fmt: skip


def _truth_maps(maps: dict[str, Tensor], mask: NDArray[np.bool_]) -> dict[str, NDArray[np.float32]]:
    """Keep the maps of the brain within it."""
    brain = mask.astype(np.float32)
    truth = {name: values.numpy() for name, values in maps.items()}
    for name in truth:
        if name != "total_field":
            truth[name] = truth[name] * brain
    truth["net"] = truth["chi_para"] + truth["chi_dia"]
    truth["r2star"] = truth["r2"] + truth["r2prime"]
    return truth


def scan_grid(head: FineHead, protocol: Protocol) -> Geometry:
    """Return the grid of the scan: the head in plane, from its top to below the brain.

    A straight isotropic scan lies so that its divided voxels are the head's fine voxels.
    """
    inside = head.water.by_label[head.labels.int()] > 0
    lows, highs = [], []
    for axis in range(3):
        other = tuple(a for a in range(3) if a != axis)
        extent = head.brain if axis == 0 else inside
        line = torch.nonzero(extent.amax(dim=other)).flatten()
        lows.append(int(line.min()))
        line = torch.nonzero(inside.amax(dim=other)).flatten()
        highs.append(int(line.max()) + 1)
    step = head.geometry.spacing_mm[0]
    lows[0] = max(0, lows[0] - round(_MARGIN_BELOW_BRAIN_MM / step))
    voxel_kji = protocol.voxel_mm[::-1]
    size = [
        math.ceil((h - low) * step / v) for h, low, v in zip(highs, lows, voxel_kji, strict=True)
    ]
    # Corner of the box in fine indices; its center stays where it is when the scan tilts.
    corner = head.geometry.world(np.asarray(lows) - 0.5)
    center = corner + 0.5 * (np.asarray(size) * np.asarray(voxel_kji))[::-1]
    angle = math.radians(protocol.oblique_deg)
    c, s = math.cos(angle), math.sin(angle)
    direction = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    voxel = np.asarray(protocol.voxel_mm)
    origin = center - direction @ ((np.asarray(size[::-1]) - 1) / 2 * voxel)
    return Geometry(tuple(size), protocol.voxel_mm, tuple(origin), tuple(direction.ravel()))
