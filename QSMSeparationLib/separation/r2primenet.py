"""R2' estimated from R2* alone by a network: R2PRIMEnet (Kim et al. 2025)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.networks.grid import NetworkGrid
from QSMSeparationLib.networks.inputs import NET_PPM, rate_inputs, starting_rate
from QSMSeparationLib.networks.tiles import Note, ignore, infer, tell
from QSMSeparationLib.networks.weights import load_weights
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM, R2PRIME_ESTIMATE_B0_T
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent


def estimate_r2prime(
    maps: Maps, *, weights: Path | None = None, note: Note = ignore, report: Report = silent
) -> Tensor:
    """Return R2' in Hz as a network guesses it from R2*, at 3 T only.

    Parameters
    ----------
    maps : Maps
        With ``r2star``.
    weights : Path, optional
        Weights of the user.
    note : callable
        Takes what the user should read.
    report : callable
        Progress.
    """
    (r2star_hz,) = maps.need("r2star")
    lowest, highest = R2PRIME_ESTIMATE_B0_T
    if not lowest <= maps.b0_tesla <= highest:
        raise InputError(
            f"R2' can be estimated from R2* at 3 T only, not at {maps.b0_tesla:g} T; "
            "measure R2 with a spin echo"
        )
    loaded = load_weights("r2primenet", weights)
    grid = NetworkGrid(maps)
    mask = grid.to_network(maps.mask.float())
    upright = grid.to_network(r2star_hz) * (mask > 0.5)
    correction, run = infer(loaded.network, rate_inputs(upright)[None], 1, report)
    tell(run, "r2primenet", note)
    estimated = starting_rate(upright) + NET_PPM * DR_HZ_PER_PPM * correction[0]
    return grid.from_network(estimated.clamp_(min=0)) * maps.mask
