"""Inference on the whole volume, or tile by tile where memory does not suffice.

Tiles start at multiples of the network's coarsest voxel, so pooling meets the same blocks as in
the whole volume, and their outer margin is only context: where tiles overlap they are blended
with weights that fall to 0 at the margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from QSMSeparationLib.data.axes import Box
from QSMSeparationLib.data.maps import mask_box
from QSMSeparationLib.runtime.context import Note
from QSMSeparationLib.runtime.device import has_bfloat16_units
from QSMSeparationLib.runtime.progress import Report, silent

TILE = 128
MARGIN = 32
"""Side of a tile, and the context at its border that is not used, in voxels."""

_BYTES_PER_FEATURE = 5.0
"""Peak memory of a forward pass, as multiples of the first level's features in float32."""


@dataclass(frozen=True)
class Run:
    """How a volume was computed: what the provenance says.

    Parameters
    ----------
    device : str
        Where the last part was computed.
    tiled : bool
        Whether tile by tile.
    note : str
        Why it was not done as first asked; empty if it was.
    """

    device: str
    tiled: bool
    note: str = ""


def infer(
    network: nn.Module,
    inputs: Tensor,
    channels: int,
    report: Report = silent,
    budget_bytes: float = 2.5e9,
    pick: Callable[[Any], Tensor] = lambda output: output,
) -> tuple[Tensor, Run]:
    """Run a network on a volume on the device of the volume.

    Out of memory on the whole volume falls back to tiles, out of memory on tiles to the CPU.

    Parameters
    ----------
    network : nn.Module
        With ``multiple``; (1, c, k, j, i) to (1, channels, k, j, i).
    inputs : Tensor
        (c, k, j, i), 0 outside the mask.
    channels : int
        Channels of the result.
    report : callable
        Progress.
    budget_bytes : float
        Volumes that would need more than this are done in tiles at once.
    pick : callable
        Takes the map from what the network returns.

    Returns
    -------
    result : Tensor
        (channels, k, j, i), float32.
    run : Run
        How it was done.
    """
    device = inputs.device
    whole = _bytes(network, inputs) <= budget_bytes
    attempts = [(device, whole)]
    if whole:
        attempts.append((device, False))
    if device.type != "cpu":
        attempts.append((torch.device("cpu"), False))
    note, last = "", None
    for where, at_once in attempts:
        try:
            result = _forward(network, inputs, channels, where, at_once, report, pick)
            network.to("cpu")
            return result.to(device), Run(where.type, not at_once, note)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            note = (
                f"{where.type} ran out of memory {'on the whole volume' if at_once else 'on tiles'}"
            )
            last = error
            if where.type == "cuda":
                torch.cuda.empty_cache()
    raise MemoryError(note) from last


def out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory was not there (torch has several ways)."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate" in str(error)


def _multiple(network: nn.Module) -> int:
    """Return the number that the sides of an image must be multiples of."""
    if not isinstance(network.multiple, int):
        raise TypeError("a network for volumes has an attribute 'multiple'")
    return network.multiple


def _forward(
    network: nn.Module,
    inputs: Tensor,
    channels: int,
    device: torch.device,
    at_once: bool,
    report: Report,
    pick: Callable[[Any], Tensor],
) -> Tensor:
    network.to(device)
    fast = has_bfloat16_units(device)

    def apply(part: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=fast):
            volume = part[None].to(device).contiguous(memory_format=torch.channels_last_3d)
            output = pick(network(volume))[0]
        return output.float().clone()

    box = _bounding_box(inputs)
    part = inputs[(slice(None), *box)]
    size = part.shape[1:]
    multiple = _multiple(network)
    padded = _padded(part, multiple)
    if at_once:
        report(0, 1)
        found = apply(padded)
        report(1, 1)
    else:
        found = _tiled(padded, channels, multiple, apply, report)
    result = torch.zeros((channels, *inputs.shape[1:]), device=inputs.device)
    k, j, i = size
    result[(slice(None), *box)] = found[:, :k, :j, :i].to(inputs.device)
    return result


def _tiled(
    volume: Tensor,
    channels: int,
    multiple: int,
    apply: Callable[[Tensor], Tensor],
    report: Report,
) -> Tensor:
    """Blend the results of overlapping tiles."""
    shape = volume.shape[1:]
    side = math.ceil(TILE / multiple) * multiple
    starts = [_starts(n, side, multiple) for n in shape]
    total = torch.zeros((channels, *shape), device=volume.device)
    weight = torch.zeros(shape, device=volume.device)
    places = list(product(*starts))
    for done, place in enumerate(places):
        report(done, len(places))
        box = tuple(slice(a, min(a + side, n)) for a, n in zip(place, shape, strict=True))
        tile = volume[(slice(None), *box)]
        if not tile.any():
            continue
        ramp = _ramp(box, shape, volume.device)
        total[(slice(None), *box)] += apply(tile).to(volume.device) * ramp
        weight[box] += ramp
    report(len(places), len(places))
    return total / weight.clamp(min=1e-6)


def _starts(length: int, side: int, multiple: int) -> list[int]:
    """Return the first voxels of the tiles along an axis: margins overlap, all is covered."""
    if length <= side:
        return [0]
    step = max(multiple, (side - 2 * MARGIN - 8) // multiple * multiple)
    starts = list(range(0, length - side, step))
    return [*starts, math.ceil((length - side) / multiple) * multiple]


def _ramp(box: Box, shape: torch.Size, device: torch.device) -> Tensor:
    """Weight of a tile: 0 in its margin, except at the border of the volume, then rising to 1."""
    ramp = torch.ones((), device=device)
    for axis, (part, n) in enumerate(zip(box, shape, strict=True)):
        place = torch.arange(part.start, part.stop, device=device, dtype=torch.float32)
        low = torch.full_like(place, 1.0) if part.start == 0 else (place - part.start - MARGIN) / 8
        high = (
            torch.full_like(place, 1.0) if part.stop == n else (part.stop - 1 - place - MARGIN) / 8
        )
        view = [1, 1, 1]
        view[axis] = -1
        ramp = ramp * torch.minimum(low, high).clamp(0, 1).view(view)
    return ramp


def _bounding_box(inputs: Tensor) -> Box:
    """Return the box in which any channel is not 0."""
    any_channel = (inputs != 0).any(dim=0)
    return mask_box(any_channel) if any_channel.any() else (slice(0, 1),) * 3


def _padded(volume: Tensor, multiple: int) -> Tensor:
    """Pad with 0 at the far end to multiples."""
    pad = [v for n in reversed(volume.shape[1:]) for v in (0, -n % multiple)]
    return functional.pad(volume, pad)


def _bytes(network: nn.Module, inputs: Tensor) -> float:
    """Estimate the memory of a forward pass on the whole volume."""
    first = next(p for p in network.parameters() if p.dim() == 5)
    voxels = math.prod(s.stop - s.start for s in _bounding_box(inputs))
    positions = voxels / getattr(network, "fold", 1) ** 3
    return positions * first.shape[0] * 4 * _BYTES_PER_FEATURE


def note_fallback(run: Run, name: str, note: Note) -> None:
    """Report that a network could not be run as asked for."""
    if run.note:
        where = f"in tiles on {run.device}" if run.tiled else f"on {run.device}"
        note(f"{name}: {run.note}; it was computed {where}")
