"""The simulated scanner: a fine head becomes an ME-GRE (and spin-echo) scan with truth.

The field of the whole head is computed once on the fine upright grid. The scan's voxels
may lie at any angle and have any shape: the fine maps are sampled on a grid that divides
every voxel at least in two along each axis, the complex signal is formed there and
averaged. The truth is averaged in the same way, so truth and signal share one point spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.data.scan import Scan, SpinEcho
from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.physics import signal
from QSMSeparationLib.physics.constants import REFERENCE_B0_T, relaxivity
from QSMSeparationLib.physics.smoothing import mean_of_blocks
from QSMSeparationLib.physics.two_sources import r2prime_hz
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.simulation.coil import ReceiveField, add_noise, noise_sd, shim_
from QSMSeparationLib.simulation.field import free_space_field
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.rasterise import FineHead
from QSMSeparationLib.simulation.sampling import divided_slab, nearest, sample

_MARGIN_BELOW_BRAIN_MM = 12.0
_CHANNELS = ("chi_para", "chi_dia", "r2", "m0", "spin_density", "field", "local_field")


@dataclass(frozen=True, eq=False)
class Truth:
    """What the simulation knows, on the grid of the scan.

    Parameters
    ----------
    geometry : Geometry
        The grid of the scan.
    maps : dict of str to ndarray
        ``chi_para``, ``chi_dia``, ``net``, ``local_field``, ``total_field`` (ppm), ``r2``,
        ``r2prime``, ``r2star`` (Hz), float32.
    mask : ndarray
        Brain, bool.
    labels, lesions : ndarray
        Label and lesion numbers, int16.
    """

    geometry: Geometry
    maps: dict[str, NDArray[np.float32]]
    mask: NDArray[np.bool_]
    labels: NDArray[np.int16]
    lesions: NDArray[np.int16]
    protocol: Protocol


def simulate_scan(
    head: FineHead, protocol: Protocol, name: str = "sub-01", report: Report = silent
) -> tuple[Scan, Truth]:
    """Scan a head.

    Returns
    -------
    scan : Scan
        Magnitude and wrapped phase with noise, and the spin echo if asked for.
    truth : Truth
        The maps behind it on the same grid.
    """
    steps = 3 + len(protocol.echo_times_s)
    report(0, steps)
    grid = scan_grid(head, protocol)
    stack = _fine_maps(head, protocol)
    report(2, steps)
    mask, labels, lesions = nearest([head.brain, head.labels, head.lesions], head.geometry, grid)
    sums, echoes, spin = _acquire(stack, head.geometry, grid, protocol, report)
    del stack
    rng = np.random.default_rng([protocol.seed, 31])
    sigma = noise_sd(echoes[0], mask, protocol.snr)
    magnitude, phase = add_noise(echoes, sigma, rng)
    spin_echo = None
    if protocol.spin_echo_times_s:
        sigma = noise_sd(spin[0], mask, protocol.snr)
        spin_echo = SpinEcho(add_noise(spin, sigma, rng)[0], protocol.spin_echo_times_s, grid)
    scan = Scan(
        magnitude, phase, protocol.echo_times_s, protocol.b0_tesla, grid, spin_echo, name=name
    )
    return scan, Truth(grid, _truth_maps(sums, mask, protocol), mask, labels, lesions, protocol)


def scan_grid(head: FineHead, protocol: Protocol) -> Geometry:
    """Return the grid of the scan: the head in plane, from its top to below the brain.

    A straight isotropic scan lies so that its divided voxels are the head's fine voxels.
    """
    inside = head.proton_density[head.labels.int()] > 0
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
    # Corner of the box in fine indices; its centre stays where it is when the scan tilts.
    corner = head.geometry.world(np.asarray(lows) - 0.5)
    centre = corner + 0.5 * (np.asarray(size) * np.asarray(voxel_kji))[::-1]
    angle = math.radians(protocol.oblique_deg)
    c, s = math.cos(angle), math.sin(angle)
    direction = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    voxel = np.asarray(protocol.voxel_mm)
    origin = centre - direction @ ((np.asarray(size[::-1]) - 1) / 2 * voxel)
    return Geometry(tuple(size), protocol.voxel_mm, tuple(origin), tuple(direction.ravel()))


def _fine_maps(head: FineHead, protocol: Protocol) -> Tensor:
    """Stack the fine maps (see ``_CHANNELS``) that the scan is made of."""
    step = head.geometry.spacing_mm[0]
    chi = head.chi_para_ppm + head.chi_dia_ppm
    local = free_space_field(chi, step)
    chi += head.bulk_ppm
    total = free_space_field(chi, step)
    del chi
    shim_(total, head.brain, protocol.seed)
    # Allocated only now: the transforms above need the memory.
    stack = torch.empty((len(_CHANNELS), *head.geometry.shape))
    stack[5], stack[6] = total, local
    del total, local
    index = head.labels.int()
    stack[3] = _ernst(head.proton_density, head.t1_s, protocol)[index]
    stack[4] = head.proton_density[index]
    del index
    stack[0] = head.chi_para_ppm
    stack[1] = head.chi_dia_ppm
    # R2 scales with B0 about as R2 = 0.65 R2(7 T) at 3 T (Ridani et al. 2026): linear between.
    b0_factor = 1 + (1 / 0.65 - 1) * (protocol.b0_tesla - REFERENCE_B0_T) / (7.0 - REFERENCE_B0_T)
    torch.mul(head.r2_hz, max(b0_factor, 0.5), out=stack[2])
    return stack


def _acquire(
    stack: Tensor, fine: Geometry, grid: Geometry, protocol: Protocol, report: Report
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample the fine maps within each voxel and average maps and signals, slab by slab."""
    division = tuple(math.ceil(v / fine.spacing_mm[0] - 1e-6) for v in grid.spacing_kji)
    sums = torch.empty((len(_CHANNELS), *grid.shape))
    echoes = torch.empty((len(protocol.echo_times_s), *grid.shape), dtype=torch.complex64)
    spin = torch.empty((len(protocol.spin_echo_times_s), *grid.shape))
    coil = ReceiveField(protocol.seed)
    dr = [relaxivity(d, protocol.b0_tesla) for d in (protocol.dr_para, protocol.dr_dia)]
    slices = max(1, 24 // division[0])
    of = math.ceil(grid.shape[0] / slices)
    for done, start in enumerate(range(0, grid.shape[0], slices)):
        report(3 * of + done * len(protocol.echo_times_s), of * (3 + len(protocol.echo_times_s)))
        stop = min(start + slices, grid.shape[0])
        sub = divided_slab(grid, start, stop, division)
        maps = sample(stack, fine, sub)
        for channel in range(len(_CHANNELS)):
            sums[channel, start:stop] = mean_of_blocks(maps[channel], division)
        r2star = maps[2] + r2prime_hz(maps[0], maps[1], *dr)
        m0 = maps[3] * coil(sub)
        for echo, te in enumerate(protocol.echo_times_s):
            wave = signal.gradient_echo(m0, r2star, maps[5], te, protocol.b0_tesla)
            echoes[echo, start:stop].real = mean_of_blocks(wave.real, division)
            echoes[echo, start:stop].imag = mean_of_blocks(wave.imag, division)
        for echo, te in enumerate(protocol.spin_echo_times_s):
            spin[echo, start:stop] = mean_of_blocks(
                signal.spin_echo(maps[4], maps[2], te), division
            )
    return sums, echoes, spin


def _ernst(proton_density: Tensor, t1_s: Tensor, protocol: Protocol) -> Tensor:
    """Steady-state signal of a spoiled gradient echo at TE = 0."""
    e1 = torch.exp(-protocol.tr_s / t1_s.clamp(min=1e-3))
    flip = math.radians(protocol.flip_deg)
    return proton_density * math.sin(flip) * (1 - e1) / (1 - math.cos(flip) * e1)


def _truth_maps(
    sums: Tensor, mask: NDArray[np.bool_], protocol: Protocol
) -> dict[str, NDArray[np.float32]]:
    """Name the averaged maps; R2' follows from the averaged sources (it is linear in them)."""
    named = {name: sums[n].numpy() for n, name in enumerate(_CHANNELS)}
    dr = [relaxivity(d, protocol.b0_tesla) for d in (protocol.dr_para, protocol.dr_dia)]
    brain = mask.astype(np.float32)
    maps = {name: named[name] * brain for name in ("chi_para", "chi_dia", "r2", "local_field")}
    maps["net"] = maps["chi_para"] + maps["chi_dia"]
    maps["total_field"] = named["field"]
    maps["r2prime"] = r2prime_hz(maps["chi_para"], maps["chi_dia"], *dr)
    maps["r2star"] = maps["r2"] + maps["r2prime"]
    return maps
