"""The signal: fine maps of a head, sampled within every voxel, made complex and averaged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.physics import signal
from QSMSeparationLib.physics.constants import REFERENCE_B0_T, relaxivity
from QSMSeparationLib.physics.smoothing import mean_of_blocks
from QSMSeparationLib.physics.spoiled import signal_at_te0
from QSMSeparationLib.physics.two_sources import r2prime_hz
from QSMSeparationLib.runtime.progress import Report
from QSMSeparationLib.simulation.coil import ReceiveField, shim_
from QSMSeparationLib.simulation.field import free_space_field
from QSMSeparationLib.simulation.fine_head import FineHead, refined
from QSMSeparationLib.simulation.microstructure import rate_changes, sin2_to_b0
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.sampling import divided_slab, sample

_HEAD = ("water", "r2", "m0", "total_field")
_BRAIN = ("chi_para", "chi_dia", "r2prime", "local_field", "t1")
_KEPT = ("water", "r2", "total_field", *_BRAIN)


@dataclass(frozen=True, eq=False)
class FineMaps:
    """What a signal is made of: maps of the whole head, and of the brain's box alone.

    Parameters
    ----------
    head : Tensor
        Water, R2 (Hz), signal at TE 0, total field (ppm), (4, k, j, i).
    head_grid : Geometry
        Its grid.
    brain : Tensor
        chi+, chi- (ppm), R2' (Hz), local field (ppm), T1 (s), 0 outside the brain.
    brain_grid : Geometry
        Its grid.
    """

    head: Tensor
    head_grid: Geometry
    brain: Tensor
    brain_grid: Geometry


@dataclass(frozen=True, eq=False)
class Acquired:
    """Maps and noiseless echoes on the grid of a scan.

    Parameters
    ----------
    maps : dict of str to Tensor
        Averages over the voxels.
    echoes, spin : Tensor
        Gradient echoes, complex, and spin echoes, (echo, k, j, i).
    """

    maps: dict[str, Tensor]
    echoes: Tensor
    spin: Tensor


def fine_maps(head: FineHead, protocol: Protocol) -> FineMaps:
    """Return the fine maps that the scan is made of."""
    step = head.geometry.spacing_mm[0]
    chi = head.chi_para_ppm + head.chi_dia_ppm
    local = free_space_field(chi, step)[head.box].clone()
    chi += head.bulk_ppm
    total = free_space_field(chi, step)
    del chi
    shim_(total, head.brain, protocol.seed)
    # Allocated only now: the transforms above need the memory.
    whole = torch.empty((len(_HEAD), *head.geometry.shape))
    whole[3] = total
    del total
    whole[0] = head.water.on(head.labels, head.lesions)
    t1_s = head.t1_s.on(head.labels, head.lesions)
    whole[2] = signal_at_te0(whole[0], t1_s, protocol.tr_s, protocol.flip_deg)
    box = head.box
    brain = torch.empty((len(_BRAIN), *local.shape))
    brain[0], brain[1] = head.chi_para_ppm[box], head.chi_dia_ppm[box]
    brain[3] = local
    torch.mul(t1_s[box], head.brain[box], out=brain[4])
    del t1_s, local
    whole[1] = head.r2_hz
    _add_rates(head, protocol, brain, whole[1])
    # R2 scales with B0 about as R2 = 0.65 R2(7 T) at 3 T (Ridani et al. 2026): linear between.
    b0_factor = 1 + (1 / 0.65 - 1) * (protocol.b0_tesla - REFERENCE_B0_T) / (7.0 - REFERENCE_B0_T)
    whole[1] *= max(b0_factor, 0.5)
    return FineMaps(whole, head.geometry, brain, head.box_geometry)


def _add_rates(head: FineHead, protocol: Protocol, brain: Tensor, r2_hz: Tensor) -> None:
    """Fill in R2' from the sources, and add to it and to R2 (at 3 T) what fibers do."""
    box = head.box
    dr = [relaxivity(d, protocol.b0_tesla) for d in (protocol.dr_para, protocol.dr_dia)]
    brain[2] = r2prime_hz(brain[0], brain[1], *dr)
    brain[2] *= head.relaxivity.on(head.labels[box], head.lesions[box])
    if head.fibers is None:
        return
    sin2 = refined(sin2_to_b0(head.fibers.direction), head.fibers.factor)
    r2prime, r2 = rate_changes(brain[1], sin2, head.fibers.anisotropy)
    brain[2].add_(r2prime, alpha=protocol.b0_tesla / REFERENCE_B0_T).clamp_(min=0)
    part = r2_hz[box]
    part.add_(r2).clamp_(min=0.3)


def acquire(
    maps: FineMaps,
    grid: Geometry,
    spin_grid: Geometry,
    protocol: Protocol,
    poles: int,
    report: Report,
) -> Acquired:
    """Sample the fine maps within each voxel and average maps and signals, slab by slab.

    ``spin_grid`` is where the voxels of the spin echo lie in the head.
    """
    division = tuple(math.ceil(v / maps.head_grid.spacing_mm[0] - 1e-6) for v in grid.spacing_kji)
    times, spin_times = protocol.echo_times_s, protocol.spin_echo_times_s
    kept = {name: torch.empty(grid.shape) for name in _KEPT}
    echoes = torch.empty((len(times), *grid.shape), dtype=torch.complex64)
    spin = torch.empty((len(spin_times), *grid.shape))
    coil = ReceiveField(protocol.seed, poles)
    slices = max(1, 24 // division[0])
    of = math.ceil(grid.shape[0] / slices)
    for done, start in enumerate(range(0, grid.shape[0], slices)):
        report(3 * of + done * len(times), of * (3 + len(times)))
        part = slice(start, min(start + slices, grid.shape[0]))
        sub = divided_slab(grid, part.start, part.stop, division)
        found: dict[str, Tensor] = {}
        found.update(zip(_HEAD, sample(maps.head, maps.head_grid, sub), strict=True))
        found.update(zip(_BRAIN, sample(maps.brain, maps.brain_grid, sub), strict=True))
        for name, target in kept.items():
            target[part] = mean_of_blocks(found[name], division)
        r2star = found["r2"] + found["r2prime"]
        m0 = found["m0"] * coil(sub)
        for echo, te in enumerate(times):
            wave = signal.gradient_echo(m0, r2star, found["total_field"], te, protocol.b0_tesla)
            echoes[echo, part].real = mean_of_blocks(wave.real, division)
            echoes[echo, part].imag = mean_of_blocks(wave.imag, division)
        if not spin_times:
            continue
        water, r2 = found["water"], found["r2"]
        if spin_grid is not grid:
            turned = divided_slab(spin_grid, part.start, part.stop, division)
            water, r2 = sample(maps.head[:2], maps.head_grid, turned)
        for echo, te in enumerate(spin_times):
            spin[echo, part] = mean_of_blocks(signal.spin_echo(water, r2, te), division)
    return Acquired(kept, echoes, spin)
